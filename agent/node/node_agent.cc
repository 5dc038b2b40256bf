// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_agent.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <utility>

#include "agent/config/keys.h"
#include "agent/node/apply_resize.h"
#include "agent/node/container_specs.h"
#include "agent/node/leaving.h"
#include "agent/node/limit_changes.h"
#include "agent/node/publish.h"
#include "agent/node/resident_memory.h"

namespace plimsoll::agent {
namespace {

// After so long without an answer to a request, what requests use is given back.
constexpr Nanoseconds kQuiet = std::chrono::seconds(10);

// Between two looks at a pod that is brought back to what it declares.
constexpr Nanoseconds kLeaveAgain = std::chrono::seconds(1);

std::uint32_t today() {
  const auto days = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  return static_cast<std::uint32_t>(std::max<std::int64_t>(days.time_since_epoch().count(), 0));
}

kube::ApiTime wall_now() {
  return std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
}

// What starts is boosted as far as the API server has said beforehand.
bool has_something_to_step(const NodePod& pod) {
  return !pod.containers.empty() || !pod.words.empty() || !pod.cpu_words.empty() ||
         !pod.outcomes.empty() || will_be_boosted(pod);
}

}  // namespace

NodeAgent::NodeAgent(AgentOptions options, Parts parts)
    : options_(std::move(options)),
      parts_(std::move(parts)),
      api_(parts_.config.node.api.latency) {}

NodeAgent::~NodeAgent() {
  parts_.event_client->stop();  // the poster's thread may wait for an answer
  parts_.state->flush(parts_.pods->state(), floors(), monotonic_now());
}

Result<void> NodeAgent::run(int stop_fd) {
  auto alarm = Timer::make();
  auto ticks = Timer::make();
  if (!alarm || !ticks) return tl::unexpected(alarm ? ticks.error() : alarm.error());
  alarm_ = std::move(*alarm);
  ticks_ = std::move(*ticks);
  ticks_.set(parts_.config.tick, parts_.config.tick);
  tick(monotonic_now());
  turn(monotonic_now(), true);

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
        parts_.announce->fd()};
    for (std::size_t i = 0; i < kSources; ++i)
      waits[i] = {.fd = fds[i], .events = POLLIN, .revents = 0};
    if (::poll(waits.data(), waits.size(), -1) < 0) {
      if (errno == EINTR) continue;
      return errno_error(errno, "wait for news");
    }
    const auto ready = [&](Source source) { return waits[source].revents != 0; };
    if (ready(kStop)) return {};
    if (ready(kAlarm)) alarm_.clear();
    if (ready(kCgroups)) {
      if (!parts_.cgroups->drain().empty()) parts_.pods->set_stale();
    }
    if (ready(kPods)) on_pods();
    if (ready(kAnnounced)) {
      parts_.announce->react(parts_.config.policy.memory, monotonic_now());
    }
    if (ready(kEngine)) on_records(parts_.engine->collect());
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
    if (synced_ || ticked) turn(monotonic_now(), ticked);
    if (parts_.explain_server && (ready(kExplain) || ticked)) {
      parts_.explain_server->turn(monotonic_now());
    }
    if (ticked) publish(monotonic_now());
  }
}

// ---- what comes ------------------------------------------------------------------------------

void NodeAgent::on_pods() {
  DecisionLog& log = *parts_.log;
  for (kube::PodChange& change : parts_.watcher->take()) {
    switch (change.kind) {
      case kube::PodChange::Kind::kPresent:
        parts_.pods->present(std::move(change.pod), parts_.config);
        break;
      case kube::PodChange::Kind::kGone:
        parts_.reporter->ended(parts_.pods->gone(change.pod.id.uid));
        break;
      case kube::PodChange::Kind::kSynced:
        parts_.pods->forget_unseen();
        synced_ = true;
        break;
      case kube::PodChange::Kind::kSkipped:
        log.write(LogLevel::kWarn, "a pod could not be read",
                  {{"namespace", change.pod.id.namespace_name},
                   {"pod", change.pod.id.name},
                   {"error", change.error.message}});
        break;
      case kube::PodChange::Kind::kFailed:
        log.write(LogLevel::kWarn, "the API server cannot be watched",
                  {{"error", change.error.message}});
        if (change.error.code == Code::kUnavailable) {
          note_api(kube::Refusal{.cause = kube::Cause::kTransport}, monotonic_now());
        }
        break;
      case kube::PodChange::Kind::kResumed:
        log.write(LogLevel::kInfo, "the API server is watched again", {});
        note_api(std::nullopt, monotonic_now());
        parts_.probe->ask_again();
        break;
    }
  }
}

void NodeAgent::on_records(const std::vector<Record>& records) {
  agent::on_records(records, *parts_.pods, *parts_.reporter, parts_.systemd.get());
}

void NodeAgent::on_outcomes() {
  for (ResizerOutcome& outcome : parts_.resizer->collect()) {
    drop_pages_at_ = outcome.outcome.answered + kQuiet;
    note_api(outcome.outcome.refusal, outcome.outcome.answered);
    NodePod* pod = parts_.pods->find(outcome.uid);
    if (pod == nullptr) continue;
    pod->outcomes.push_back(std::move(outcome.outcome));
    pod->due = true;
  }
}

void NodeAgent::on_facts() {
  const auto facts = parts_.probe->take();
  if (!facts || !api_.learn(*facts)) return;
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
  set_allocatable();
  note_api(std::nullopt, monotonic_now());
  all_due();
}

void NodeAgent::set_allocatable() {
  if (!api_.facts() || !api_.facts()->node) return;
  const kube::Node& node = *api_.facts()->node;
  parts_.engine->set_allocatable_cpu(node.allocatable_cpu);
  if (!node.allocatable) return;
  parts_.engine->set_allocatable(scaled(*node.allocatable, parts_.config.node.budget.node_share));
}

void NodeAgent::note_api(const std::optional<kube::Refusal>& refusal, MonotonicTime now) {
  if (!api_.note(refusal, now)) return;
  parts_.log->write(
      LogLevel::kWarn,
      api_.away() ? "the API server is of no use for now" : "the API server answers again",
      {{"error", refusal ? std::string_view(refusal->message) : std::string_view()}});
  all_due();
}

void NodeAgent::all_due() {
  for (auto& [uid, pod] : parts_.pods->pods()) pod.due = true;
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
  parts_.engine->reconfigure(config.policy);
  parts_.reporter->reconfigure(config.node);
  ticks_.set(config.tick, config.tick);
  set_allocatable();
  parts_.pods->reconfigure(config);
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

void NodeAgent::tick(MonotonicTime now) {
  if (!parts_.cgroups->watching() && !parts_.cgroups->rescan().empty()) {
    parts_.pods->set_stale();
  }
  if (drop_pages_at_ && now >= *drop_pages_at_) {
    (void)drop_unneeded_pages();
    drop_pages_at_.reset();
  }
  on_records(parts_.engine->tick(now));
  parts_.announce->tick(parts_.config.policy.memory, now, today());
}

// ---- one turn --------------------------------------------------------------------------------

void NodeAgent::turn(MonotonicTime now, bool ticked) {
  reconcile(now);
  const std::vector<Planned> planned = step_pods(now);
  save(now);
  apply(planned, now);
  // What the engine tracks from now on, and wider bounds: at once, for a container may be starting.
  on_records(parts_.engine->arm(monotonic_now()));
  keep_boosts(monotonic_now(), ticked);
  if (synced_ && !std::exchange(told_armed_, true)) {
    report_armed(monotonic_now());
    drop_pages_at_ = monotonic_now();  // of handshakes and of the programs' loading
  }
  set_alarm(now);
}

void NodeAgent::reconcile(MonotonicTime now) {
  const NodePods::Changes changes = parts_.pods->reconcile(parts_.config, now);
  parts_.announce->follow(parts_.pods->pods(), monotonic_now());
  parts_.reporter->ended(changes.ended);
  for (const ContainerRef& subject : changes.began) parts_.reporter->watched(subject);
  for (const auto& [subject, error] : changes.failed) {
    parts_.log->write(LogLevel::kWarn, "a container cannot be watched",
                      {{"namespace", subject.name_space},
                       {"pod", subject.pod},
                       {"container", subject.container},
                       {"error", error.message}});
  }
  for (const auto& [subject, problem] : changes.problems) {
    parts_.reporter->problem(subject, problem.text);
  }
  for (ContainerNote& each : parts_.announce->take()) {
    const bool unseen = each.what == kCommandUnseen;
    report(unseen ? LogLevel::kWarn : LogLevel::kDebug, "announced work", {std::move(each)});
  }
}

std::vector<NodeAgent::Planned> NodeAgent::step_pods(MonotonicTime now) {
  std::vector<Planned> planned;
  const ResizeConfig config = resize_config(parts_.config.node, options_.node_name);
  for (auto& [uid, pod] : parts_.pods->pods()) {
    if (pod.wake && *pod.wake <= now) pod.due = true;
    if (!pod.due || !has_something_to_step(pod)) continue;
    pod.due = false;
    std::vector<ResizeAction> actions = step_pod(pod, config, now);
    const bool asks = std::any_of(actions.begin(), actions.end(), [](const auto& each) {
      return std::holds_alternative<SendResize>(each);
    });
    if (asks) api_.asked(now);  // not those after it
    if (!actions.empty()) planned.push_back({&pod, std::move(actions)});
  }
  return planned;
}

std::vector<ResizeAction> NodeAgent::step_pod(NodePod& pod, const ResizeConfig& config,
                                              MonotonicTime now) {
  ResizeFacts facts{.pod = &pod.pod,
                    .policies = &pod.policy.containers,
                    .api = api_.status(now),
                    .words = std::exchange(pod.words, {}),
                    .cpu_words = std::exchange(pod.cpu_words, {}),
                    .outcomes = std::exchange(pod.outcomes, {})};
  if (now >= pod.readable_at) facts.reading = read_files(pod, now);
  ResizeStep step = agent::step(std::move(pod.resize), facts, now, config);
  pod.resize = std::move(step.state);
  pod.wake = step.wake;
  if (pod.leaves()) {
    if (bring_back(pod, *parts_.engine, now)) parts_.pods->set_stale();
    pod.wake = std::min(pod.wake.value_or(now + kLeaveAgain), now + kLeaveAgain);
  }
  for (const ResizeAction& action : step.actions) {
    const auto* set = std::get_if<SetBounds>(&action);
    NodeContainer* container = set == nullptr ? nullptr : pod.find(set->container);
    if (container == nullptr) continue;
    if (const auto* memory = std::get_if<EngineBounds>(&set->bounds)) {
      container->bounds = *memory;
    } else {
      container->set_cpu_bounds(std::get<CpuBounds>(set->bounds));
    }
  }
  for (const ResizeAnswer& each : step.answers) {
    if (each.answer.patch_to_limit) api_.note_patch_to_limit(*each.answer.patch_to_limit);
    parts_.reporter->event(ref_of(pod.pod.id, each.container), each.answer);
  }
  return std::move(step.actions);
}

NodeState NodeAgent::floors() const {
  NodeState floors = parts_.pods->hidden_limits();
  floors.learned = parts_.announce->learned();
  return floors;
}

// What may be written is on disk before it may be written, and a floor before the API forgets it.
void NodeAgent::save(MonotonicTime now) {
  StateStore& state = *parts_.state;
  if (const auto trouble = state.save(parts_.pods->state(), floors(), now)) {
    parts_.log->write(LogLevel::kError,
                      "the state cannot be saved, no limit is raised that is not in it",
                      {{"error", trouble->message}});
  }
  const Covers covers{
      .memory = [&](CgroupId id, Limit ceiling) { return state.covers(id, ceiling); },
      .cpu = [&](CgroupId id, MilliCpu ceiling) { return state.covers_cpu(id, ceiling); }};
  constexpr int kAnswers = 2;  // one under way, and the next
  (void)give_bounds(parts_.pods->pods(), *parts_.engine, covers, kAnswers * api_.patch_to_limit(),
                    now);
}

void NodeAgent::apply(const std::vector<Planned>& planned, MonotonicTime now) {
  const ResizeTools tools{.engine = *parts_.engine,
                          .resizer = *parts_.resizer,
                          .pods = *parts_.pods,
                          .state = *parts_.state,
                          .api = api_,
                          .reporter = *parts_.reporter,
                          .systemd = parts_.systemd.get()};
  for (const Planned& each : planned) apply_resize(each.actions, *each.pod, tools, now);
}

void NodeAgent::keep_boosts(MonotonicTime now, bool ticked) {
  parts_.startup->follow(parts_.pods->pods(), parts_.config.node.startup, wall_now(), now, ticked);
  report(LogLevel::kInfo, "start-up boost", parts_.startup->take());
}

void NodeAgent::set_alarm(MonotonicTime now) {
  std::optional<MonotonicTime> next = parts_.pods->look_again();
  for (const auto& [uid, pod] : parts_.pods->pods()) {
    const bool is_due = pod.due && (!pod.containers.empty() || will_be_boosted(pod));
    const std::optional<MonotonicTime> wake = is_due ? now : pod.wake;
    if (wake && (!next || *wake < *next)) next = wake;
  }
  // 0 would disarm it.
  alarm_.set(next ? std::max<Nanoseconds>(*next - now, std::chrono::milliseconds(1))
                  : Nanoseconds{});
}

// ---- what is told ----------------------------------------------------------------------------

void NodeAgent::report(LogLevel level, std::string_view sentence,
                       std::vector<ContainerNote> notes) {
  for (ContainerNote& note : notes) {
    const bool known = parts_.pods->find(note.subject.uid) != nullptr;
    parts_.reporter->note(level, sentence, std::move(note), known);
  }
}

void NodeAgent::report_armed(MonotonicTime now) {
  const auto& arming = parts_.engine->plan().arming;
  const auto armed = std::count_if(arming.begin(), arming.end(),
                                   [](const Arming& each) { return !each.armed.denial; });
  const auto since = parts_.watcher->status().list_began.value_or(now);
  parts_.log->write(LogLevel::kInfo, "all pods of the node are known",
                    {{"pods", std::uint64_t{parts_.pods->pods().size()}},
                     {"tracked", std::uint64_t{parts_.pods->tracked()}},
                     {"armed", static_cast<std::uint64_t>(armed)},
                     {"since_list_seconds", std::chrono::duration<double>(now - since).count()}});
}

void NodeAgent::publish(MonotonicTime now) {
  const PodWatcherStatus watcher = parts_.watcher->status();
  const StateStats state{.writes = parts_.state->writes(),
                         .write_failures = parts_.state->write_failures()};
  const Published parts{.node = options_.node_name,
                        .engine = *parts_.engine,
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
  parts_.board->publish({stats_of(parts), health_of(parts, troubles, now)});
}

}  // namespace plimsoll::agent
