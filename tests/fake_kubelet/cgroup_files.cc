// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/cgroup_files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <chrono>
#include <csignal>
#include <ctime>
#include <filesystem>
#include <sstream>
#include <thread>

#include "base/fd.h"
#include "base/file.h"

namespace plimsoll::test {
namespace {

namespace fs = std::filesystem;

std::optional<std::int64_t> number(const std::string& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end == text.data()) return std::nullopt;
  return value;
}

// A write of memory.max stays in the kernel for as long as more is in use, also when the limit has
// been raised meanwhile, and looks only for signals. The kubelet has the runtime's process killed
// in the end; here a signal to this thread is enough, and comes sooner.
class Patience {
 public:
  Patience() {
    struct sigaction nothing {};
    nothing.sa_handler = [](int) {};
    ::sigaction(SIGUSR1, &nothing, nullptr);
    sigevent event{};
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGUSR1;
    event._sigev_un._tid = ::gettid();
    made_ = ::timer_create(CLOCK_MONOTONIC, &event, &timer_) == 0;
    const itimerspec wait{.it_interval = {.tv_sec = 1, .tv_nsec = 0},
                          .it_value = {.tv_sec = kSeconds, .tv_nsec = 0}};
    if (made_) ::timer_settime(timer_, 0, &wait, nullptr);
  }
  ~Patience() {
    if (made_) ::timer_delete(timer_);
  }
  Patience(const Patience&) = delete;
  Patience& operator=(const Patience&) = delete;

 private:
  static constexpr std::time_t kSeconds = 2;
  timer_t timer_{};
  bool made_ = false;
};

}  // namespace

CgroupFiles::CgroupFiles(std::string root, std::function<void(const std::string&)> made,
                         std::function<void(const std::string&, const std::string&)> writing)
    : root_(std::move(root)), made_(std::move(made)), writing_(std::move(writing)) {}

bool CgroupFiles::write(const std::string& group, const std::string& file,
                        const std::string& text) const {
  if (writing_) writing_(group, file);
  const std::string path = full(group) + "/" + file;
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | (made_ ? O_TRUNC : 0)));
  if (!fd) return false;
  std::optional<Patience> patience;
  if (!made_ && file == "memory.max") patience.emplace();
  return ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

std::string CgroupFiles::read(const std::string& group, const std::string& file) const {
  const Result<std::string> text = read_file(full(group) + "/" + file);
  return text.value_or("");
}

bool CgroupFiles::exists(const std::string& group) const { return fs::exists(full(group)); }

bool CgroupFiles::make(const std::string& group) const {
  if (exists(group)) return true;
  const std::size_t slash = group.rfind('/');
  const std::string parent = slash == std::string::npos ? "" : group.substr(0, slash);
  if (!parent.empty() && !make(parent)) return false;
  if (made_) {
    made_(group);
    return exists(group);
  }
  for (const char* controller : {"+memory", "+cpu", "+pids"}) {
    write(parent, "cgroup.subtree_control", controller);
  }
  return ::mkdir(full(group).c_str(), 0755) == 0;
}

bool CgroupFiles::remove(const std::string& group) const {
  if (!exists(group)) return true;
  write(group, "cgroup.kill", "1");
  if (made_) {
    fs::remove_all(full(group));
    return true;
  }
  for (const auto& entry : fs::directory_iterator(full(group))) {
    if (entry.is_directory()) remove(group + "/" + entry.path().filename().string());
  }
  // What was killed leaves a moment later.
  for (int i = 0; i < 200 && ::rmdir(full(group).c_str()) != 0; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return !exists(group);
}

std::optional<std::int64_t> CgroupFiles::limit(const std::string& group) const {
  return number(read(group, "memory.max"));
}

std::int64_t CgroupFiles::usage(const std::string& group) const {
  return number(read(group, "memory.current")).value_or(0);
}

std::int64_t CgroupFiles::events(const std::string& group, const std::string& key) const {
  std::istringstream lines(read(group, "memory.events"));
  std::string name;
  std::int64_t value = 0;
  while (lines >> name >> value) {
    if (name == key) return value;
  }
  return 0;
}

}  // namespace plimsoll::test
