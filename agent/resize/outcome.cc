// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/outcome.h"

#include "cgroup/value.h"

namespace plimsoll::agent {
namespace {

using kube::Cause;
using Kind = ResizeEvent::Kind;

// The cluster has decided.
template <class Amount>
void respect(Step& step, const ResizeInFlight& request, const kube::Refusal& refusal,
             const Room<Amount>& room) {
  std::optional<ResizeUnverified>& open = of<Amount>(step.state).unverified;
  if (request.withdraws && open) {
    // It is still to be taken back: the kubelet's refusal stands. What was written goes meanwhile.
    open->withdraw_backoff = kIsMemory<Amount> ? next_refused_backoff(step, open->withdraw_backoff)
                                               : step.config.api.refused_backoff_max;
    open->withdraw_retry_at = step.now + open->withdraw_backoff;
  }
  for (const Fitted<Amount>& each : fitted(step, room, request.resize.changes)) {
    if (each.to < each.from) {
      each.lane.note_lowering_refused();
    } else if (!room.known() || each.fits < each.to) {
      each.lane.note_refused(room.known() ? each.fits : each.from, SaidBy::kRefusal,
                             {.cause = refusal.cause, .message = refusal.message});
    }
  }
}

template <class Amount>
void forget_unknown(Step& step) {
  std::erase_if(step.state.unknown,
                [](const kube::ResizeChange& each) { return of<Amount>(each.limits).has_value(); });
}

template <class Amount>
void refused(Step& step, const ResizeInFlight& request, const ResizeOutcome& outcome) {
  const kube::Refusal& refusal = *outcome.refusal;
  const std::vector<kube::ResizeChange>& changes = request.resize.changes;
  PodResize& state = step.state;
  if (refusal.outcome_unknown) {
    forget_unknown<Amount>(step);
    state.unknown.insert(state.unknown.end(), changes.begin(), changes.end());
    state.unknown_withdraws = request.withdraws;
  }
  if (kIsMemory<Amount>) state.unanswered = refusal.code == Code::kUnavailable;
  const bool decided = decides(step, refusal);
  if (state.gone) return;
  const bool conflict = refusal.code == Code::kConflict;
  const bool unavailable = refusal.code == Code::kUnavailable;
  if (conflict || unavailable) {
    // Absolute values: the same again. A conflict passes soon, and memory is urgent.
    Attempts& attempts = of<Amount>(state).attempts;
    const std::chrono::milliseconds first(kIsMemory<Amount> && conflict ? 50 : 400);
    const std::chrono::seconds most(kIsMemory<Amount> ? 5 : 30);
    const Nanoseconds wait = backoff_of(state, ++attempts.failed, first, most);
    attempts.retry_at = step.now + std::max(wait, wait_asked_for(refusal));
    step.wake_at(attempts.retry_at);
    if (conflict) return;
  } else if (decided) {
    const Room<Amount> room = room_of<Amount>(refusal);
    if (changes.size() > 1 && !room.known() && !request.withdraws) return ask_alone(step);
    respect<Amount>(step, request, refusal, room);
  }
  const Kind kind = unavailable ? Kind::kUnavailable : Kind::kRefused;
  for_each_limit<Amount>(step, changes, [&](const auto&, const Lane<Amount>& lane, Amount to) {
    lane.say_refused(kind, to, refusal, outcome.status);
  });
}

// Taken, but for another value, by an admission webhook: as good as a refusal of the rest, which is
// not asked for at once.
template <class Amount>
void note_changed(const Lane<Amount>& lane, Amount asked) {
  const Amount stored = lane.spec();
  const kube::Refusal refusal{.cause = Cause::kAdmission,
                              .message = "stored as " + to_string(stored)};
  if (stored > asked) {
    lane.note_lowering_refused();
  } else {
    lane.note_refused(stored, SaidBy::kStoredReply,
                      {.cause = refusal.cause, .message = refusal.message},
                      lane.step.config.api.refused_backoff_max);
  }
  lane.say_refused(Kind::kRefused, asked, refusal);
}

template <class Amount>
void absorb(Step& step, const ResizeInFlight& request, const ResizeOutcome& outcome) {
  if (outcome.refusal) return refused<Amount>(step, request, outcome);
  forget_unknown<Amount>(step);
  step.state.unsupported.reset();
  const Kind kind = request.withdraws ? Kind::kWithdrawn : Kind::kAccepted;
  for_each_limit<Amount>(step, request.resize.changes,
                         [&](const auto&, const Lane<Amount>& lane, Amount to) {
                           const Amount from = lane.own.asked ? lane.own.asked->from : lane.spec();
                           lane.say(kind, from, to, {}, {}, outcome.status);
                         });
  const kube::Pod* reply = outcome.pod ? &*outcome.pod : nullptr;
  // The watch may have been faster.
  if (reply != nullptr && reply->generation) {
    step.state.generation = std::max(step.state.generation, reply->generation);
  }
  if (reply != nullptr) step.state.reply_at = step.now;
  accepted<Amount>(step, request.resize.changes, request.withdraws, request.sent, reply);
}

// The change that takes `change` back to what is allocated; nullopt: nothing of it is open.
template <class Amount>
std::optional<kube::ResizeChange> undone(const Step& step, const kube::ResizeChange& change) {
  const ContainerResize* container = step.find(change.container);
  if (container == nullptr || !of<Amount>(change.limits)) return std::nullopt;
  const std::optional<Amount> before = step.in_force<Amount>(*container);
  if (!before || before == of<Amount>(change.limits)) return std::nullopt;
  kube::ResizeChange undo{.container = change.container, .kind = change.kind};
  of<Amount>(undo.limits) = before;
  if (of<Amount>(change.requests)) {
    const kube::ContainerStatus& status = *step.in_pod(*container)->status;
    const bool told = status.allocated && of<Amount>(*status.allocated);
    of<Amount>(undo.requests) = of<Amount>(told ? *status.allocated : status.resources->requests);
  }
  return undo;
}

// The kubelet has `before` in force, and has not taken what is stored.
template <class Amount>
void note_untaken(const Lane<Amount>& lane, Amount before) {
  if (lane.spec() < before) return lane.note_lowering_refused();
  KubeletVerdict said = lane.step.kubelet_verdict();
  Amount allowed = before;
  if (!said.capacity) {  // without a decision against it what is written may stay
    if constexpr (kIsMemory<Amount>) {
      if (lane.own.lease) allowed = lane.own.lease->limit;
    } else {
      allowed = std::max(lane.own.level.value_or(before), before);
    }
  }
  lane.forget_wish();
  // What stands there for another reason is not asked for either.
  lane.note_refused(allowed, SaidBy::kKubelet,
                    {.ask_upto = std::min(allowed, before),
                     .cause = said.capacity ? Cause::kNodeCapacity : Cause::kNotReady,
                     .by_kubelet = said.capacity || !kIsMemory<Amount>,
                     .message = std::move(said.message)});
}

// The API server cannot resize this pod.
void note_unsupported(Step& step, Cause cause) {
  std::optional<Unsupported>& known = step.state.unsupported;
  // No decision about this pod: an API server that is being upgraded says it, and soon not any
  // more.
  constexpr Nanoseconds kFirst = std::chrono::seconds(2);
  const Nanoseconds most = step.config.api.refused_backoff_max;
  const Nanoseconds last = known ? known->backoff : Nanoseconds{};
  const Nanoseconds backoff = std::clamp(last * 2, std::min(kFirst, most), most);
  known = Unsupported{.cause = cause,
                      .ability = step.facts.api.ability,
                      .retry_at = step.now + backoff,
                      .backoff = backoff};
  for (ContainerResize& container : step.state.containers) {
    if (container.memory.lease) container.memory.lease->why = LeaseWhy::kNoApi;
  }
}

// By what is stored now, `before` it, and as it was asked for.
template <class Amount>
void note_allowed(const Lane<Amount>& lane, Amount before, Amount asked) {
  Allowance<Amount>& known = lane.own.allowance;
  const auto& said = known.refused;
  const Amount stored = lane.spec();
  const bool more = said && said->ask_upto && stored > std::max(*said->ask_upto, before);
  // The kubelet has its say later. How far it may go now is asked anew.
  if (more && !said->by_kubelet) known = {.upto = known.upto};
  if (!known.refused && stored > known.upto) {
    known.say(stored, SaidBy::kStoredReply, lane.step.now);
  }
  if (stored != asked) note_changed(lane, asked);
}

// What is stored now stands in the file already.
bool stands_in_file(const Lane<Bytes>& lane) {
  if (lane.own.lease && lane.own.lease->limit == lane.spec()) return true;
  // The watch may have been faster, and ended the lease that had written it.
  const ContainerReading* seen = lane.step.reading(lane.container);
  return seen != nullptr && cgroup::reads_as(seen->memory.limit, lane.spec());
}

}  // namespace

bool decides(Step& step, const kube::Refusal& refusal) {
  switch (refusal.code) {
    case Code::kGone:
      step.state.gone = true;
      return false;
    case Code::kConflict:
    case Code::kUnavailable:
      return false;
    case Code::kUnsupported:
      if (refusal.cause != Cause::kMemoryDecrease) {
        note_unsupported(step, refusal.cause);
        return false;
      }
      step.state.no_decrease = true;
      return true;
    case Code::kDenied:
    case Code::kMalformed:  // a fault of ours: not repeated either
      return true;
  }
  return false;
}

void ask_alone(Step& step) {
  step.state.alone_until = step.now + step.config.api.refused_backoff_max;
}

template <class Amount>
std::vector<Fitted<Amount>> fitted(Step& step, const Room<Amount>& room,
                                   const std::vector<kube::ResizeChange>& changes) {
  std::vector<Fitted<Amount>> all;
  std::vector<Claim<Amount>> claims;
  Amount total;
  for (ContainerResize& each : step.state.containers) total += Lane<Amount>(step, each).spec();
  for_each_limit<Amount>(step, changes, [&](const auto&, const Lane<Amount>& lane, Amount to) {
    const kube::Container* seen = step.in_pod(lane.container);
    const Amount from = lane.spec();
    claims.push_back({.from = from, .to = to, .request = of<Amount>(seen->resources.requests)});
    all.push_back({.lane = lane, .from = from, .to = to, .fits = {}});
  });
  const std::vector<Amount> fits = fit(room, claims, total);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].fits = fits[i];
  return all;
}

void submit(Step& step, SendResize request, bool withdraws, std::optional<ResizeInFlight>& slot) {
  request.id = step.state.next_id++;
  request.resize.pod = step.state.id;
  slot = ResizeInFlight{
      .id = request.id, .resize = request.resize, .withdraws = withdraws, .sent = step.now};
  step.act(std::move(request));
}

template <class Amount>
void send(Step& step, std::vector<kube::ResizeChange> changes, SendResize::Urgency urgency,
          bool withdraws) {
  PodResize& state = step.state;
  // The others follow, each by itself. Together they would be refused again, as often as they are
  // sent.
  if (!withdraws && changes.size() > 1 && step.now < state.alone_until) changes.resize(1);
  const std::optional<ResizeUnverified>& open = of<Amount>(state).unverified;
  for_each_limit<Amount>(step, changes, [&](const auto&, const Lane<Amount>& lane, Amount to) {
    auto& own = lane.own;
    const Amount from = lane.spec();
    const bool follows = own.asked && open && in_request(open->changes, lane.container.name);
    own.asked = {
        .from = from, .to = to, .before = follows ? own.asked->before : from, .reason = own.reason};
    if constexpr (kIsMemory<Amount>) {
      own.want_since = step.now;
    } else {
      own.asked->written = own.level == to;
    }
    if (!withdraws) lane.say(Kind::kSent, from, to);
  });
  ++state.patches;
  if (kIsMemory<Amount>) state.last_patch = step.now;
  // Memory waits for a CPU request, too.
  const bool hurried = urgency == SendResize::Urgency::kRescue || !kIsMemory<Amount>;
  const bool soon = hurried && !step.facts.api.slow;
  submit(step,
         {.resize = {.changes = std::move(changes)},
          .urgency = urgency,
          .deadline = soon ? step.config.api.rescue_deadline : step.config.api.deadline},
         withdraws, state.in_flight);
}

template <class Amount>
bool send_together(Step& step, const kube::Pod& known, std::vector<kube::ResizeChange> changes) {
  if (changes.empty()) return false;
  if (kube::can_apply(known, changes, step.facts.api.ability) != kube::Resizability::kYes) {
    changes.resize(1);
  }
  send<Amount>(step, std::move(changes), SendResize::Urgency::kNormal);
  return true;
}

template <class Amount>
void accepted(Step& step, std::vector<kube::ResizeChange> changes, bool withdraws,
              MonotonicTime sent, const kube::Pod* reply) {
  PodResize& state = step.state;
  std::optional<ResizeUnverified>& open = of<Amount>(state).unverified;
  ResizeUnverified now{.generation = state.generation, .withdraws = withdraws, .sent = sent};
  if (!kIsMemory<Amount> && open) now.changes = std::move(open->changes);
  for_each_limit<Amount>(
      step, changes, [&](kube::ResizeChange& change, const Lane<Amount>& lane, Amount to) {
        auto& own = lane.own;
        const Amount stored = stored_in(reply, change, to);
        const Amount before = lane.spec();
        own.spec = stored;
        if (own.want == to) own.want.reset();
        if (!withdraws) note_allowed(lane, before, to);
        if constexpr (kIsMemory<Amount>) {
          if (!stands_in_file(lane)) now.visible.push_back(change.container);
          if (own.lease && !withdraws && !own.lease->withdrawing) {
            own.lease->why = LeaseWhy::kBridge;
          }
        } else {
          own.since = step.now;
        }
        std::erase_if(now.changes,
                      [&](const auto& each) { return each.container == change.container; });
        of<Amount>(change.limits) = stored;
        now.changes.push_back(change);
      });
  of<Amount>(state) = {.unverified = std::move(now), .attempts = {.retry_at = step.now}};
  if constexpr (kIsMemory<Amount>) {
    state.unanswered = false;
  } else {
    // The kubelet may write memory.max: a bridge that begins now is looked after.
    constexpr Nanoseconds kWatchful = std::chrono::seconds(5);
    state.watchful_until = step.now + kWatchful;
  }
  // The phase that was seen is of the resize before it.
  state.phase = kube::ResizePhase::kNone;
  state.phase_since = step.now;
}

template <class Amount>
void refuse_here(Step& step, const kube::ResizeChange& change, kube::Resizability why) {
  const Lane<Amount> lane(step, *step.find(change.container));
  const Amount from = lane.spec();
  const Amount to = of<Amount>(change.limits).value_or(from);
  if (to <= from) {
    lane.note_lowering_refused();
  } else {
    lane.note_refused(from, SaidBy::kRefusal,
                      {.cause = Cause::kInvalid, .message = std::string(kube::explain(why))},
                      step.config.api.refused_backoff_max);
  }
  lane.say(Kind::kRefused, from, to, kube::to_string(why), kube::explain(why));
}

template <class Amount>
bool withdraw(Step& step, const kube::Pod& known) {
  const std::optional<ResizeUnverified>& open = of<Amount>(step.state).unverified;
  if (!open || open->withdraws || !step.refused_by_node()) return false;
  // The kubelet tries again by itself, but for Infeasible.
  const bool infeasible = step.state.phase == kube::ResizePhase::kInfeasible;
  const MonotonicTime due =
      infeasible ? step.now : step.state.phase_since + step.config.api.withdraw_after;
  const MonotonicTime ready =
      std::max({due, open->withdraw_retry_at, of<Amount>(step.state).attempts.retry_at});
  if (step.now < ready) {
    step.wake_at(ready);
    return false;
  }
  std::vector<kube::ResizeChange> back;
  bool quiet = true;
  for (const kube::ResizeChange& change : open->changes) {
    std::optional<kube::ResizeChange> undo = undone<Amount>(step, change);
    if (!undo) continue;
    quiet &= kIsMemory<Amount> || step.memory_is_quiet(undo->container);
    back.push_back(*std::move(undo));
  }
  if (back.empty() || !quiet ||
      kube::can_apply(known, back, step.facts.api.ability) != kube::Resizability::kYes) {
    return false;
  }
  for_each_limit<Amount>(step, back, [](const auto&, const Lane<Amount>& lane, Amount before) {
    note_untaken(lane, before);
  });
  send<Amount>(step, std::move(back), SendResize::Urgency::kNormal, true);
  return true;
}

void absorb_outcome(Step& step, const ResizeOutcome& outcome) {
  if (!step.state.in_flight || step.state.in_flight->id != outcome.id) return;
  const ResizeInFlight request = *std::exchange(step.state.in_flight, std::nullopt);
  if (is_cpu(request.resize)) {
    absorb<MilliCpu>(step, request, outcome);
  } else {
    absorb<Bytes>(step, request, outcome);
  }
}

using Changes = std::vector<kube::ResizeChange>;
template void send<Bytes>(Step&, Changes, SendResize::Urgency, bool);
template void send<MilliCpu>(Step&, Changes, SendResize::Urgency, bool);
template bool send_together<Bytes>(Step&, const kube::Pod&, Changes);
template bool send_together<MilliCpu>(Step&, const kube::Pod&, Changes);
template void accepted<Bytes>(Step&, Changes, bool, MonotonicTime, const kube::Pod*);
template void accepted<MilliCpu>(Step&, Changes, bool, MonotonicTime, const kube::Pod*);
template void refuse_here<Bytes>(Step&, const kube::ResizeChange&, kube::Resizability);
template void refuse_here<MilliCpu>(Step&, const kube::ResizeChange&, kube::Resizability);
template bool withdraw<Bytes>(Step&, const kube::Pod&);
template bool withdraw<MilliCpu>(Step&, const kube::Pod&);
template std::vector<Fitted<Bytes>> fitted(Step&, const Room<Bytes>&, const Changes&);
template std::vector<Fitted<MilliCpu>> fitted(Step&, const Room<MilliCpu>&, const Changes&);

}  // namespace plimsoll::agent
