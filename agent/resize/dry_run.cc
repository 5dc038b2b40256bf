// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/dry_run.h"

#include "agent/resize/outcome.h"

namespace plimsoll::agent {
namespace {

using kube::Cause;

// Growth since the last answer that brought it near its limit: only then is an old answer renewed,
// so that a node on which nothing happens asks nothing.
template <class Amount>
bool needs_more(const Lane<Amount>& lane) {
  if constexpr (kIsMemory<Amount>) {
    const ContainerReading* seen = lane.step.reading(lane.container);
    constexpr double kMoved = 0.1;  // of the limit
    const Bytes spec = lane.spec();
    return seen != nullptr && seen->memory.usage >= scaled(spec, lane.step.config.active_share) &&
           seen->memory.usage >= lane.own.preflight_usage + scaled(spec, kMoved);
  } else {
    return lane.own.needed_at > lane.own.allowance.since;
  }
}

template <class Amount>
bool is_due(const Lane<Amount>& lane) {
  const Allowance<Amount>& known = lane.own.allowance;
  const ResizeConfig& config = lane.step.config;
  if (known.asked != lane.range()->most) return true;
  const bool partly = known.upto < *known.asked;
  if (!known.refused && !partly && !kIsMemory<Amount>) return false;
  const Nanoseconds good_for = known.refused ? known.refused->backoff
                               : partly      ? config.api.refused_backoff
                                             : config.preflight_expires;
  return lane.step.now - known.since >= good_for && needs_more(lane);
}

template <class Amount>
void answered(const Lane<Amount>& lane, Amount allowed, SaidBy by) {
  Allowance<Amount>& known = lane.own.allowance;
  if (!known.asking) return;  // another actor has come between
  known.asked = known.asking;
  if (known.refused && known.refused->by_kubelet) {  // which knows what the API server does not
    known.since = lane.step.now;
  } else {
    known.say(allowed, by, lane.step.now);
  }
  if constexpr (kIsMemory<Amount>) {
    const ContainerReading* seen = lane.step.reading(lane.container);
    lane.own.preflight_usage = seen == nullptr ? Bytes{} : seen->memory.usage;
  }
}

// Of a dry run for the most, or for less: then no more than that is asked for.
template <class Amount>
void note_refusal(const Lane<Amount>& lane, const kube::Refusal& refusal,
                  std::optional<Amount> ask_upto) {
  const auto& known = lane.own.allowance.refused;
  if (known && known->by_kubelet) return;
  lane.hold_back({.ask_upto = ask_upto, .cause = refusal.cause, .message = refusal.message});
}

void send_dry(Step& step, std::vector<kube::ResizeChange> changes) {
  submit(step,
         {.resize = {.changes = std::move(changes), .dry_run = true},
          .urgency = SendResize::Urgency::kPreflight,
          .deadline = step.config.api.deadline},
         false, step.state.preflight);
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
  const kube::Pod known = step.known_pod();
  std::vector<kube::ResizeChange> changes;
  std::vector<const Fitted<Amount>*> full;
  bool smaller = false;
  for (const Fitted<Amount>& each : rooms) {
    smaller |= each.fits < each.to;
    if (auto change = change_to(known, each.lane.container.name, each.fits)) {
      changes.push_back(*std::move(change));
    } else {
      full.push_back(&each);
    }
  }
  if (changes.empty() || !smaller || !can_try(step, known, changes)) return false;
  // Those that are left out have no room, whatever becomes of the others.
  for (const Fitted<Amount>* each : full) answered(each->lane, each->from, SaidBy::kRefusal);
  ++step.state.preflight_tries;
  send_dry(step, std::move(changes));
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
    const Lane<Amount> lane(step, container);
    if (!lane.wants_dry_run()) continue;
    const bool mine = is_due(lane);
    if (alone && (due || !mine)) continue;
    const Amount most = lane.range()->most;
    const auto change = change_to(known, container.name, most);
    if (!change) continue;
    due |= mine;
    lane.own.allowance.asking = most;
    changes.push_back(*change);
  }
  if (!due) return;
  if (step.now < step.state.preflight_retry_at) {
    step.wake_at(step.state.preflight_retry_at);
    return;
  }
  step.state.preflight_tries = 1;
  if (can_try(step, known, changes)) return send_dry(step, std::move(changes));
  if (changes.size() > 1) {
    ask_alone(step);
    return ask<Amount>(step, known);
  }
  const kube::Resizability why = kube::can_apply(known, changes, step.facts.api.ability);
  const Lane<Amount> lane(step, *step.find(changes.front().container));
  answered(lane, lane.spec(), SaidBy::kRefusal);
  note_refusal(lane, {.cause = Cause::kInvalid, .message = std::string(kube::explain(why))},
               std::optional(lane.spec()));
}

template <class Amount>
void taken(Step& step, const ResizeInFlight& asked, const kube::Pod* answer) {
  for_each_limit<Amount>(
      step, asked.resize.changes, [&](const auto& change, const Lane<Amount>& lane, Amount to) {
        const Amount taken = std::min(to, stored_in(answer, change, to));
        answered(lane, taken, SaidBy::kDryRun);
        if (taken < to) {
          const kube::Refusal refusal{.cause = Cause::kAdmission,
                                      .message = "would be stored as " + to_string(taken)};
          note_refusal(lane, refusal, std::optional(taken));
          lane.say_refused(ResizeEvent::Kind::kRefused, to, refusal);
        }
        Allowance<Amount>& known = lane.own.allowance;
        if (!known.refused || known.refused->by_kubelet) return;
        if (known.asked && taken < *known.asked) {  // the refusal before it stands, and had a room
          if (known.refused->ask_upto) known.refused->ask_upto = taken;
          return;
        }
        known.refused.reset();
      });
}

template <class Amount>
void absorb(Step& step, const ResizeInFlight& asked, const ResizeOutcome& outcome) {
  if (!outcome.refusal) return taken<Amount>(step, asked, outcome.pod ? &*outcome.pod : nullptr);
  const Room<Amount> room = room_of<Amount>(*outcome.refusal);
  if (!room.known() && asked.resize.changes.size() > 1) return ask_alone(step);
  const std::vector<Fitted<Amount>> rooms = fitted(step, room, asked.resize.changes);
  const bool first = step.state.preflight_tries == 1;
  for (const Fitted<Amount>& each : rooms) {
    note_refusal(each.lane, *outcome.refusal,
                 room.known() ? std::optional(each.fits) : std::nullopt);
    if (!first) continue;
    each.lane.say_refused(ResizeEvent::Kind::kRefused, each.to, *outcome.refusal, outcome.status);
  }
  if (room.known() && ask_within(step, rooms)) return;
  for (const Fitted<Amount>& each : rooms) answered(each.lane, each.from, SaidBy::kRefusal);
}

}  // namespace

std::size_t count_unanswered(Step& step) {
  std::size_t& count = step.state.unanswered_containers;
  count = 0;
  for (ContainerResize& each : step.state.containers) {
    const bool answered = each.memory.allowance.asked || !Lane<Bytes>(step, each).wants_dry_run();
    if (step.config.preflight && !answered) ++count;
  }
  return count;
}

void ask_preflight(Step& step, const kube::Pod& known) {
  if (!step.config.preflight) return;
  ask<Bytes>(step, known);
  ask<MilliCpu>(step, known);
}

void absorb_preflight(Step& step, const ResizeOutcome& outcome) {
  if (!step.state.preflight || step.state.preflight->id != outcome.id) return;
  const ResizeInFlight asked = *std::exchange(step.state.preflight, std::nullopt);
  if (outcome.refusal && !decides(step, *outcome.refusal)) {
    const Code code = outcome.refusal->code;
    if (code != Code::kConflict && code != Code::kUnavailable) return;
    using std::chrono::seconds;
    const Nanoseconds wait = seconds(1) + backoff_of(step.state, 3, seconds(1), seconds(10));
    step.state.preflight_retry_at = step.now + std::max(wait, wait_asked_for(*outcome.refusal));
    return;
  }
  step.state.unsupported.reset();
  if (is_cpu(asked.resize)) {
    absorb<MilliCpu>(step, asked, outcome);
  } else {
    absorb<Bytes>(step, asked, outcome);
  }
}

}  // namespace plimsoll::agent
