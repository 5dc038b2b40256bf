// SPDX-License-Identifier: Apache-2.0
//
// What does the engine weigh on a node? N cgroups with a sleeping process each, all tracked by the
// real engine with a tick each second: memory, kernel memory of the BPF maps, and CPU time, idle
// and while ten of them storm. Needs cgroup v2, so it runs in a guest. Prints one JSON object.
// README.md says how to read it.
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <csignal>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>

#include "agent/config/config.h"
#include "agent/config/parse.h"
#include "agent/engine/engine.h"
#include "base/file.h"
#include "bench/figures.h"
#include "bench/place.h"
#include "bench/process_memory.h"
#include "cgroup/writer.h"

namespace plimsoll::bench {
namespace {

constexpr std::size_t kMib = 1024 * 1024;
// A file as an operator writes it: reading it is part of what the agent has in memory.
constexpr std::string_view kConfig =
    "memory:\n  watermark: 0.85\n  shrink_after: 2s\nbudget:\n  reserve: 64Mi\n";

struct Options {
  unsigned cgroups = 110;
  unsigned storming = 10;
  int settle_ticks = 3;
  int idle_ticks = 10;
  int storm_ticks = 10;
  bool processes = true;
  bool smaps = false;
};

// What a storming container does: grows from 16 to 160 MiB within a moment, and gives it back.
[[noreturn]] void storm() {
  constexpr std::size_t kMost = 160 * kMib;
  while (true) {
    void* memory =
        ::mmap(nullptr, kMost, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) ::_exit(1);
    for (std::size_t at = 0; at < kMost; at += 4096) static_cast<volatile char*>(memory)[at] = 1;
    ::munmap(memory, kMost);
    ::usleep(200'000);
  }
}

class Run {
 public:
  explicit Run(const Options& options) : options_(options) {}
  ~Run() {
    for (const pid_t pid : children_) ::kill(pid, SIGKILL);
    for (const pid_t pid : children_) ::waitpid(pid, nullptr, 0);
  }
  Run(const Run&) = delete;
  Run& operator=(const Run&) = delete;

  Result<void> prepare();
  Result<nlohmann::json> measure();

 private:
  struct Window {
    double cpu_ratio = 0;
    double tick_us = 0;  // CPU time of one tick
    std::uint64_t grants = 0;
    std::uint64_t kills = 0;
  };
  // Ticks at 1 s and fetches reports in between, as the agent's loop does.
  Window attend(int ticks);
  Result<void> start_children(unsigned count, bool storming);

  Options options_;
  std::optional<Place> place_;
  std::vector<cgroup::Group> groups_;
  std::vector<pid_t> children_;
  std::unique_ptr<agent::Engine> engine_;
};

// All children before the engine is there, storming ones too: they wait for a signal, and none of
// them holds a copy of what the engine has.
Result<void> Run::start_children(unsigned count, bool storming) {
  const cgroup::Writer writer;
  for (unsigned i = 0; i < count; ++i) {
    const pid_t pid = ::fork();
    if (pid < 0) return errno_error(errno, "fork a container's process");
    if (pid == 0) {
      if (!storming) {
        while (true) ::pause();
      }
      int signal = 0;
      sigset_t set;
      sigemptyset(&set);
      sigaddset(&set, SIGUSR1);
      ::sigwait(&set, &signal);
      storm();
    }
    children_.push_back(pid);
    if (auto moved = writer.move_process(groups_[i], pid); !moved) return moved;
  }
  return {};
}

// Three files per cgroup are more than the usual 1,024.
void allow_many_files() {
  const rlimit many{.rlim_cur = 16384, .rlim_max = 16384};
  ::setrlimit(RLIMIT_NOFILE, &many);
}

Result<void> Run::prepare() {
  allow_many_files();
  auto place = Place::make();
  if (!place) return tl::unexpected(place.error());
  if (!place->real()) return fail(Code::kUnsupported, "no cgroup v2 memory controller here");
  place_.emplace(std::move(*place));
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGUSR1);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  const cgroup::Writer writer;
  for (unsigned i = 0; i < options_.cgroups; ++i) {
    auto group = place_->add(std::to_string(i));
    if (!group) return tl::unexpected(group.error());
    if (auto limit = writer.set_memory_max(*group, Limit{64 * kMiB}); !limit) {
      return tl::unexpected(limit.error());
    }
    groups_.push_back(std::move(*group));
  }
  options_.storming = std::min(options_.storming, options_.cgroups);
  if (auto started = start_children(options_.storming, true); !started) return started;
  if (options_.processes) {
    if (auto started = start_children(options_.cgroups, false); !started) return started;
  }
  return {};
}

Run::Window Run::attend(int ticks) {
  Window window;
  const auto take = [&](const std::vector<agent::Record>& records) {
    for (const agent::Record& record : records) {
      window.grants += record.kind == agent::Record::Kind::kGrant ? 1 : 0;
      window.kills += record.kind == agent::Record::Kind::kOomKill ? 1 : 0;
    }
  };
  const double begin = now_ns();
  const double cpu_begin = cpu_seconds();
  double ticking = 0;
  for (int i = 0; i < ticks; ++i) {
    const double next = begin + (i + 1) * 1e9;
    for (double now = now_ns(); now < next; now = now_ns()) {
      pollfd wait{.fd = engine_->report_fd(), .events = POLLIN, .revents = 0};
      if (::poll(&wait, 1, static_cast<int>((next - now) / 1e6) + 1) > 0) take(engine_->collect());
    }
    const double before = cpu_seconds();
    take(engine_->tick(MonotonicTime(Nanoseconds(static_cast<std::int64_t>(now_ns())))));
    ticking += cpu_seconds() - before;
  }
  window.cpu_ratio = (cpu_seconds() - cpu_begin) / ((now_ns() - begin) / 1e9);
  window.tick_us = ticking / ticks * 1e6;
  return window;
}

nlohmann::json to_json(const ProcessMemory& memory) {
  const auto mib = [](Bytes bytes) {
    return std::round(static_cast<double>(bytes.value) / static_cast<double>(kMiB) * 100) / 100;
  };
  return {{"total_mib", mib(memory.total())},     {"rss_mib", mib(memory.rss)},
          {"anon_mib", mib(memory.anon)},         {"file_mib", mib(memory.file)},
          {"bpf_maps_mib", mib(memory.bpf_maps)}, {"maps_in_rss_mib", mib(memory.mapped_maps)}};
}

Result<nlohmann::json> Run::measure() {
  const auto config = agent::parse_config(kConfig, "bench.yaml");
  if (!config) return tl::unexpected(config.error());
  auto engine = agent::Engine::start({config->policy, config->hold, config->tier});
  if (!engine) return tl::unexpected(engine.error());
  engine_ = std::move(*engine);
  for (cgroup::Group& group : groups_) {
    const auto slot = engine_->track(
        std::move(group),
        {.bounds = {.floor = {64 * kMiB}, .ceiling = {256 * kMiB}}, .parent = std::nullopt});
    if (!slot) return tl::unexpected(slot.error());
    // As the agent does it: what tracking has queued is taken off at the next tick.
    if (*slot % 256 == 255) {
      (void)engine_->tick(MonotonicTime(Nanoseconds(static_cast<std::int64_t>(now_ns()))));
    }
  }
  groups_.clear();
  (void)attend(options_.settle_ticks);
  const Window idle = attend(options_.idle_ticks);
  const auto memory = read_process_memory();
  if (!memory) return tl::unexpected(memory.error());
  for (unsigned i = 0; i < options_.storming; ++i) ::kill(children_[i], SIGUSR1);
  const Window storming = attend(options_.storm_ticks);
  const auto after = read_process_memory();
  if (!after) return tl::unexpected(after.error());
  if (options_.smaps) std::cerr << read_file("/proc/self/smaps").value_or("");
  const agent::EngineStatus status = engine_->status();
  return nlohmann::json{{"cgroups", options_.cgroups},
                        {"processes", children_.size()},
                        {"realtime", status.quality.realtime},
                        {"memory_locked", status.quality.memory_locked},
                        {"lost", status.lost},
                        {"idle",
                         {{"cpu_ratio", idle.cpu_ratio},
                          {"tick_cpu_us", idle.tick_us},
                          {"grants", idle.grants},
                          {"memory", to_json(*memory)}}},
                        {"storm",
                         {{"cgroups", options_.storming},
                          {"cpu_ratio", storming.cpu_ratio},
                          {"tick_cpu_us", storming.tick_us},
                          {"grants", storming.grants},
                          {"kills", storming.kills},
                          {"memory", to_json(*after)}}}};
}

int bench_main(int argc, char** argv) {
  Options options;
  CLI::App app("Memory and CPU time of the engine");
  app.add_option("--cgroups", options.cgroups, "tracked")->check(CLI::Range(1, 2000));
  app.add_option("--storming", options.storming, "of them in the second part");
  app.add_option("--settle", options.settle_ticks, "ticks before anything is measured");
  app.add_option("--idle", options.idle_ticks, "ticks")->check(CLI::PositiveNumber);
  app.add_option("--storm", options.storm_ticks, "ticks")->check(CLI::PositiveNumber);
  app.add_flag("--processes,!--no-processes", options.processes, "a sleeping process in each");
  app.add_flag("--smaps", options.smaps, "print /proc/self/smaps on standard error");
  CLI11_PARSE(app, argc, argv);
  Run run(options);
  const auto prepared = run.prepare();
  const auto result = prepared ? run.measure() : tl::unexpected(prepared.error());
  if (!result) {
    std::cerr << "bench-footprint: " << result.error().message << '\n';
    return 1;
  }
  std::cout << result->dump() << '\n';
  return 0;
}

}  // namespace
}  // namespace plimsoll::bench

int main(int argc, char** argv) { return plimsoll::bench::bench_main(argc, argv); }
