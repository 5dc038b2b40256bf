// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/run.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <iostream>
#include <thread>

#include "agent/commands/child.h"
#include "agent/commands/run_cgroup.h"
#include "agent/commands/run_report.h"
#include "agent/commands/scope.h"
#include "agent/commands/scope_enter.h"
#include "agent/engine/announced_commands.h"
#include "agent/engine/engine.h"
#include "base/clock.h"
#include "base/file.h"
#include "cgroup/meminfo.h"
#include "cgroup/mounts.h"
#include "cgroup/node_cpu.h"
#include "cgroup/root.h"

namespace plimsoll::agent {
namespace {

constexpr std::array kForwarded{SIGINT, SIGQUIT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2, SIGWINCH};

// Blocks the signals that are the command's and returns a descriptor that has them.
Result<Fd> take_signals() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kForwarded) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  Fd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return errno_error(errno, "watch for signals");
  return fd;
}

// A signal that the terminal sent has reached the command already: it is in the same process group.
void forward_signals(const Fd& signals, const Child& child) {
  signalfd_siginfo info{};
  while (::read(signals.get(), &info, sizeof(info)) == static_cast<ssize_t>(sizeof(info))) {
    if (info.ssi_code != SI_KERNEL) child.send(static_cast<int>(info.ssi_signo));
  }
}

// Where the command's cgroup is made: below the one that was named, else where scope.h finds room.
struct Place {
  cgroup::Root root;
  cgroup::Group parent;
  std::optional<Scope> scope;
};

Result<Place> find_place(const RunOptions& options) {
  if (options.parent.empty()) {
    auto scope = Scope::enter(options.arguments);
    if (!scope) return tl::unexpected(scope.error());
    auto root = cgroup::Root::open(scope->root().path());
    if (!root) return tl::unexpected(root.error());
    auto parent = root->open_group(scope->parent().path());
    if (!parent) return tl::unexpected(parent.error());
    return Place{std::move(*root), std::move(*parent), std::move(*scope)};
  }
  const auto mounts = cgroup::read_mounts();
  if (!mounts) return tl::unexpected(mounts.error());
  if (!mounts->v2) return fail(Code::kUnsupported, "no cgroup v2 is mounted; see plimsoll doctor");
  auto root = cgroup::Root::open(*mounts->v2);
  if (!root) return tl::unexpected(root.error());
  std::string_view path(options.parent);
  // As people type it, or as the kernel names it.
  if (path.starts_with(root->path())) path.remove_prefix(root->path().size());
  auto parent = root->open_group(path == "/" ? "" : path);
  if (!parent) return tl::unexpected(parent.error());
  constexpr std::array<std::string_view, 1> kControllers{"memory"};
  if (auto enabled = cgroup::Writer().enable_controllers(*parent, kControllers); !enabled) {
    return tl::unexpected(enabled.error());
  }
  return Place{std::move(*root), std::move(*parent), std::nullopt};
}

Result<Bytes> default_ceiling(const RunOptions& options) {
  const auto meminfo = cgroup::read_meminfo();
  if (!meminfo) return tl::unexpected(meminfo.error());
  const Bytes reserve = options.config.policy.budget.reserve.value_or(
      std::max(Bytes{meminfo->total.value / 20}, Bytes{64 * kMiB}));
  return meminfo->total - reserve;
}

class Session {
 public:
  Session(const RunOptions& options, Bytes ceiling) : options_(options) {
    report_.command = options.command;
    report_.ceiling = ceiling;
  }

  Result<ExitStatus> run();

 private:
  Result<void> prepare();
  Result<void> attend(const Child& child);
  void wait_until_armed() const;
  static void warn(const EngineStatus& status);
  Result<Slot> track_parent(Bytes ceiling);
  Result<CpuSpec> limit_cpu();
  void tick();
  void announce();
  void put_parent_back();
  void finish();
  void take(const std::vector<Record>& records);

  const RunOptions& options_;
  RunReport report_;
  std::optional<Place> place_;
  cgroup::Writer writer_;
  std::optional<RunCgroup> cgroup_;
  std::unique_ptr<Engine> engine_;
  Slot slot_ = 0;
  AnnouncedCommands announcer_;
  std::optional<Limit> parent_limit_;  // before us, where it is ours to raise
  bool cpu_handed_on_ = false;         // by us, so that it is taken back
  Fd signals_;
};

Result<void> Session::prepare() {
  auto place = find_place(options_);
  if (!place) return tl::unexpected(place.error());
  place_.emplace(std::move(*place));
  cgroup::Group& parent = place_->parent;
  auto made = RunCgroup::make(place_->root, parent, options_.name);
  if (!made) return tl::unexpected(made.error());
  cgroup_.emplace(std::move(*made));
  auto limited = writer_.set_memory_max(cgroup_->group(), options_.memory);
  if (!limited) return tl::unexpected(limited.error());
  report_.start_limit = limited->after;
  report_.final_limit = limited->after;

  ContainerSpec spec{.bounds = {.floor = {report_.start_limit.bytes}, .ceiling = report_.ceiling}};
  if (options_.cpu) {
    const auto cpu = limit_cpu();
    if (!cpu) return tl::unexpected(cpu.error());
    spec.cpu = *cpu;
  }
  const Config& config = options_.config;
  auto engine = Engine::start({.policy = config.policy, .hold = config.hold, .tier = config.tier});
  if (!engine) return tl::unexpected(engine.error());
  engine_ = std::move(*engine);
  const EngineStatus status = engine_->status();
  report_.tier = status.tier;
  if (!options_.quiet) warn(status);
  if (options_.parent_ceiling) {
    const auto slot = track_parent(*options_.parent_ceiling);
    if (!slot) return tl::unexpected(slot.error());
    spec.parent = *slot;
  }
  auto group = place_->root.open_group(cgroup_->group().path());
  if (!group) return tl::unexpected(group.error());
  const auto slot = engine_->track(std::move(*group), spec);
  if (!slot) return tl::unexpected(slot.error());
  if (report_.cpu) report_.cpu->refusal = engine_->status().cpu->refusal;
  slot_ = *slot;
  tick();
  wait_until_armed();
  announce();
  return {};
}

Result<Slot> Session::track_parent(Bytes ceiling) {
  const cgroup::Group& parent = place_->parent;
  const auto limit = parent.read_memory_max();
  if (!limit) return tl::unexpected(limit.error());
  auto tracked = place_->root.open_group(parent.path());
  if (!tracked) return tl::unexpected(tracked.error());
  const auto slot = engine_->track(std::move(*tracked),
                                   {.bounds = {.floor = {limit->bytes}, .ceiling = ceiling}});
  if (slot) parent_limit_ = *limit;
  return slot;
}

Result<CpuSpec> Session::limit_cpu() {
  constexpr std::array<std::string_view, 1> kController{"cpu"};
  const cgroup::Group& parent = place_->parent;
  const auto handed = parent.read_subtree_control();
  if (handed && !handed->contains("cpu")) {
    if (auto enabled = writer_.enable_controllers(parent, kController); !enabled) {
      return fail(enabled.error().code,
                  "--cpu needs the cpu controller: " + enabled.error().message);
    }
    cpu_handed_on_ = true;
  }
  const auto node = cgroup::read_node_cpu();
  if (!node) return tl::unexpected(node.error());
  const MilliCpu all{std::uint64_t{node->cpus} * 1000};
  const CpuSpec spec{
      .bounds = {.floor = *options_.cpu,
                 .ceiling = std::max(*options_.cpu, options_.cpu_ceiling.value_or(all))},
      .promised = *options_.cpu};
  const auto limited = writer_.set_cpu_max(
      cgroup_->group(), cgroup::cpu_max_of(spec.bounds.floor, cgroup::CpuMax{}.period));
  if (!limited) return tl::unexpected(limited.error());
  report_.cpu = CpuRunReport{.floor = cgroup::cpus_of(limited->after).value_or(spec.bounds.floor),
                             .ceiling = spec.bounds.ceiling};
  return spec;
}

// Without it the limit still follows the need.
void Session::announce() {
  if (options_.announce.empty()) return;
  const auto watched =
      announcer_.watch(slot_, cgroup_->group(), options_.announce, options_.command.front());
  if (watched) return;
  const std::string what = "commands cannot be announced: " + watched.error().message;
  report_.failures.push_back(what);
  if (!options_.quiet) std::cerr << "plimsoll: " << what << '\n';
}

// A command may be at its limit a few milliseconds after its start.
void Session::wait_until_armed() const {
  constexpr Nanoseconds kLongest = std::chrono::seconds(1);
  for (const MonotonicTime start = monotonic_now();
       !engine_->settled() && monotonic_now() - start < kLongest;) {
    std::this_thread::sleep_for(std::chrono::microseconds(100));
  }
}

void Session::warn(const EngineStatus& status) {
  if (!status.tier_refusals.empty()) {
    std::cerr << "plimsoll: in tier " << bpf::to_string(status.tier)
              << " (plimsoll doctor has the cures):\n"
              << status.tier_refusals;
  }
  if (!status.quality.warning.empty()) {
    std::cerr << "plimsoll: " << status.quality.warning << '\n';
  }
}

Result<ExitStatus> Session::run() {
  auto signals = take_signals();
  if (!signals) return tl::unexpected(signals.error());
  signals_ = std::move(*signals);
  if (auto prepared = prepare(); !prepared) return tl::unexpected(prepared.error());
  report_.started = monotonic_now();
  auto child = Child::start(options_.command, cgroup_->group(), writer_);
  if (!child) return tl::unexpected(child.error());
  if (auto attended = attend(*child); !attended) return tl::unexpected(attended.error());
  report_.exit = child->wait();
  report_.ended = monotonic_now();
  finish();
  return report_.exit;
}

Result<void> Session::attend(const Child& child) {
  const auto timer = Timer::make();
  if (!timer) return tl::unexpected(timer.error());
  timer->set(options_.config.tick, options_.config.tick);
  std::array<pollfd, 5> waits{{{.fd = child.exit_fd(), .events = POLLIN, .revents = 0},
                               {.fd = signals_.get(), .events = POLLIN, .revents = 0},
                               {.fd = timer->fd(), .events = POLLIN, .revents = 0},
                               {.fd = engine_->report_fd(), .events = POLLIN, .revents = 0},
                               {.fd = announcer_.fd(), .events = POLLIN, .revents = 0}}};
  while (true) {
    if (::poll(waits.data(), waits.size(), -1) < 0 && errno != EINTR) {
      return errno_error(errno, "wait for the command");
    }
    if (waits[4].revents != 0) {
      announcer_.react(*engine_, options_.config.policy.memory, monotonic_now());
    }
    if (waits[1].revents != 0) forward_signals(signals_, child);
    if (waits[2].revents != 0) {
      timer->clear();
      tick();
    }
    if (waits[3].revents != 0) take(engine_->collect());
    if (waits[0].revents != 0) return {};
  }
}

void Session::tick() {
  take(engine_->tick(monotonic_now()));
  announcer_.tick(*engine_, options_.config.policy.memory, monotonic_now());
}

void Session::take(const std::vector<Record>& records) {
  for (const Record& record : records) report_.add(record);
}

void Session::put_parent_back() {
  const cgroup::Group& parent = place_->parent;
  // Lowering a limit below what is needed would kill.
  const auto usage = parent.read_memory_current();
  if (usage && limit_of(*usage) > *parent_limit_) {
    (void)writer_.reclaim(parent, *usage - Bytes{parent_limit_->bytes});
  }
  const auto left = parent.read_memory_current();
  if (left && limit_of(*left) < *parent_limit_ && writer_.set_memory_max(parent, *parent_limit_)) {
    return;
  }
  report_.failures.push_back("the limit of " + options_.parent +
                             " was left raised: what lives in it needs more than " +
                             to_string(*parent_limit_));
}

void Session::finish() {
  announcer_.stop(*engine_, options_.config.policy.memory, monotonic_now());
  report_.announced = announcer_.use(slot_);
  take(engine_->collect());
  const cgroup::Group& group = cgroup_->group();
  if (const auto limit = group.read_memory_max()) report_.final_limit = *limit;
  if (const auto peak = group.read_memory_peak()) report_.peak = *peak;
  if (const auto events = group.read_memory_events()) report_.oom_kills = events->oom_kill;
  if (report_.cpu) {
    if (const auto max = group.read_cpu_max()) {
      report_.cpu->final_limit = cgroup::cpus_of(*max).value_or(MilliCpu{});
    }
    if (const auto stat = group.read_cpu_stat()) report_.cpu->stat = *stat;
  }
  const EngineStatus status = engine_->status();
  report_.counters = status.kernel;
  report_.lost = status.lost;
  engine_.reset();
  if (auto removed = cgroup_->remove(); !removed) {
    report_.failures.push_back(removed.error().message);
  }
  if (cpu_handed_on_) {
    constexpr std::array<std::string_view, 1> kController{"cpu"};
    (void)writer_.disable_controllers(place_->parent, kController);  // another run may use it
  }
  // Others may live in the parent: it gets its limit back, at the cost of their cache only.
  if (parent_limit_) put_parent_back();

  if (options_.json) {
    std::cerr << to_json(report_) << '\n';
  } else if (!options_.quiet) {
    std::cerr << to_text(report_);
  }
  if (options_.report_file.empty()) return;
  const Fd file(
      ::open(options_.report_file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  const auto written = write_all(file, to_json(report_) + "\n", options_.report_file);
  if (!file || !written) {
    std::cerr << "plimsoll: cannot write the report to " << options_.report_file << '\n';
  }
}

// What a run with these options would do, without doing any of it.
Result<std::string> foresee(const RunOptions& options, Bytes ceiling) {
  const auto facts = read_scope_facts();
  if (!facts) return tl::unexpected(facts.error());
  std::string where = options.parent;
  if (where.empty()) {
    const auto decision = decide_scope(*facts, options.arguments);
    if (!decision) return tl::unexpected(decision.error());
    where = decision->through.empty() ? "/" + decision->parent : "a scope made by systemd-run";
  }
  std::string cpu;
  if (options.cpu) {
    cpu = "\n  cpu      " + to_string(*options.cpu) + ", growing to at most " +
          (options.cpu_ceiling ? to_string(*options.cpu_ceiling) : "all CPUs");
  }
  std::string announced;
  for (const AnnouncedCommand& command : options.announce) {
    announced += (announced.empty() ? "\n  announced " : ", ") + command.name;
    if (command.size) announced += " " + to_string(*command.size);
  }
  return "would run " + options.command.front() + " in a fresh cgroup below " + where +
         "\n  limit    " + to_string(options.memory) + ", growing to at most " +
         to_string(ceiling) + cpu + announced + "\n  shrinks  after " +
         plimsoll::to_string(options.config.policy.memory.shrink_after) + " without need\n";
}

}  // namespace

int run_main(const RunOptions& options) {
  const auto failed = [](const Error& error) {
    std::cerr << "plimsoll: " << error.message << '\n';
    if (!error.message.starts_with("run ")) return kRunFailed;
    return error.code == Code::kGone ? kRunNotFound : kRunNotExecutable;
  };
  const auto ceiling =
      options.memory_ceiling ? Result<Bytes>(*options.memory_ceiling) : default_ceiling(options);
  if (!ceiling) return failed(ceiling.error());
  if (options.dry_run) {
    const auto text = foresee(options, *ceiling);
    if (!text) return failed(text.error());
    std::cout << *text;
    return 0;
  }
  Session session(options, *ceiling);
  const auto status = session.run();
  return status ? status->code : failed(status.error());
}

}  // namespace plimsoll::agent
