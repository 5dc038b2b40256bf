// SPDX-License-Identifier: Apache-2.0
#include "bench/cpu_subject.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "bench/figures.h"
#include "cgroup/mounts.h"
#include "cgroup/writer.h"

namespace plimsoll::bench {
namespace {

constexpr double kLoopNs = 1e9;
constexpr double kLoopUp = 1.2;
constexpr double kLoopDown = 0.8;
constexpr double kLoopMost = 3;
constexpr double kReadyNs = 60e9;
constexpr const char* kGroup = "bench-cpu";

double cpus(MilliCpu cpu) { return static_cast<double>(cpu.value) / 1000; }

Result<cgroup::Root> open_root() {
  const auto mounts = cgroup::read_mounts();
  if (!mounts) return tl::unexpected(mounts.error());
  if (!mounts->v2) return fail(Code::kUnsupported, "no cgroup v2 is mounted");
  return cgroup::Root::open(*mounts->v2);
}

template <typename Number>
Number take_number(std::string_view& text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  Number number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return error == std::errc{} ? number : 0;
}

std::vector<char*> pointers(std::vector<std::string>& words) {
  std::vector<char*> all;
  all.reserve(words.size() + 1);
  for (std::string& word : words) all.push_back(word.data());
  all.push_back(nullptr);
  return all;
}

}  // namespace

const char* to_string(CpuWay way) {
  switch (way) {
    case CpuWay::kStatic:
      return "static";
    case CpuWay::kLoop:
      return "loop";
    case CpuWay::kBurst:
      return "burst";
    case CpuWay::kPlimsoll:
      return "plimsoll";
  }
  return "";
}

Result<CpuSubject> CpuSubject::start(CpuWay way, MilliCpu floor,
                                     const std::vector<std::string>& load) {
  CpuSubject subject(way, floor);
  if (auto launched = subject.launch(load); !launched) return tl::unexpected(launched.error());
  const double end = now_ns() + kReadyNs;
  while (subject.load_pid_ == 0 && now_ns() < end) {
    ::usleep(5000);
    subject.hear();
  }
  if (auto found = subject.find(); !found) return tl::unexpected(found.error());
  return subject;
}

CpuSubject::CpuSubject(CpuSubject&& other) noexcept
    : way_(other.way_),
      floor_(other.floor_),
      made_(std::exchange(other.made_, "")),
      pid_(std::exchange(other.pid_, -1)),
      load_pid_(other.load_pid_),
      output_(std::move(other.output_)),
      heard_(std::move(other.heard_)),
      done_(other.done_),
      files_(std::move(other.files_)),
      samples_(std::move(other.samples_)),
      work_(std::move(other.work_)),
      kept_(other.kept_) {}

CpuSubject::~CpuSubject() { stop(); }

Result<void> CpuSubject::launch(const std::vector<std::string>& load) {
  auto root = open_root();
  if (!root) return tl::unexpected(root.error());
  const cgroup::Writer writer;
  std::optional<cgroup::Group> group;
  std::vector<std::string> words;
  if (way_ == CpuWay::kPlimsoll) {
    words = {"plimsoll", "run", "--quiet", "--cpu", std::to_string(floor_.value) + "m", "--"};
  } else {
    auto made = writer.create_group(root->top(), kGroup);
    if (!made) return tl::unexpected(made.error());
    made_ = kGroup;
    group.emplace(std::move(*made));
    const cgroup::CpuMax max = cgroup::cpu_max_of(floor_, cgroup::CpuMax{}.period);
    if (auto set = writer.set_cpu_max(*group, max); !set) return tl::unexpected(set.error());
    if (way_ == CpuWay::kBurst) {
      if (auto set = writer.set_cpu_burst(*group, *max.quota); !set) return set;
    }
  }
  words.insert(words.end(), load.begin(), load.end());
  const std::vector<char*> arguments = pointers(words);
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0) return errno_error(errno, "make a pipe");
  output_ = Fd(ends[0]);
  const Fd theirs(ends[1]);
  ::fcntl(output_.get(), F_SETFL, O_NONBLOCK);
  pid_ = ::fork();
  if (pid_ < 0) return errno_error(errno, "fork");
  if (pid_ == 0) {
    if (group && !writer.move_process(*group, ::getpid())) ::_exit(126);
    ::dup2(theirs.get(), STDOUT_FILENO);
    ::execvp(arguments.front(), arguments.data());
    ::_exit(127);
  }
  return {};
}

Result<void> CpuSubject::find() {
  if (load_pid_ == 0) return fail(Code::kUnavailable, "the load did not become ready");
  const auto where = read_file("/proc/" + std::to_string(load_pid_) + "/cgroup");
  if (!where) return tl::unexpected(where.error());
  std::string path = where->substr(where->rfind("::/") + 3);
  path.erase(path.find_last_not_of('\n') + 1);
  const auto root = open_root();
  if (!root) return tl::unexpected(root.error());
  const auto group = root->open_group(path);
  if (!group) return tl::unexpected(group.error());
  auto files = cgroup::CpuFiles::open(*group);
  if (!files) return tl::unexpected(files.error());
  files_.emplace(std::move(*files));
  auto looked = look();
  if (looked) kept_ = samples_.back();
  return looked;
}

void CpuSubject::hear() {
  std::array<char, 4096> text{};
  for (ssize_t got = 0; (got = ::read(output_.get(), text.data(), text.size())) > 0;) {
    heard_.append(text.data(), static_cast<std::size_t>(got));
  }
  for (std::size_t end = 0; (end = heard_.find('\n')) != std::string::npos;) {
    const std::string line = heard_.substr(0, end);
    heard_.erase(0, end + 1);
    std::string_view rest = std::string_view(line).substr(std::min<std::size_t>(line.size(), 5));
    if (line == "done") done_ = true;
    if (line.starts_with("work ")) {
      const double begin = take_number<double>(rest);
      work_.push_back({begin, take_number<double>(rest)});
    }
    if (line.starts_with("ready ")) load_pid_ = take_number<pid_t>(rest);
  }
}

Result<void> CpuSubject::look() {
  hear();
  const auto max = files_->read_max();
  const auto stat = files_->read_stat();
  if (!max || !stat) return fail(Code::kGone, "the load's cgroup cannot be read");
  const CpuSample sample{.at_ns = now_ns(),
                         .limit = cpus(cgroup::cpus_of(*max).value_or(MilliCpu{})),
                         .used_seconds = std::chrono::duration<double>(stat->usage).count(),
                         .periods = stat->periods.value_or(0),
                         .throttled = stat->throttled.value_or(0)};
  samples_.push_back(sample);
  if (way_ == CpuWay::kLoop && sample.at_ns - kept_.at_ns >= kLoopNs) keep(sample);
  return {};
}

void CpuSubject::keep(const CpuSample& sample) {
  const double floor = cpus(floor_);
  const bool throttled = sample.throttled > kept_.throttled;
  const double limit = throttled ? std::min(sample.limit * kLoopUp, floor * kLoopMost)
                                 : std::max(sample.limit * kLoopDown, floor);
  kept_ = sample;
  const MilliCpu to{static_cast<std::uint64_t>(std::lround(limit * 1000))};
  files_->write_max(cgroup::cpu_max_of(to, cgroup::CpuMax{}.period));
}

bool CpuSubject::is_at_floor() const {
  return !samples_.empty() && samples_.back().limit <= cpus(floor_) + 1e-9;
}

void CpuSubject::stop() {
  if (pid_ <= 0) return;
  if (load_pid_ > 0) ::kill(load_pid_, SIGKILL);
  if (load_pid_ == 0) ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
  pid_ = -1;
  if (made_.empty()) return;
  const auto root = open_root();
  const auto group = root ? root->open_group(made_) : tl::unexpected(root.error());
  const cgroup::Writer writer;
  for (int i = 0; group && i < 500 && !writer.remove_group(*group); ++i) ::usleep(10'000);
}

}  // namespace plimsoll::bench
