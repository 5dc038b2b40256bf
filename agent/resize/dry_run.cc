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
  return container.cpu.needed_at > container.cpu.allowance.since;
}

template <class Amount>
bool is_due(const Step& step, const ContainerResize& container) {
  const Allowance<Amount>& known = request_of<Amount>(container).allowance;
  if (known.asked != range_of<Amount>(step, container)->most) return true;
  const bool partly = known.upto < *known.asked;
  if (!known.refused && !partly && !kIsMemory<Amount>) return false;
  const Nanoseconds good_for = known.refused ? known.refused->backoff
                               : partly      ? step.config.api.refused_backoff
                                             : step.config.preflight_expires;
  return step.now - known.since >= good_for &&
         needs_more(step, container, spec_of<Amount>(container));
}

template <class Amount>
void answered(Step& step, ContainerResize& container, Amount allowed, SaidBy by) {
  Allowance<Amount>& known = request_of<Amount>(container).allowance;
  if (!known.asking) return;  // another actor has come between
  known.asked = known.asking;
  if (known.refused && known.refused->by_kubelet) {  // which knows what the API server does not
    known.since = step.now;
  } else {
    known.say(allowed, by, step.now);
  }
  const ContainerReading* seen = step.reading(container);
  if (kIsMemory<Amount>) container.preflight_usage = seen == nullptr ? Bytes{} : seen->memory.usage;
}

// Of a dry run for the most, or for less: then no more than that is asked for.
template <class Amount>
void note_refusal(Step& step, ContainerResize& container, const kube::Refusal& refusal,
                  std::optional<Amount> ask_upto) {
  Allowance<Amount>& known = request_of<Amount>(container).allowance;
  if (known.refused && known.refused->by_kubelet) return;
  const Nanoseconds last = known.refused ? known.refused->backoff : Nanoseconds{};
  const Nanoseconds backoff = next_refused_backoff(step, last);
  known.refused = Refused<Amount>{.ask_upto = ask_upto,
                                  .cause = refusal.cause,
                                  .message = refusal.message,
                                  .retry_at = step.now + backoff,
                                  .backoff = backoff};
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

// A dry run restarts nobody.
bool can_try(const Step& step, const kube::Pod& known,
             const std::vector<kube::ResizeChange>& changes) {
  return kube::can_apply(known, changes, step.facts.api.ability, kube::Restarts::kAllowed) ==
         kube::Resizability::kYes;
}

// Asks again within the room that the refusal named. False: nothing is left to ask for.
template <class Amount>
bool ask_within(Step& step, const std::vector<Fitted<Amount>>& rooms) {
  if (step.state.preflight_tries >= step.config.preflight_attempts) return false;
  const kube::Pod known = known_pod(step);
  std::vector<kube::ResizeChange> changes;
  std::vector<ContainerResize*> full;
  bool smaller = false;
  for (const Fitted<Amount>& each : rooms) {
    smaller |= each.fits < each.to;
    if (auto change = change_to(known, each.container->name, each.fits)) {
      changes.push_back(*std::move(change));
    } else {
      full.push_back(each.container);
    }
  }
  if (changes.empty() || !smaller || !can_try(step, known, changes)) return false;
  // Those that are left out have no room, whatever becomes of the others.
  for (ContainerResize* each : full) {
    answered<Amount>(step, *each, spec_of<Amount>(*each), SaidBy::kRefusal);
  }
  ++step.state.preflight_tries;
  send(step, std::move(changes));
  return true;
}

template <class Amount>
void ask(Step& step, const kube::Pod& known) {
  if (step.state.preflight) return;
  const bool alone = step.now < step.state.alone_until;
  std::vector<kube::ResizeChange> changes;
  bool due = false;
  // All of the pod together: they are raised together when it comes to the worst.
  for (ContainerResize& container : step.state.containers) {
    if (!wants_preflight<Amount>(step, container)) continue;
    const bool mine = is_due<Amount>(step, container);
    if (alone && (due || !mine)) continue;
    const Amount most = range_of<Amount>(step, container)->most;
    const auto change = change_to(known, container.name, most);
    if (!change) continue;
    due |= mine;
    request_of<Amount>(container).allowance.asking = most;
    changes.push_back(*change);
  }
  if (!due) return;
  if (step.now < step.state.preflight_retry_at) {
    step.wake_at(step.state.preflight_retry_at);
    return;
  }
  step.state.preflight_tries = 1;
  if (can_try(step, known, changes)) {
    send(step, std::move(changes));
    return;
  }
  if (changes.size() > 1) {
    ask_alone(step);
    ask<Amount>(step, known);
    return;
  }
  const kube::Resizability why = kube::can_apply(known, changes, step.facts.api.ability);
  ContainerResize& container = *step.find(changes.front().container);
  const Amount spec = spec_of<Amount>(container);
  answered<Amount>(step, container, spec, SaidBy::kRefusal);
  note_refusal<Amount>(step, container,
                       {.code = Code::kDenied,
                        .cause = kube::Cause::kInvalid,
                        .message = std::string(kube::explain(why))},
                       spec);
}

template <class Amount>
void taken(Step& step, const ResizeInFlight& asked, const kube::Pod* answer) {
  for_each_limit<Amount>(
      step, asked.resize.changes, [&](const auto& change, ContainerResize& container, Amount to) {
        const Amount taken = std::min(to, stored_in(answer, change, to));
        answered<Amount>(step, container, taken, SaidBy::kDryRun);
        if (taken < to) {
          const kube::Refusal refusal{.code = Code::kDenied,
                                      .cause = kube::Cause::kAdmission,
                                      .message = "would be stored as " + to_string(taken)};
          note_refusal<Amount>(step, container, refusal, taken);
          step.say(ResizeEvent::Kind::kRefused, container, spec_of<Amount>(container), to,
                   kube::to_string(refusal.cause), refusal.message);
        }
        Allowance<Amount>& known = request_of<Amount>(container).allowance;
        if (!known.refused || known.refused->by_kubelet) return;
        if (known.asked && taken < *known.asked) {  // the refusal before it stands, and had a room
          if (known.refused->ask_upto) known.refused->ask_upto = taken;
          return;
        }
        known.refused.reset();
      });
}

template <class Amount>
void refused(Step& step, const ResizeInFlight& asked, const ResizeOutcome& outcome) {
  const Room<Amount> room = room_of<Amount>(*outcome.refusal);
  if (!room.known() && asked.resize.changes.size() > 1) {
    ask_alone(step);
    return;
  }
  const std::vector<Fitted<Amount>> rooms = fitted(step, room, asked.resize.changes);
  const bool first = step.state.preflight_tries == 1;
  for (const Fitted<Amount>& each : rooms) {
    note_refusal<Amount>(step, *each.container, *outcome.refusal,
                         room.known() ? std::optional(each.fits) : std::nullopt);
    if (first) say_refused<Amount>(step, *each.change, outcome, ResizeEvent::Kind::kRefused);
  }
  if (room.known() && ask_within(step, rooms)) return;
  for (const Fitted<Amount>& each : rooms) {
    answered<Amount>(step, *each.container, each.from, SaidBy::kRefusal);
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
  if (!step.config.preflight) return;
  step.state.unanswered_containers = 0;
  for (const ContainerResize& each : step.state.containers) {
    if (!each.allowance.asked && wants_preflight<Bytes>(step, each))
      ++step.state.unanswered_containers;
  }
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
                     wait_asked_for(refusal));
        return;
      case Code::kUnsupported:
        if (refusal.cause == kube::Cause::kMemoryDecrease) break;
        note_unsupported(step, refusal.cause);
        return;
      case Code::kDenied:
      case Code::kMalformed:
        break;
    }
  }
  step.state.unsupported.reset();
  if (is_cpu(asked.resize)) {
    absorb<MilliCpu>(step, asked, outcome);
  } else {
    absorb<Bytes>(step, asked, outcome);
  }
}

}  // namespace plimsoll::agent
