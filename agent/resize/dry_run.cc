// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/dry_run.h"

#include "agent/resize/bounds.h"
#include "agent/resize/outcome.h"

namespace plimsoll::agent {
namespace {

// Growth since the last answer that brought it near its limit: only then is an old answer renewed,
// so that a node on which nothing happens asks nothing.
bool needs_more(const Step& step, const ContainerResize& container, Bytes spec) {
  const ContainerReading* seen = step.reading(container);
  constexpr double kMoved = 0.1;  // of the limit
  return seen != nullptr && seen->memory.usage >= scaled(spec, step.config.active_share) &&
         seen->memory.usage >= container.preflight_usage + scaled(spec, kMoved);
}

bool needs_more(const Step& /*step*/, const ContainerResize& container, MilliCpu /*spec*/) {
  return container.cpu.needed_at > container.cpu.preflight.at;
}

template <class Amount>
bool is_due(const Step& step, const ContainerResize& container) {
  const Preflight<Amount>& known = request_of<Amount>(container).preflight;
  if (known.ceiling != range_of<Amount>(step, container)->most) return true;
  if (!known.refused && !kIsMemory<Amount>) return false;
  const Nanoseconds good_for = known.refused ? known.backoff : step.config.preflight_expires;
  return step.now - known.at >= good_for && needs_more(step, container, spec_of<Amount>(container));
}

// absent: no more than is stored.
template <class Amount>
void answered(Step& step, const kube::ResizeChange& change, std::optional<Amount> allowed) {
  ContainerResize* container = step.find(change.container);
  if (container == nullptr) return;
  Preflight<Amount>& known = request_of<Amount>(*container).preflight;
  known.ceiling = known.asking;
  known.allowed = allowed.value_or(spec_of<Amount>(*container));
  known.at = step.now;
  const ContainerReading* seen = step.reading(*container);
  if (kIsMemory<Amount>)
    container->preflight_usage = seen == nullptr ? Bytes{} : seen->memory.usage;
}

template <class Amount>
void note_refusal(Step& step, const kube::ResizeChange& change, const kube::Refusal& refusal,
                  bool room_known) {
  ContainerResize* container = step.find(change.container);
  if (container == nullptr) return;
  Preflight<Amount>& known = request_of<Amount>(*container).preflight;
  known.refused = refusal.cause;
  known.message = refusal.message;
  known.room_known = room_known;
  known.backoff = next_refused_backoff(step, known.backoff);
}

std::optional<kube::ResizeChange> change_to(const kube::Pod& pod, const std::string& container,
                                            Bytes limit) {
  return kube::memory_change(pod, container, limit);
}
std::optional<kube::ResizeChange> change_to(const kube::Pod& pod, const std::string& container,
                                            MilliCpu limit) {
  return kube::cpu_change(pod, container, limit);
}

void send(Step& step, std::vector<kube::ResizeChange> changes) {
  SendResize action;
  action.id = step.state.next_id++;
  action.resize = {.pod = step.state.id, .changes = std::move(changes), .dry_run = true};
  action.urgency = SendResize::Urgency::kPreflight;
  action.deadline = step.config.api.deadline;
  step.state.preflight = ResizeInFlight{
      .id = action.id, .resize = action.resize, .withdraws = false, .sent = step.now};
  step.act(std::move(action));
}

// Asks again within the room that the refusal named. False: nothing is left to ask for.
template <class Amount>
bool ask_within(Step& step, const ResizeInFlight& asked, const Room<Amount>& room) {
  if (!room.known() || step.state.preflight_tries >= step.config.preflight_attempts) return false;
  const kube::Pod known = known_pod(step);
  std::vector<kube::ResizeChange> changes;
  std::vector<kube::ResizeChange> full;
  bool smaller = false;
  for (const Fitted<Amount>& each : fitted(step, room, asked.resize.changes)) {
    smaller |= each.fits < each.to;
    const auto change = change_to(known, each.container->name, each.fits);
    (change ? changes : full).push_back(change.value_or(*each.change));
  }
  if (changes.empty() || !smaller ||
      kube::can_apply(known, changes, step.facts.api.ability) != kube::Resizability::kYes) {
    return false;
  }
  // Those that are left out have no room, whatever becomes of the others.
  for (const kube::ResizeChange& change : full) answered<Amount>(step, change, std::nullopt);
  ++step.state.preflight_tries;
  send(step, std::move(changes));
  return true;
}

template <class Amount>
void ask(Step& step, const kube::Pod& known) {
  if (step.state.preflight) return;
  std::vector<kube::ResizeChange> changes;
  bool due = false;
  // All of the pod together: they are raised together when it comes to the worst.
  for (ContainerResize& container : step.state.containers) {
    if (!wants_preflight<Amount>(step, container)) continue;
    due |= is_due<Amount>(step, container);
    const Amount most = range_of<Amount>(step, container)->most;
    request_of<Amount>(container).preflight.asking = most;
    if (const auto change = change_to(known, container.name, most)) changes.push_back(*change);
  }
  if (!due) return;
  if (step.now < step.state.preflight_retry_at) {
    step.wake_at(step.state.preflight_retry_at);
    return;
  }
  const kube::Resizability why = kube::can_apply(known, changes, step.facts.api.ability);
  step.state.preflight_tries = 1;
  if (why == kube::Resizability::kYes) {
    send(step, std::move(changes));
    return;
  }
  const kube::Refusal refusal{.code = Code::kDenied,
                              .cause = kube::Cause::kInvalid,
                              .message = std::string(kube::explain(why))};
  for (const kube::ResizeChange& change : changes) {
    answered<Amount>(step, change, std::nullopt);
    note_refusal<Amount>(step, change, refusal, true);
  }
}

template <class Amount>
void taken(Step& step, const ResizeInFlight& asked, const kube::Pod* answer) {
  for (const kube::ResizeChange& change : asked.resize.changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !of<Amount>(change.limits)) continue;
    const Amount to = *of<Amount>(change.limits);
    const Amount taken = std::min(to, stored_in(answer, change, to));
    answered<Amount>(step, change, taken);
    Request<Amount>& mine = request_of<Amount>(*container);
    Preflight<Amount>& known = mine.preflight;
    if (taken < to) {
      const kube::Refusal refusal{.code = Code::kDenied,
                                  .cause = kube::Cause::kAdmission,
                                  .message = "would be stored as " + to_string(taken)};
      note_refusal<Amount>(step, change, refusal, true);
      step.say(ResizeEvent::Kind::kRefused, *container, spec_of<Amount>(*container), to,
               kube::to_string(refusal.cause), refusal.message);
    }
    if (!known.ceiling || known.allowed < *known.ceiling) continue;  // the refusal before it stands
    known.refused.reset();
    known.room_known = true;
    known.message.clear();
    known.backoff = {};
    if (mine.refused && !mine.refused->by_kubelet) mine.refused.reset();
  }
}

template <class Amount>
void refused(Step& step, const ResizeInFlight& asked, const ResizeOutcome& outcome) {
  const kube::Refusal& refusal = *outcome.refusal;
  const Room<Amount> room = room_of<Amount>(refusal);
  const bool first = step.state.preflight_tries == 1;
  for (const kube::ResizeChange& change : asked.resize.changes) {
    note_refusal<Amount>(step, change, refusal, room.known());
    if (first) say_refused<Amount>(step, change, outcome, ResizeEvent::Kind::kRefused);
  }
  if (ask_within(step, asked, room)) return;
  for (const kube::ResizeChange& change : asked.resize.changes) {
    answered<Amount>(step, change, std::nullopt);
  }
}

template <class Amount>
void absorb(Step& step, const ResizeInFlight& asked, const ResizeOutcome& outcome) {
  if (outcome.refusal) {
    refused<Amount>(step, asked, outcome);
  } else {
    taken<Amount>(step, asked, outcome.pod ? &*outcome.pod : nullptr);
  }
}

}  // namespace

void ask_preflight(Step& step, const kube::Pod& known) {
  if (!step.config.preflight || step.yielding()) return;
  ask<Bytes>(step, known);
  ask<MilliCpu>(step, known);
}

void absorb_preflight(Step& step, const ResizeOutcome& outcome) {
  if (!step.state.preflight || step.state.preflight->id != outcome.id) return;
  const ResizeInFlight asked = *std::move(step.state.preflight);
  step.state.preflight.reset();
  if (outcome.refusal) {
    const kube::Refusal& refusal = *outcome.refusal;
    switch (refusal.code) {
      case Code::kGone:
        step.state.gone = true;
        return;
      case Code::kConflict:
      case Code::kUnavailable:
        step.state.preflight_retry_at =
            step.now +
            std::max(std::chrono::seconds(1) + backoff_of(step.state, 3, std::chrono::seconds(1),
                                                          std::chrono::seconds(10)),
                     refusal.retry_after.value_or(Nanoseconds{}));
        return;
      case Code::kUnsupported:
        if (refusal.cause == kube::Cause::kMemoryDecrease) break;
        step.state.unsupported = refusal.cause;
        return;
      case Code::kDenied:
      case Code::kMalformed:
        break;
    }
  }
  if (is_cpu(asked.resize)) {
    absorb<MilliCpu>(step, asked, outcome);
  } else {
    absorb<Bytes>(step, asked, outcome);
  }
}

}  // namespace plimsoll::agent
