// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_turn.h"

#include <algorithm>
#include <utility>

#include "agent/node/apply_resize.h"
#include "agent/node/container_specs.h"
#include "agent/node/early_containers.h"
#include "agent/node/leaving.h"
#include "agent/node/limit_changes.h"
#include "base/clock.h"

namespace plimsoll::agent {
namespace {

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
  return !pod.containers.empty() || !pod.words.empty() || !pod.outcomes.empty() ||
         will_be_boosted(pod);
}

void set_bounds(NodePod& pod, const std::vector<ResizeAction>& actions) {
  for (const ResizeAction& action : actions) {
    const auto* set = std::get_if<SetBounds>(&action);
    NodeContainer* container = set == nullptr ? nullptr : pod.find(set->container);
    if (container == nullptr) continue;
    if (const auto* cpu = std::get_if<EngineBounds<MilliCpu>>(&set->bounds)) {
      container->set_cpu_bounds(*cpu);
    } else {
      container->set_bounds(*pod.resize_of(set->container));
    }
  }
  // What was allowed before this agent ends with an answer, whatever the bounds.
  for (NodeContainer& container : pod.containers) {
    const bool left = container.allowed_before != Bytes{};
    const auto* plan = left ? pod.resize_of(container.policy.name) : nullptr;
    if (plan != nullptr) container.set_bounds(*plan);
  }
}

NodeState floors_of(const TurnTools& tools) {
  NodeState floors = tools.pods.hidden_limits();
  floors.learned = tools.announce.learned();
  return floors;
}

void all_due(NodePods& pods) {
  for (auto& [uid, pod] : pods.pods()) pod.due = true;
}

}  // namespace

NodeTurn::NodeTurn(TurnTools tools)
    : tools_(std::move(tools)), api_(tools_.config.node.api.latency) {}

void NodeTurn::flush(MonotonicTime now) {
  tools_.state.flush(tools_.pods.state(), floors_of(tools_), now);
}

// ---- what comes ------------------------------------------------------------------------------

void NodeTurn::on_pod(kube::PodChange change, MonotonicTime now) {
  DecisionLog& log = tools_.log;
  switch (change.kind) {
    case kube::PodChange::Kind::kPresent:
      tools_.pods.present(std::move(change.pod), tools_.config);
      break;
    case kube::PodChange::Kind::kGone:
      tools_.reporter.ended(tools_.pods.gone(change.pod.id.uid));
      break;
    case kube::PodChange::Kind::kSynced:
      tools_.pods.forget_unseen();
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
        note_api(kube::Refusal{.cause = change.cause}, "", now);
      }
      break;
    case kube::PodChange::Kind::kResumed:
      log.write(LogLevel::kInfo, "the API server is watched again", {});
      note_api(std::nullopt, "", now);
      break;
  }
}

void NodeTurn::on_records(const std::vector<Record>& records) {
  agent::on_records(records, tools_.pods, tools_.reporter, tools_.systemd);
}

void NodeTurn::on_outcome(ResizerOutcome outcome) {
  NodePod* pod = tools_.pods.find(outcome.uid);
  note_api(outcome.outcome.refusal,
           pod == nullptr ? std::string_view() : std::string_view(pod->pod.id.namespace_name),
           outcome.outcome.answered);
  if (pod == nullptr) return;
  pod->outcomes.push_back(std::move(outcome.outcome));
  pod->due = true;
}

bool NodeTurn::on_facts(const ApiFacts& facts, MonotonicTime now) {
  if (!api_.learn(facts)) return false;
  set_allocatable();
  note_api(std::nullopt, "", now);
  all_due(tools_.pods);
  return true;
}

void NodeTurn::reconfigure() {
  tools_.engine.reconfigure(tools_.config.policy);
  tools_.reporter.reconfigure(tools_.config.node);
  set_allocatable();
  tools_.pods.reconfigure(tools_.config);
}

void NodeTurn::set_allocatable() {
  if (!api_.facts() || !api_.facts()->node) return;
  const kube::Node& node = *api_.facts()->node;
  tools_.engine.set_allocatable_cpu(node.allocatable_cpu);
  if (!node.allocatable) return;
  tools_.engine.set_allocatable(scaled(*node.allocatable, tools_.config.node.budget.node_share));
}

void NodeTurn::note_api(const std::optional<kube::Refusal>& refusal, std::string_view name_space,
                        MonotonicTime now) {
  if (!api_.note(refusal, name_space, now)) return;
  tools_.log.write(
      LogLevel::kWarn,
      api_.away() ? "the API server is of no use for now" : "the API server answers again",
      {{"error", refusal ? std::string_view(refusal->message) : std::string_view()}});
  all_due(tools_.pods);
}

void NodeTurn::tick(MonotonicTime now) {
  if (!tools_.cgroups.watching() && !tools_.cgroups.rescan().empty()) {
    tools_.pods.set_stale();
  }
  on_records(tools_.engine.tick(now));
  tools_.announce.tick(tools_.config.policy.memory, now, today());
}

// ---- one turn --------------------------------------------------------------------------------

void NodeTurn::turn(MonotonicTime now, bool ticked) {
  reconcile(now);
  const std::vector<Planned> planned = step_pods(now);
  save(now);
  apply(planned, now);
  // What the engine tracks from now on, and wider bounds: at once, for a container may be starting.
  on_records(tools_.engine.arm(monotonic_now()));
  keep_boosts(monotonic_now(), ticked);
}

void NodeTurn::reconcile(MonotonicTime now) {
  const NodePods::Changes changes = tools_.pods.reconcile(tools_.config, now);
  tools_.announce.follow(tools_.pods.pods(), monotonic_now());
  tools_.reporter.ended(changes.ended);
  for (const ContainerRef& subject : changes.began) tools_.reporter.watched(subject);
  for (const auto& [subject, error] : changes.failed) {
    tools_.log.write(LogLevel::kWarn, "a container cannot be watched",
                     {{"namespace", subject.name_space},
                      {"pod", subject.pod},
                      {"container", subject.container},
                      {"error", error.message}});
  }
  for (const auto& [subject, problem] : changes.problems) {
    tools_.reporter.problem(subject, problem.text);
  }
  for (ContainerNote& each : tools_.announce.take()) {
    const bool unseen = each.what == kCommandUnseen;
    report(unseen ? LogLevel::kWarn : LogLevel::kDebug, "announced work", {std::move(each)});
  }
}

std::vector<NodeTurn::Planned> NodeTurn::step_pods(MonotonicTime now) {
  std::vector<Planned> planned;
  const ResizeConfig config = resize_config(tools_.config.node, tools_.node);
  for (auto& [uid, pod] : tools_.pods.pods()) {
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

std::vector<ResizeAction> NodeTurn::step_pod(NodePod& pod, const ResizeConfig& config,
                                             MonotonicTime now) {
  ResizeFacts facts{.pod = &pod.pod,
                    .policies = &pod.policy.containers,
                    .api = api_.status(now),
                    .words = std::exchange(pod.words, {}),
                    .outcomes = std::exchange(pod.outcomes, {})};
  if (now >= pod.readable_at) facts.reading = read_files(pod, now);
  ResizeStep step = agent::step(std::move(pod.resize), facts, now, config);
  pod.resize = std::move(step.state);
  pod.wake = step.wake;
  if (step.redeclares) tools_.pods.redeclare(pod, tools_.config);
  if (pod.leaves()) {
    if (bring_back(pod, tools_.engine, now)) tools_.pods.set_stale();
    pod.wake = std::min(pod.wake.value_or(now + kLeaveAgain), now + kLeaveAgain);
  }
  set_bounds(pod, step.actions);
  for (const ResizeAnswer& each : step.answers) {
    if (each.answer.patch_to_limit) api_.note_patch_to_limit(*each.answer.patch_to_limit);
    tools_.reporter.event(ref_of(pod.pod.id, each.container), each.answer);
  }
  return std::move(step.actions);
}

// What may be written is on disk before it may be written, and a floor before the API forgets it.
void NodeTurn::save(MonotonicTime now) {
  StateStore& state = tools_.state;
  if (const auto trouble = state.save(tools_.pods.state(), floors_of(tools_), now)) {
    tools_.log.write(LogLevel::kError,
                     "the state cannot be saved, no limit is raised that is not in it",
                     {{"error", trouble->message}});
  }
  const Covers covers{
      .memory = [&](CgroupId id, Limit ceiling) { return state.covers(id, ceiling); },
      .cpu = [&](CgroupId id, MilliCpu ceiling) { return state.covers_cpu(id, ceiling); }};
  constexpr int kAnswers = 2;  // one under way, and the next
  (void)give_bounds(tools_.pods.pods(), tools_.engine, covers, kAnswers * api_.patch_to_limit(),
                    now);
}

void NodeTurn::apply(const std::vector<Planned>& planned, MonotonicTime now) {
  const ResizeTools tools{.engine = tools_.engine,
                          .submit = tools_.submit,
                          .state = tools_.state,
                          .api = api_,
                          .reporter = tools_.reporter,
                          .systemd = tools_.systemd};
  for (const Planned& each : planned) apply_resize(each.actions, *each.pod, tools, now);
}

void NodeTurn::keep_boosts(MonotonicTime now, bool ticked) {
  tools_.startup.follow(tools_.pods.pods(), tools_.config.node.startup, wall_now(), now, ticked);
  report(LogLevel::kInfo, "start-up boost", tools_.startup.take());
}

std::optional<MonotonicTime> NodeTurn::next(MonotonicTime now) const {
  std::optional<MonotonicTime> next = tools_.pods.look_again();
  for (const auto& [uid, pod] : tools_.pods.pods()) {
    // What is not stepped does not wake either: its moment would be in the past for ever.
    if (!has_something_to_step(pod)) continue;
    const std::optional<MonotonicTime> wake = pod.due ? now : pod.wake;
    if (wake && (!next || *wake < *next)) next = wake;
  }
  return next;
}

void NodeTurn::report(LogLevel level, std::string_view sentence, std::vector<ContainerNote> notes) {
  for (ContainerNote& note : notes) {
    const bool known = tools_.pods.find(note.subject.uid) != nullptr;
    tools_.reporter.note(level, sentence, std::move(note), known);
  }
}

}  // namespace plimsoll::agent
