// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {
namespace {

bool wants_preflight(const Stepping& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  if (policy == nullptr || policy->dry_run || !container.spec) return false;
  if (policy->actuation != Actuation::kResizeThenCgroup || !resizable(step, container))
    return false;
  return policy->ceiling > *container.spec;
}

// Growth since the last answer that brought it near its limit: only then is an old answer renewed,
// so that a node on which nothing happens asks nothing.
bool is_active(const Stepping& step, const ContainerResize& container) {
  const ContainerReading* seen = step.reading(container);
  if (seen == nullptr) return false;
  const Bytes limit = container.spec.value_or(Bytes{});
  constexpr double kMoved = 0.1;  // of the limit
  return seen->memory.usage >= scaled(limit, step.config.active_share) &&
         seen->memory.usage >= container.preflight.usage + scaled(limit, kMoved);
}

bool is_due(const Stepping& step, const ContainerResize& container) {
  const PreflightState& known = container.preflight;
  if (!known.ceiling || *known.ceiling != step.policy(container)->ceiling) return true;
  const Nanoseconds age = step.now - known.at;
  if (known.refused) return age >= known.backoff && is_active(step, container);
  return age >= step.config.preflight_expires && is_active(step, container);
}

void answered(Stepping& step, const kube::ResizeChange& change, Bytes allowed) {
  ContainerResize* container = step.find(change.container);
  if (container == nullptr) return;
  const ContainerReading* seen = step.reading(*container);
  container->preflight.ceiling = container->preflight.asking;
  container->preflight.allowed = allowed;
  container->preflight.usage = seen == nullptr ? Bytes{} : seen->memory.usage;
  container->preflight.at = step.now;
}

// Asks again within the room that the refusal named. False: nothing is left to ask for.
bool ask_within(Stepping& step, const ResizeInFlight& asked, const Room& room) {
  if (!room.known() || step.state.preflight_tries >= step.config.preflight_attempts) return false;
  std::vector<RoomClaim> claims;
  Bytes total;
  for (const ContainerResize& each : step.state.containers) total += each.spec.value_or(Bytes{});
  for (const kube::ResizeChange& change : asked.resize.changes) {
    const ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.memory) return false;
    claims.push_back({.from = container->spec.value_or(Bytes{}),
                      .to = *change.limits.memory,
                      .request = step.in_pod(*container)->resources.requests.memory});
  }
  const std::vector<Bytes> fitting = fit(room, claims, total, Bytes{kMiB});
  const kube::Pod known = known_pod(step);
  std::vector<kube::ResizeChange> changes;
  bool smaller = false;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    smaller |= fitting[i] < claims[i].to;
    if (fitting[i] <= claims[i].from) continue;
    const auto change = kube::memory_change(known, asked.resize.changes[i].container, fitting[i]);
    if (change) changes.push_back(*change);
  }
  if (changes.empty() || !smaller) return false;
  if (kube::can_apply(known, changes, step.facts.api.ability) != kube::Resizability::kYes) {
    return false;
  }
  ++step.state.preflight_tries;
  // Those that are left out have no room, whatever becomes of the others.
  for (const kube::ResizeChange& change : asked.resize.changes) {
    const bool kept = std::any_of(changes.begin(), changes.end(), [&](const auto& each) {
      return each.container == change.container;
    });
    if (!kept) answered(step, change, step.find(change.container)->spec.value_or(Bytes{}));
  }
  send_preflight(step, std::move(changes));
  return true;
}

void note_refusal(Stepping& step, const kube::ResizeChange& change, const kube::Refusal& refusal,
                  bool room_known) {
  ContainerResize* container = step.find(change.container);
  if (container == nullptr) return;
  PreflightState& known = container->preflight;
  known.refused = refusal.cause;
  known.message = refusal.message;
  known.room_known = room_known;
  known.backoff = next_refused_backoff(step, known.backoff);
}

}  // namespace

void send_preflight(Stepping& step, std::vector<kube::ResizeChange> changes) {
  SendResize action;
  action.id = step.state.next_id++;
  action.resize = {.pod = step.state.id, .changes = std::move(changes), .dry_run = true};
  action.urgency = SendResize::Urgency::kPreflight;
  action.deadline = step.config.api.deadline;
  step.state.preflight = ResizeInFlight{
      .id = action.id, .resize = action.resize, .withdraws = false, .sent = step.now};
  step.act(std::move(action));
}

void ask_preflight(Stepping& step, const kube::Pod& known) {
  if (!step.config.preflight || step.state.preflight || step.yielding()) return;
  if (step.now < step.state.preflight_retry_at) return;
  const bool due = std::any_of(
      step.state.containers.begin(), step.state.containers.end(),
      [&](const auto& each) { return wants_preflight(step, each) && is_due(step, each); });
  if (!due) return;
  // All of the pod together: they are raised together when it comes to the worst.
  std::vector<kube::ResizeChange> changes;
  for (ContainerResize& container : step.state.containers) {
    if (!wants_preflight(step, container)) continue;
    container.preflight.asking = step.policy(container)->ceiling;
    const auto change = kube::memory_change(known, container.name, *container.preflight.asking);
    if (change) changes.push_back(*change);
  }
  const kube::Resizability why = kube::can_apply(known, changes, step.facts.api.ability);
  step.state.preflight_tries = 1;
  if (why == kube::Resizability::kYes) {
    send_preflight(step, std::move(changes));
    return;
  }
  const kube::Refusal refusal{.code = Code::kDenied,
                              .cause = kube::Cause::kInvalid,
                              .message = std::string(kube::explain(why)),
                              .retry_after = std::nullopt,
                              .outcome_unknown = false};
  for (const kube::ResizeChange& change : changes) {
    answered(step, change, step.find(change.container)->spec.value_or(Bytes{}));
    note_refusal(step, change, refusal, true);
  }
}

void absorb_preflight(Stepping& step, const ResizeOutcome& outcome) {
  const ResizeInFlight asked = *std::move(step.state.preflight);
  step.state.preflight.reset();
  if (!outcome.refusal && is_cpu(asked.resize)) {
    cpu_preflight_taken(step, asked);
    return;
  }
  if (!outcome.refusal) {
    for (const kube::ResizeChange& change : asked.resize.changes) {
      answered(step, change, change.limits.memory.value_or(Bytes{}));
      ContainerResize* container = step.find(change.container);
      if (container == nullptr) continue;
      PreflightState& known = container->preflight;
      // The refusal before it stands.
      if (!known.ceiling || known.allowed < *known.ceiling) continue;
      known.refused.reset();
      known.room_known = true;
      known.message.clear();
      known.backoff = {};
      if (container->refused && !container->refused->by_kubelet) container->refused.reset();
    }
    return;
  }
  const kube::Refusal& refusal = *outcome.refusal;
  switch (refusal.code) {
    case Code::kGone:
      step.state.gone = true;
      return;
    case Code::kConflict:
    case Code::kUnavailable:
      step.state.preflight_retry_at =
          step.now +
          std::max(std::chrono::nanoseconds(std::chrono::seconds(1)) +
                       backoff_of(step.state, 3, std::chrono::seconds(1), std::chrono::seconds(10)),
                   refusal.retry_after.value_or(Nanoseconds{}));
      return;
    case Code::kUnsupported:
      if (refusal.cause != kube::Cause::kMemoryDecrease) {
        step.state.unsupported = refusal.cause;
        return;
      }
      [[fallthrough]];
    case Code::kDenied:
    case Code::kMalformed:
      break;
  }
  if (is_cpu(asked.resize)) {
    cpu_preflight_refused(step, asked, outcome);
    return;
  }
  const Room room = room_of(refusal);
  for (const kube::ResizeChange& change : asked.resize.changes) {
    note_refusal(step, change, refusal, room.known());
  }
  const bool first = step.state.preflight_tries == 1;
  if (first) {
    for (const kube::ResizeChange& change : asked.resize.changes) {
      const ContainerResize* container = step.find(change.container);
      if (container == nullptr) continue;
      const Bytes spec = container->spec.value_or(Bytes{});
      ResizeEvent answer = step.answer(ResizeEvent::Kind::kRefused, *container, spec,
                                       change.limits.memory.value_or(spec));
      if (outcome.status != 0) answer.status = outcome.status;
      answer.cause = kube::to_string(refusal.cause);
      answer.message = refusal.message;
      step.say(container->name, std::move(answer));
    }
  }
  if (ask_within(step, asked, room)) return;
  for (const kube::ResizeChange& change : asked.resize.changes) {
    const ContainerResize* container = step.find(change.container);
    if (container != nullptr) answered(step, change, container->spec.value_or(Bytes{}));
  }
}

}  // namespace plimsoll::agent
