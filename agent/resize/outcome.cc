// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/outcome.h"

#include "cgroup/value.h"

namespace plimsoll::agent {
namespace {

using kube::Cause;
using Kind = ResizeEvent::Kind;

std::uint64_t mixed(std::uint64_t x) {  // the finalizer of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::uint64_t hashed(std::string_view text) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

// Nobody is the worse for a limit that is higher than it need be.
template <class Amount>
void note_lowering_refused(Step& step, ContainerResize& container) {
  request_of<Amount>(container).lower_retry_at = step.now + step.config.api.refused_backoff_max;
  forget_wish<Amount>(step, container);
}

// More than `allowed` is not allowed, and for a while not asked for. What was written ahead of it
// is taken back: of memory here, of CPU by the engine, which the bounds of this step tell.
template <class Amount>
void note_refused(Step& step, ContainerResize& container, Amount allowed, SaidBy by,
                  Refused<Amount> refused, std::optional<Nanoseconds> wait = std::nullopt) {
  Request<Amount>& mine = request_of<Amount>(container);
  Allowance<Amount>& known = mine.allowance;
  const Nanoseconds last = known.refused ? known.refused->backoff : Nanoseconds{};
  refused.backoff = wait.value_or(next_refused_backoff(step, last));
  refused.retry_at = step.now + refused.backoff;
  if (!refused.ask_upto) refused.ask_upto = allowed;
  known.refused = std::move(refused);
  known.say(allowed, by, step.now);
  if (allowed <= spec_of<Amount>(container)) forget_wish<Amount>(step, container);
  if constexpr (kIsMemory<Amount>) {
    if (container.want) container.want = allowed;
    if (!container.lease) return;
    if (step.config.fallback.on_refusal) {
      container.lease->why = LeaseWhy::kOverride;
    } else {
      container.lease->withdrawing = container.lease->limit > allowed;
    }
  }
}

// It is still to be taken back: the kubelet's refusal stands. What was written goes meanwhile.
template <class Amount>
void put_off_withdrawal(Step& step) {
  if (!unverified_of<Amount>(step.state)) return;
  ResizeUnverified& open = *unverified_of<Amount>(step.state);
  open.withdraw_backoff = kIsMemory<Amount> ? next_refused_backoff(step, open.withdraw_backoff)
                                            : step.config.api.refused_backoff_max;
  open.withdraw_retry_at = step.now + open.withdraw_backoff;
}

// The cluster has decided.
template <class Amount>
void respect(Step& step, const ResizeInFlight& request, const kube::Refusal& refusal,
             const Room<Amount>& room) {
  if (request.withdraws) put_off_withdrawal<Amount>(step);
  for (const Fitted<Amount>& each : fitted(step, room, request.resize.changes)) {
    if (each.to < each.from) {
      note_lowering_refused<Amount>(step, *each.container);
    } else if (!room.known() || each.fits < each.to) {
      note_refused<Amount>(step, *each.container, room.known() ? each.fits : each.from,
                           SaidBy::kRefusal, {.cause = refusal.cause, .message = refusal.message});
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
  Kind kind = Kind::kRefused;
  switch (refusal.code) {
    case Code::kGone:
      state.gone = true;
      return;
    case Code::kConflict:
    case Code::kUnavailable: {
      // Absolute values: the same again. A conflict passes soon, and memory is urgent.
      using std::chrono::milliseconds;
      Attempts& attempts = attempts_of<Amount>(state);
      const bool soon = kIsMemory<Amount> && refusal.code == Code::kConflict;
      const Nanoseconds wait = backoff_of(state, ++attempts.failed, milliseconds(soon ? 50 : 400),
                                          std::chrono::seconds(kIsMemory<Amount> ? 5 : 30));
      attempts.retry_at = step.now + std::max(wait, wait_asked_for(refusal));
      step.wake_at(attempts.retry_at);
      if (refusal.code == Code::kConflict) return;
      kind = Kind::kUnavailable;
      break;
    }
    case Code::kUnsupported:
      if (refusal.cause != Cause::kMemoryDecrease) {
        note_unsupported(step, refusal.cause);
        break;
      }
      state.no_decrease = true;
      [[fallthrough]];
    case Code::kDenied:
    case Code::kMalformed: {  // a fault of ours: not repeated either
      const Room<Amount> room = room_of<Amount>(refusal);
      if (changes.size() > 1 && !room.known() && !request.withdraws) {
        ask_alone(step);
        return;
      }
      respect<Amount>(step, request, refusal, room);
      break;
    }
  }
  for (const kube::ResizeChange& change : changes) {
    say_refused<Amount>(step, change, outcome, kind);
  }
}

// Taken, but for another value, by an admission webhook: as good as a refusal of the rest, which is
// not asked for at once.
template <class Amount>
void note_changed(Step& step, ContainerResize& container, Amount asked) {
  const Amount stored = spec_of<Amount>(container);
  const std::string message = "stored as " + to_string(stored);
  if (stored > asked) {
    note_lowering_refused<Amount>(step, container);
  } else {
    note_refused<Amount>(step, container, stored, SaidBy::kStoredReply,
                         {.cause = Cause::kAdmission, .message = message},
                         step.config.api.refused_backoff_max);
  }
  step.say(Kind::kRefused, container, stored, asked, kube::to_string(Cause::kAdmission), message);
}

template <class Amount>
void absorb(Step& step, const ResizeInFlight& request, const ResizeOutcome& outcome) {
  if (outcome.refusal) {
    refused<Amount>(step, request, outcome);
    return;
  }
  forget_unknown<Amount>(step);
  step.state.unsupported.reset();
  const Kind kind = request.withdraws ? Kind::kWithdrawn : Kind::kAccepted;
  for_each_limit<Amount>(
      step, request.resize.changes, [&](const auto&, const auto& container, Amount to) {
        const auto& asked = request_of<Amount>(container).asked;
        step.say(kind, container, asked ? asked->from : spec_of<Amount>(container), to, {}, {},
                 outcome.status);
      });
  // The watch may have been faster.
  if (outcome.pod && outcome.pod->generation) {
    step.state.generation = std::max(step.state.generation, outcome.pod->generation);
  }
  if (outcome.pod) step.state.reply_at = step.now;
  accepted<Amount>(step, request.resize.changes, request.withdraws, request.sent,
                   outcome.pod ? &*outcome.pod : nullptr);
}

// The change that takes `change` back to what is allocated; nullopt: nothing of it is open.
template <class Amount>
std::optional<kube::ResizeChange> undone(const Step& step, const kube::ResizeChange& change) {
  const ContainerResize* container = step.find(change.container);
  if (container == nullptr || !of<Amount>(change.limits)) return std::nullopt;
  const std::optional<Amount> before = in_force<Amount>(step, *container);
  if (!before || before == of<Amount>(change.limits)) return std::nullopt;
  kube::ResizeChange undo{
      .container = change.container, .kind = change.kind, .requests = {}, .limits = {}};
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
void note_untaken(Step& step, ContainerResize& container, Amount before) {
  const Amount asked = spec_of<Amount>(container);
  if (asked < before) {
    note_lowering_refused<Amount>(step, container);
    return;
  }
  KubeletVerdict said = kubelet_verdict(step);
  Amount allowed = before;
  if (!said.capacity) {  // without a decision against it what is written may stay
    if constexpr (kIsMemory<Amount>) {
      if (container.lease) allowed = container.lease->limit;
    } else {
      allowed = std::max(container.cpu.level.value_or(before), before);
    }
  }
  forget_wish<Amount>(step, container);
  // What stands there for another reason is not asked for either.
  note_refused<Amount>(step, container, allowed, SaidBy::kKubelet,
                       {.ask_upto = std::min(allowed, before),
                        .cause = said.capacity ? Cause::kNodeCapacity : Cause::kNotReady,
                        .by_kubelet = said.capacity || !kIsMemory<Amount>,
                        .message = std::move(said.message)});
}

}  // namespace

void note_unsupported(Step& step, Cause cause) {
  const Nanoseconds last = step.state.unsupported ? step.state.unsupported->backoff : Nanoseconds{};
  // No decision about this pod: an API server that is being upgraded says it, and soon not any
  // more.
  constexpr Nanoseconds kFirst = std::chrono::seconds(2);
  const Nanoseconds most = step.config.api.refused_backoff_max;
  const Nanoseconds backoff = std::clamp(last * 2, std::min(kFirst, most), most);
  step.state.unsupported = Unsupported{.cause = cause,
                                       .ability = step.facts.api.ability,
                                       .retry_at = step.now + backoff,
                                       .backoff = backoff};
  for (ContainerResize& container : step.state.containers) {
    if (container.lease) container.lease->why = LeaseWhy::kNoApi;
  }
}

template <class Amount>
void note_in_force(Step& step, ContainerResize& container, Amount limit) {
  Allowance<Amount>& known = request_of<Amount>(container).allowance;
  if (!known.refused || !known.refused->by_kubelet || limit <= known.upto) return;
  known = {};
  known.say(limit, SaidBy::kKubelet, step.now);
}

void ask_alone(Step& step) {
  step.state.alone_until = step.now + step.config.api.refused_backoff_max;
}

template <class Amount>
void say_refused(Step& step, const kube::ResizeChange& change, const ResizeOutcome& outcome,
                 Kind kind) {
  const ContainerResize* container = step.find(change.container);
  if (container == nullptr) return;
  const Amount from = spec_of<Amount>(*container);
  step.say(kind, *container, from, of<Amount>(change.limits).value_or(from),
           kube::to_string(outcome.refusal->cause), outcome.refusal->message, outcome.status);
}

Nanoseconds backoff_of(const PodResize& state, int attempts, Nanoseconds first, Nanoseconds most) {
  const int doublings = std::clamp(attempts - 1, 0, 20);
  const Nanoseconds bound = std::min(most, Nanoseconds(first.count() << doublings));
  const std::uint64_t random =
      mixed(hashed(state.id.uid) + static_cast<std::uint64_t>(attempts) + state.next_id);
  const double share = static_cast<double>(random >> 11) * 0x1p-53;  // [0, 1)
  return scaled_time(bound, (1 + share) / 2);
}

Nanoseconds next_refused_backoff(const Step& step, Nanoseconds last) {
  return std::clamp(last * 2, step.config.api.refused_backoff, step.config.api.refused_backoff_max);
}

template <class Amount>
std::vector<Fitted<Amount>> fitted(const Step& step, const Room<Amount>& room,
                                   const std::vector<kube::ResizeChange>& changes) {
  std::vector<Fitted<Amount>> all;
  std::vector<Claim<Amount>> claims;
  Amount total;
  for (const ContainerResize& each : step.state.containers) total += spec_of<Amount>(each);
  for_each_limit<Amount>(step, changes, [&](const auto& change, auto& container, Amount to) {
    const Amount from = spec_of<Amount>(container);
    const kube::Container* seen = step.in_pod(container);
    claims.push_back({.from = from, .to = to, .request = of<Amount>(seen->resources.requests)});
    all.push_back({.change = &change, .container = &container, .from = from, .to = to});
  });
  const std::vector<Amount> fits = fit(room, claims, total);
  for (std::size_t i = 0; i < all.size(); ++i) all[i].fits = fits[i];
  return all;
}

template <class Amount>
void send(Step& step, std::vector<kube::ResizeChange> changes, SendResize::Urgency urgency,
          bool withdraws) {
  PodResize& state = step.state;
  // The others follow, each by itself. Together they would be refused again, as often as they are
  // sent.
  if (!withdraws && changes.size() > 1 && step.now < state.alone_until) changes.resize(1);
  SendResize action;
  action.id = state.next_id++;
  action.resize = {.pod = state.id, .changes = std::move(changes), .dry_run = false};
  action.urgency = urgency;
  // Memory waits for a CPU request, too.
  const bool hurried = urgency == SendResize::Urgency::kRescue || !kIsMemory<Amount>;
  action.deadline =
      hurried && !step.facts.api.slow ? step.config.api.rescue_deadline : step.config.api.deadline;
  const std::optional<ResizeUnverified>& open = unverified_of<Amount>(state);
  for_each_limit<Amount>(
      step, action.resize.changes, [&](const auto&, ContainerResize& container, Amount to) {
        Request<Amount>& mine = request_of<Amount>(container);
        const Amount from = spec_of<Amount>(container);
        const bool follows = mine.asked && open && in_request(open->changes, container.name);
        mine.asked = {.from = from,
                      .to = to,
                      .before = follows ? mine.asked->before : from,
                      .reason = mine.reason};
        if constexpr (kIsMemory<Amount>) {
          container.want_since = step.now;
        } else {
          mine.asked->written = container.cpu.level == to;
        }
        if (!withdraws) step.say(Kind::kSent, container, from, to);
      });
  state.in_flight = ResizeInFlight{
      .id = action.id, .resize = action.resize, .withdraws = withdraws, .sent = step.now};
  ++state.patches;
  if (kIsMemory<Amount>) state.last_patch = step.now;
  step.act(std::move(action));
}

template <class Amount>
void accepted(Step& step, std::vector<kube::ResizeChange> changes, bool withdraws,
              MonotonicTime sent, const kube::Pod* reply) {
  PodResize& state = step.state;
  std::optional<ResizeUnverified>& open = unverified_of<Amount>(state);
  ResizeUnverified now{.generation = state.generation, .withdraws = withdraws, .sent = sent};
  if (!kIsMemory<Amount> && open) now.changes = std::move(open->changes);
  for_each_limit<Amount>(
      step, changes, [&](kube::ResizeChange& change, ContainerResize& container, Amount to) {
        Request<Amount>& mine = request_of<Amount>(container);
        const Amount stored = stored_in(reply, change, to);
        const Amount before = spec_of<Amount>(container);
        mine.spec = stored;
        if (mine.want == to) mine.want.reset();
        if (!withdraws) {
          Allowance<Amount>& known = mine.allowance;
          const auto& said = known.refused;
          const bool more = said && said->ask_upto && stored > std::max(*said->ask_upto, before);
          // The kubelet has its say later. How far it may go now is asked anew.
          if (more && !said->by_kubelet) known = {.upto = known.upto};
          if (!known.refused && stored > known.upto)
            known.say(stored, SaidBy::kStoredReply, step.now);
          if (stored != to) note_changed(step, container, to);
        }
        if constexpr (kIsMemory<Amount>) {
          // The watch may have been faster, and ended the lease that had written it.
          const ContainerReading* seen = step.reading(container);
          const bool stands = (container.lease && container.lease->limit == stored) ||
                              (seen != nullptr && cgroup::reads_as(seen->memory.limit, stored));
          if (!stands) now.visible.push_back(container.name);
          if (container.lease && !withdraws && !container.lease->withdrawing) {
            container.lease->why = LeaseWhy::kBridge;
          }
        } else {
          container.cpu.since = step.now;
        }
        std::erase_if(now.changes,
                      [&](const auto& each) { return each.container == change.container; });
        of<Amount>(change.limits) = stored;
        now.changes.push_back(change);
      });
  open = std::move(now);
  attempts_of<Amount>(state) = {.retry_at = step.now};
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
  ContainerResize& container = *step.find(change.container);
  const Amount from = spec_of<Amount>(container);
  const Amount to = of<Amount>(change.limits).value_or(from);
  if (to <= from) {
    note_lowering_refused<Amount>(step, container);
  } else {
    note_refused<Amount>(step, container, from, SaidBy::kRefusal,
                         {.cause = Cause::kInvalid, .message = std::string(kube::explain(why))},
                         step.config.api.refused_backoff_max);
  }
  step.say(Kind::kRefused, container, from, to, kube::to_string(why), kube::explain(why));
}

template <class Amount>
bool withdraw(Step& step, const kube::Pod& known) {
  const std::optional<ResizeUnverified>& open = unverified_of<Amount>(step.state);
  if (!open || open->withdraws || !refused_by_node(step.state.phase)) return false;
  // The kubelet tries again by itself, but for Infeasible.
  const bool infeasible = step.state.phase == kube::ResizePhase::kInfeasible;
  const MonotonicTime due =
      infeasible ? step.now : step.state.phase_since + step.config.api.withdraw_after;
  const MonotonicTime ready =
      std::max({due, open->withdraw_retry_at, attempts_of<Amount>(step.state).retry_at});
  if (step.now < ready) {
    step.wake_at(ready);
    return false;
  }
  std::vector<kube::ResizeChange> back;
  bool quiet = true;
  for (const kube::ResizeChange& change : open->changes) {
    std::optional<kube::ResizeChange> undo = undone<Amount>(step, change);
    if (!undo) continue;
    quiet &= kIsMemory<Amount> || memory_is_quiet(step, undo->container);
    back.push_back(*std::move(undo));
  }
  if (back.empty() || !quiet ||
      kube::can_apply(known, back, step.facts.api.ability) != kube::Resizability::kYes) {
    return false;
  }
  for (const kube::ResizeChange& undo : back) {
    note_untaken<Amount>(step, *step.find(undo.container), *of<Amount>(undo.limits));
  }
  send<Amount>(step, std::move(back), SendResize::Urgency::kNormal, true);
  return true;
}

void absorb_outcome(Step& step, const ResizeOutcome& outcome) {
  if (!step.state.in_flight || step.state.in_flight->id != outcome.id) return;
  const ResizeInFlight request = *std::move(step.state.in_flight);
  step.state.in_flight.reset();
  if (is_cpu(request.resize)) {
    absorb<MilliCpu>(step, request, outcome);
  } else {
    absorb<Bytes>(step, request, outcome);
  }
}

template void send<Bytes>(Step&, std::vector<kube::ResizeChange>, SendResize::Urgency, bool);
template void send<MilliCpu>(Step&, std::vector<kube::ResizeChange>, SendResize::Urgency, bool);
template void accepted<Bytes>(Step&, std::vector<kube::ResizeChange>, bool, MonotonicTime,
                              const kube::Pod*);
template void accepted<MilliCpu>(Step&, std::vector<kube::ResizeChange>, bool, MonotonicTime,
                                 const kube::Pod*);
template void refuse_here<Bytes>(Step&, const kube::ResizeChange&, kube::Resizability);
template void refuse_here<MilliCpu>(Step&, const kube::ResizeChange&, kube::Resizability);
template void note_in_force<Bytes>(Step&, ContainerResize&, Bytes);
template void note_in_force<MilliCpu>(Step&, ContainerResize&, MilliCpu);
template bool withdraw<Bytes>(Step&, const kube::Pod&);
template bool withdraw<MilliCpu>(Step&, const kube::Pod&);
template void say_refused<Bytes>(Step&, const kube::ResizeChange&, const ResizeOutcome&, Kind);
template void say_refused<MilliCpu>(Step&, const kube::ResizeChange&, const ResizeOutcome&, Kind);
template std::vector<Fitted<Bytes>> fitted(const Step&, const Room<Bytes>&,
                                           const std::vector<kube::ResizeChange>&);
template std::vector<Fitted<MilliCpu>> fitted(const Step&, const Room<MilliCpu>&,
                                              const std::vector<kube::ResizeChange>&);

}  // namespace plimsoll::agent
