// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_agent.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/config/keys.h"
#include "agent/node/publish.h"
#include "agent/reaction/resident_memory.h"

namespace plimsoll::agent {
namespace {

// After so long without an answer to a request, what requests use is given back.
constexpr Nanoseconds kQuiet = std::chrono::seconds(10);

}  // namespace

NodeAgent::NodeAgent(AgentOptions options, Parts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      turn_({.config = parts_.config,
             .node = options_.node_name,
             .engine = *parts_.engine,
             .cgroups = *parts_.cgroups,
             .pods = *parts_.pods,
             .announce = *parts_.announce,
             .startup = *parts_.startup,
             .state = *parts_.state,
             .reporter = *parts_.reporter,
             .log = *parts_.log,
             .systemd = parts_.systemd.get(),
             .submit = [resizer = parts_.resizer.get()](const SendResize& send,
                                                        kube::ResizePath path) {
               return resizer->submit(send, path);
             }}) {}

NodeAgent::~NodeAgent() {
  parts_.event_client->stop();  // the poster's thread may wait for an answer
  turn_.flush(monotonic_now());
}

Result<NodeAgent::Ended> NodeAgent::run(int stop_fd) {
  auto alarm = Timer::make();
  auto ticks = Timer::make();
  if (!alarm || !ticks) return tl::unexpected(alarm ? ticks.error() : alarm.error());
  alarm_ = std::move(*alarm);
  ticks_ = std::move(*ticks);
  ticks_.set(parts_.config.tick, parts_.config.tick);
  on_facts();
  turn_.tick(monotonic_now());
  for (kube::PodChange& change : std::exchange(parts_.changes, {})) on_pod(std::move(change));
  turn(true);

  enum Source : std::uint8_t {
    kStop,
    kTicks,
    kAlarm,
    kEngine,
    kPods,
    kOutcomes,
    kFacts,
    kCgroups,
    kConfig,
    kSystemd,
    kExplain,
    kAnnounced,
    kHandover,
    kSources
  };
  std::array<pollfd, kSources> waits{};
  while (true) {
    const std::array<int, kSources> fds{
        stop_fd,
        ticks_.fd(),
        alarm_.fd(),
        parts_.engine->report_fd(),
        parts_.watcher->change_fd(),
        parts_.resizer->outcome_fd(),
        parts_.probe->fact_fd(),
        parts_.cgroups->watch_fd(),
        parts_.config_watch ? parts_.config_watch->fd() : -1,
        parts_.systemd ? parts_.systemd->outcome_fd() : -1,
        parts_.explain_server ? parts_.explain_server->poll_fd() : -1,
        parts_.announce->fd(),
        parts_.handover ? parts_.handover->poll_fd() : -1};
    for (std::size_t i = 0; i < kSources; ++i)
      waits[i] = {.fd = fds[i], .events = POLLIN, .revents = 0};
    if (::poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "wait for news");
    }
    const auto ready = [&](Source source) { return waits[source].revents != 0; };
    if (ready(kStop)) return Ended::kStopped;
    if (ready(kHandover) && on_handover()) return Ended::kTakenOver;
    if (ready(kAlarm)) alarm_.clear();
    if (ready(kCgroups)) {
      if (!parts_.cgroups->drain().empty()) parts_.pods->set_stale();
    }
    if (ready(kPods)) on_pods();
    if (ready(kAnnounced)) {
      parts_.announce->react(parts_.config.policy.memory, monotonic_now());
    }
    if (ready(kEngine)) turn_.on_records(parts_.engine->collect());
    if (ready(kOutcomes)) on_outcomes();
    if (ready(kFacts)) on_facts();
    if (ready(kConfig)) on_config();
    if (ready(kSystemd)) on_systemd();
    const bool ticked = ready(kTicks);
    if (ticked) {
      ticks_.clear();
      tick(monotonic_now());
    }
    // The first LIST brings the pods one by one, and a turn costs as much for one as for all: until
    // its end, what is there at each tick has its turn.
    if (turn_.synced() || ticked) turn(ticked);
    if (parts_.explain_server && (ready(kExplain) || ticked)) {
      parts_.explain_server->turn(monotonic_now());
    }
    if (ticked) publish(monotonic_now());
  }
}

// ---- what comes ------------------------------------------------------------------------------

void NodeAgent::on_pods() {
  for (kube::PodChange& change : parts_.watcher->take()) on_pod(std::move(change));
}

void NodeAgent::on_pod(kube::PodChange&& change) {
  if (change.kind == kube::PodChange::Kind::kResumed) parts_.probe->ask_again();
  turn_.on_pod(std::move(change), monotonic_now());
}

void NodeAgent::on_outcomes() {
  for (ResizerOutcome& outcome : parts_.resizer->collect()) {
    drop_pages_at_ = outcome.outcome.answered + kQuiet;
    turn_.on_outcome(std::move(outcome));
  }
}

void NodeAgent::on_facts() {
  const auto facts = parts_.probe->take();
  if (!facts || !turn_.on_facts(*facts, monotonic_now())) return;
  DecisionLog& log = *parts_.log;
  log.write(LogLevel::kInfo, "the API server is known",
            {{"version", facts->version.git_version},
             {"resize", kube::to_string(facts->path)},
             {"may_resize", facts->may_resize.value_or(false)}});
  if (facts->may_resize == false) {
    log.write(LogLevel::kError,
              "the service account may not resize pods; deploy/daemonset.yaml has the rule", {});
  }
  if (!facts->trouble.empty()) {
    log.write(LogLevel::kWarn, "something of the API server is not known",
              {{"error", facts->trouble}});
  }
}

void NodeAgent::on_config() {
  auto news = parts_.config_watch->take();
  if (!news) return;
  DecisionLog& log = *parts_.log;
  config_state_.generation = parts_.config_watch->generation();
  config_state_.last_reload_good = news->has_value();
  if (!*news) {
    ++config_state_.failures;
    log.write(LogLevel::kError, "the configuration is refused, the last good one stays",
              {{"error", news->error().message}});
    parts_.poster->post(config_notice(options_.node_name, news->error().message));
    return;
  }
  config_state_.taken = std::chrono::system_clock::now();
  const Config before = std::exchange(parts_.config, **news);
  const Config& config = parts_.config;
  ticks_.set(config.tick, config.tick);
  turn_.reconfigure();
  log.write(LogLevel::kInfo, "the configuration is in force",
            {{"generation", config_state_.generation}});
  for (const std::string_view key : keys_for_next_start(before, config)) {
    log.write(LogLevel::kWarn, "a changed key takes effect at the next start", {{"key", key}});
  }
}

void NodeAgent::on_systemd() {
  for (const UnitOutcome& outcome : parts_.systemd->collect()) {
    if (!outcome.error || outcome.error->code == Code::kGone) continue;
    parts_.log->write(LogLevel::kWarn, "systemd was not told a limit",
                      {{"unit", outcome.limits.unit}, {"error", outcome.error->message}});
  }
}

bool NodeAgent::on_handover() {
  const auto asker = parts_.handover->asked();
  if (asker) give_away(*asker);
  return asker.has_value();
}

// Nobody writes between the first line and the moment in which the next agent is at work. Until
// then the programs hold whoever comes to its limit.
void NodeAgent::give_away(const Fd& asker) {
  const MonotonicTime began = monotonic_now();
  parts_.explain_server.reset();  // their places are the next one's
  parts_.handover.reset();
  parts_.engine->stop_writing();
  parts_.resizer.reset();
  parts_.systemd.reset();
  turn_.on_records(parts_.engine->collect());
  turn_.flush(monotonic_now());
  parts_.state->release();
  const auto said = say_free(asker, began);
  constexpr Nanoseconds kLongest = std::chrono::seconds(5);
  constexpr Nanoseconds kBeat = std::chrono::milliseconds(250);
  for (Nanoseconds waited{}; said && waited < kLongest; waited += kBeat) {
    parts_.engine->hold_on(monotonic_now());
    if (wait_until_closed(asker, kBeat)) break;
  }
  parts_.log->write(
      LogLevel::kInfo, "another agent has taken the node over",
      {{"seconds", std::chrono::duration<double>(monotonic_now() - began).count()},
       {"error", said ? std::string_view() : std::string_view(said.error().message)}});
}

// ---- one turn --------------------------------------------------------------------------------

void NodeAgent::tick(MonotonicTime now) {
  if (drop_pages_at_ && now >= *drop_pages_at_) {
    (void)drop_unneeded_pages();
    drop_pages_at_.reset();
  }
  turn_.tick(now);
  // What the first turn has armed, the threads have obeyed by now.
  if (told_armed_) parts_.given.reset();
}

void NodeAgent::turn(bool ticked) {
  const MonotonicTime now = monotonic_now();
  turn_.turn(now, ticked);
  if (turn_.synced() && !std::exchange(told_armed_, true)) {
    if (parts_.given) report_taken_over(monotonic_now());
    report_armed(monotonic_now());
    drop_pages_at_ = monotonic_now();  // of handshakes and of the programs' loading
  }
  const std::optional<MonotonicTime> next = turn_.next(now);
  // 0 would disarm it.
  alarm_.set(next ? std::max<Nanoseconds>(*next - now, std::chrono::milliseconds(1))
                  : Nanoseconds{});
}

// ---- what is told ----------------------------------------------------------------------------

void NodeAgent::report_armed(MonotonicTime now) {
  const auto& arming = parts_.engine->plan().arming;
  const auto armed = std::count_if(arming.begin(), arming.end(),
                                   [](const Arming& each) { return !each.armed.denial; });
  const auto since = parts_.watcher->status().list_began.value_or(now);
  parts_.log->write(LogLevel::kInfo, "all pods of the node are known",
                    {{"pods", std::uint64_t{parts_.pods->pods().size()}},
                     {"tracked", std::uint64_t{parts_.pods->slots().tracked()}},
                     {"armed", static_cast<std::uint64_t>(armed)},
                     {"since_list_seconds", std::chrono::duration<double>(now - since).count()}});
}

void NodeAgent::report_taken_over(MonotonicTime now) {
  const Nanoseconds gap = now - parts_.given->stopped;
  parts_.log->write(LogLevel::kInfo, "the node was taken over from another agent",
                    {{"gap_seconds", std::chrono::duration<double>(gap).count()}});
}

void NodeAgent::publish(MonotonicTime now) {
  const PodWatcherStatus watcher = parts_.watcher->status();
  const StateStats state{.writes = parts_.state->writes(),
                         .write_failures = parts_.state->write_failures()};
  const Published parts{.node = options_.node_name,
                        .engine = *parts_.engine,
                        .status = parts_.engine->status(),
                        .pods = *parts_.pods,
                        .announce = *parts_.announce,
                        .startup = *parts_.startup,
                        .watcher = watcher,
                        .resizer = *parts_.resizer,
                        .poster = *parts_.poster,
                        .log = *parts_.log,
                        .api = *parts_.tally,
                        .activity = parts_.reporter->activity(),
                        .config = config_state_,
                        .state = state};
  const bool refused = parts_.config_watch && parts_.config_watch->error();
  const Troubles troubles{.config = refused ? parts_.config_watch->error()->message : std::string(),
                          .state = parts_.state->trouble()};
  parts_.front.board->publish({stats_of(parts), health_of(parts, troubles, now)});
}

}  // namespace plimsoll::agent
