// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {
namespace {

using kube::Resizability;

bool through_api(const Stepping& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  return policy != nullptr && !policy->dry_run && policy->actuation != Actuation::kCgroup &&
         container.spec && resizable(step, container);
}

void send(Stepping& step, std::vector<kube::ResizeChange> changes, SendResize::Urgency urgency,
          bool withdraws) {
  PodResize& state = step.state;
  SendResize action;
  action.id = state.next_id++;
  action.resize = {.pod = state.id, .changes = std::move(changes), .dry_run = false};
  action.urgency = urgency;
  const bool hurried = urgency == SendResize::Urgency::kRescue && !step.facts.api.slow;
  action.deadline = hurried ? step.config.api.rescue_deadline : step.config.api.deadline;
  for (const kube::ResizeChange& change : action.resize.changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.memory) continue;
    container->want_since = step.now;
    const bool follows = state.unverified && in_request(state.unverified->changes, container->name);
    if (!follows) container->asked_from = container->spec.value_or(Bytes{});
    if (!withdraws) {
      step.say(container->name,
               step.answer(ResizeEvent::Kind::kSent, *container, container->spec.value_or(Bytes{}),
                           *change.limits.memory));
    }
  }
  state.in_flight = ResizeInFlight{
      .id = action.id, .resize = action.resize, .withdraws = withdraws, .sent = step.now};
  ++state.patches;
  state.last_patch = step.now;
  step.act(std::move(action));
}

// The change that takes `change` back to what is allocated; nullopt: nothing of it is open.
std::optional<kube::ResizeChange> undone(const Stepping& step, const kube::ResizeChange& change) {
  const ContainerResize* container = step.find(change.container);
  const kube::Container* seen = container == nullptr ? nullptr : step.in_pod(*container);
  if (seen == nullptr || !change.limits.memory || !seen->status || !seen->status->resources) {
    return std::nullopt;
  }
  const kube::Resources& in_force = *seen->status->resources;
  if (!in_force.limits.memory || *in_force.limits.memory == *change.limits.memory) {
    return std::nullopt;
  }
  kube::ResizeChange undo{
      .container = change.container, .kind = change.kind, .requests = {}, .limits = {}};
  undo.limits.memory = in_force.limits.memory;
  if (change.requests.memory) {
    const std::optional<kube::Amounts>& allocated = seen->status->allocated;
    undo.requests.memory =
        allocated && allocated->memory ? allocated->memory : in_force.requests.memory;
  }
  return undo;
}

// The kubelet has not taken `asked` and has `before` in force.
void note_untaken(Stepping& step, ContainerResize& container, Bytes asked, Bytes before) {
  container.want.reset();
  step.act(ForgetWish{container.name});
  if (before > asked) {  // a shrink
    container.shrink_retry_at = step.now + step.config.api.refused_backoff_max;
    return;
  }
  KubeletVerdict said = kubelet_word(step);
  const Nanoseconds last = container.refused ? container.refused->backoff : Nanoseconds{};
  const Nanoseconds wait = next_refused_backoff(step, last);
  // Without a decision against it the lease may stay, to its end.
  const bool lease_stays = container.lease && !said.capacity;
  container.refused =
      RefusedValue{.value = asked,
                   .allowed = lease_stays ? container.lease->limit : before,
                   .cause = said.capacity ? kube::Cause::kNodeCapacity : kube::Cause::kNotReady,
                   .by_kubelet = said.capacity,
                   .message = std::move(said.message),
                   .retry_at = step.now + wait,
                   .backoff = wait};
  if (container.lease) {
    container.lease->withdrawing = said.capacity && !step.config.fallback.on_refusal;
  }
}

// What the kubelet has not taken for withdraw_after is taken back: it reserves room in the
// scheduler's eyes, and may make a VPA evict the pod.
bool withdraw(Stepping& step) {
  const std::optional<ResizeUnverified>& request = step.state.unverified;
  if (!request || request->withdraws) return false;
  const bool infeasible = step.state.phase == kube::ResizePhase::kInfeasible;
  if (!refused_by_node(step.state.phase)) return false;
  const MonotonicTime due = step.state.phase_since + step.config.api.withdraw_after;
  if (!infeasible && step.now < due) {  // the kubelet tries again by itself, but for Infeasible
    step.wake_at(due);
    return false;
  }
  if (step.now < request->withdraw_retry_at) {
    step.wake_at(request->withdraw_retry_at);
    return false;
  }
  std::vector<kube::ResizeChange> back;
  for (const kube::ResizeChange& change : request->changes) {
    if (auto undo = undone(step, change)) back.push_back(*std::move(undo));
  }
  if (back.empty() ||
      kube::can_apply(known_pod(step), back, step.facts.api.ability) != Resizability::kYes) {
    return false;
  }
  for (const kube::ResizeChange& undo : back) {
    for (const kube::ResizeChange& change : request->changes) {
      if (change.container != undo.container) continue;
      note_untaken(step, *step.find(undo.container), *change.limits.memory, *undo.limits.memory);
    }
  }
  send(step, std::move(back), SendResize::Urgency::kNormal, true);
  return true;
}

// What the last grant lasts for at the rate of growth that led to it; 0: unknown.
Nanoseconds lasts(const ContainerResize& container) {
  if (!container.want || container.rate_per_second == Bytes{}) return {};
  const Bytes room = *container.want - container.want_from;
  const double seconds =
      static_cast<double>(room.value) / static_cast<double>(container.rate_per_second.value);
  constexpr double kDay = 86400;
  return std::chrono::duration_cast<Nanoseconds>(
      std::chrono::duration<double>(std::min(seconds, kDay)));
}

// When a limit that is written already is asked for: once for all grants of a burst, unless it is
// so slow that it may go on for long.
MonotonicTime ready_at(const Stepping& step, const ContainerResize& container, Bytes target) {
  const bool written = container.lease && container.lease->limit >= target;
  if (!written) return step.now;
  // The kubelet is about to put a lower limit in force: the newer one must follow at once.
  if (step.state.unverified && !step.state.unverified->overdue) return step.now;
  const Nanoseconds next = lasts(container);
  // One more in the same burst waits longer.
  const bool again = step.state.last_patch != MonotonicTime{} &&
                     step.now - step.state.last_patch < step.config.coalesce_max;
  if (!again && next > std::max(step.config.coalesce_max, step.facts.api.patch_to_limit)) {
    return step.now;
  }
  // The burst is over when the next grant is late by half: growth is not even.
  const Nanoseconds quiet =
      std::max(next + next / 2, again ? step.config.coalesce * 4 : step.config.coalesce);
  return std::min(container.last_word + quiet, container.want_since + step.config.coalesce_max);
}

// How far the API is asked to go for a container that wants more; nullopt: it is not asked.
std::optional<Bytes> growth_target(const Stepping& step, const ContainerResize& container) {
  if (!through_api(step, container) || step.yielding()) return std::nullopt;
  if (!container.want || *container.want <= *container.spec) return std::nullopt;
  Bytes target = std::min(*container.want, step.policy(container)->ceiling);
  if (container.refused && step.now < container.refused->retry_at &&
      target >= container.refused->value) {
    if (container.refused->allowed >= container.refused->value) return std::nullopt;
    target = container.refused->allowed;
  }
  const PreflightState& preflight = container.preflight;
  if (preflight.refused && preflight.room_known && step.now < preflight.at + preflight.backoff) {
    target = std::min(target, preflight.allowed);
  }
  if (target <= *container.spec) return std::nullopt;
  // In force, the limit would be below what is there now, and perhaps below the usage: the kubelet
  // may take it for a raise, and does not look.
  const ContainerReading* seen = step.reading(container);
  if (seen == nullptr) {
    if (container.lease && container.lease->limit > target) return std::nullopt;
  } else if (seen->memory.limit.bytes > target.value && safe_limit(step, seen->memory) > target) {
    return std::nullopt;
  }
  return target;
}

void refuse_here(Stepping& step, const std::vector<kube::ResizeChange>& changes, Resizability why) {
  for (const kube::ResizeChange& change : changes) {
    ContainerResize* container = step.find(change.container);
    const Bytes spec = container->spec.value_or(Bytes{});
    const Bytes to = change.limits.memory.value_or(spec);
    const Nanoseconds wait = step.config.api.refused_backoff_max;
    if (to > spec) {
      container->refused = RefusedValue{.value = to,
                                        .allowed = spec,
                                        .cause = kube::Cause::kInvalid,
                                        .by_kubelet = false,
                                        .message = std::string(kube::explain(why)),
                                        .retry_at = step.now + wait,
                                        .backoff = wait};
      if (container->lease && !step.config.fallback.on_refusal)
        container->lease->withdrawing = true;
    } else {
      container->shrink_retry_at = step.now + wait;
    }
    container->want.reset();
    step.act(ForgetWish{container->name});
    ResizeEvent answer = step.answer(ResizeEvent::Kind::kRefused, *container, spec, to);
    answer.cause = kube::to_string(why);
    answer.message = kube::explain(why);
    step.say(container->name, std::move(answer));
  }
}

bool grow(Stepping& step, const kube::Pod& known) {
  std::vector<kube::ResizeChange> changes;
  std::optional<MonotonicTime> ready;
  for (ContainerResize& container : step.state.containers) {
    // A lease without a word, of the agent before this one: the API is to know of it.
    if (container.lease && !container.want && !container.lease->withdrawing &&
        (!container.refused || step.now >= container.refused->retry_at) &&
        container.lease->limit > container.spec.value_or(Bytes{})) {
      container.want = container.lease->limit;
      container.want_since = step.now;
    }
    const std::optional<Bytes> target = growth_target(step, container);
    if (!target) continue;
    std::optional<kube::ResizeChange> change = kube::memory_change(known, container.name, *target);
    if (!change) continue;
    changes.push_back(*std::move(change));
    const MonotonicTime at = ready_at(step, container, *target);
    ready = ready ? std::min(*ready, at) : at;
  }
  if (changes.empty()) return false;
  if (step.now < *ready) {
    step.wake_at(*ready);
    return true;  // nothing else goes before it
  }
  const Resizability why = kube::can_apply(known, changes, step.facts.api.ability);
  if (why != Resizability::kYes) {
    refuse_here(step, changes, why);
    return false;
  }
  send(step, std::move(changes), SendResize::Urgency::kRescue, false);
  return true;
}

// A shrink that the kubelet would refuse is not asked for: it would leave the spec lowered and the
// pod in Error.
bool shrink_is_safe(const Stepping& step, const ContainerResize& container, const kube::Pod& after,
                    Bytes target) {
  const ContainerReading* seen = step.reading(container);
  if (seen == nullptr || !step.facts.reading->slice) return false;
  const std::optional<Bytes> slice = kube::pod_memory_limit(after);
  return safe_limit(step, seen->memory) <= target &&
         (!slice || safe_limit(step, *step.facts.reading->slice) <= *slice);
}

bool shrink(Stepping& step, const kube::Pod& known) {
  if (step.state.unverified || memory_phase(step) != kube::ResizePhase::kNone) return false;
  std::vector<kube::ResizeChange> changes;
  for (ContainerResize& container : step.state.containers) {
    if (!through_api(step, container) || step.yielding() || container.lease) continue;
    if (!container.want || *container.want >= *container.spec) continue;
    if (!step.facts.reading) continue;  // decided with the files in sight
    const Bytes floor = container.floor.value_or(step.policy(container)->floor);
    const Bytes target = std::max(*container.want, floor);
    const auto change = kube::memory_change(known, container.name, target);
    const bool waits = step.now < container.shrink_retry_at;
    if (!change || waits || step.state.no_decrease || target >= *container.spec) {
      container.want.reset();
      step.act(ForgetWish{container.name});
      continue;
    }
    const std::vector one{*change};
    const Resizability why = kube::can_apply(known, one, step.facts.api.ability);
    if (why != Resizability::kYes) {
      refuse_here(step, one, why);
      continue;
    }
    const MonotonicTime ready = container.last_word + step.config.shrink_quiet;
    if (target > floor && step.now < ready) {
      step.wake_at(ready);
      continue;
    }
    if (!shrink_is_safe(step, container, kube::applied(known, one), target)) {
      container.want.reset();
      container.shrink_retry_at = step.now + step.config.api.refused_backoff;
      step.act(ForgetWish{container.name});
      continue;
    }
    changes.push_back(*change);
  }
  if (changes.empty()) return false;
  if (kube::can_apply(known, changes, step.facts.api.ability) != Resizability::kYes) {
    changes.resize(1);  // what is fine alone may not be together
  }
  send(step, std::move(changes), SendResize::Urgency::kNormal, false);
  return true;
}

// What was wished for and cannot be asked for now is written, where that is allowed.
void fall_back(Stepping& step) {
  const bool failing = step.facts.api.away || step.state.unanswered;
  for (ContainerResize& container : step.state.containers) {
    if (!container.want || !container.spec || *container.want <= *container.spec) continue;
    const bool by_api = through_api(step, container);
    if (by_api && !failing) continue;
    const Bytes to = std::min(*container.want, direct_ceiling(step, container));
    const Bytes level = container.lease ? container.lease->limit : *container.spec;
    if (to <= level || step.yielding()) continue;
    const LeaseWhy why = by_api                       ? LeaseWhy::kApiAway
                         : resizable(step, container) ? LeaseWhy::kPolicy
                                                      : LeaseWhy::kNoApi;
    container.lease = Lease{.limit = to,
                            .why = why,
                            .since = container.lease ? container.lease->since : step.now,
                            .until = step.now + step.config.fallback.lease,
                            .written_at = step.now,
                            .withdrawing = false};
    step.act(RaiseLimit{.container = container.name,
                        .limit = to,
                        .slice = slice_limit(step, true),
                        .reason = container.reason});
    ResizeEvent answer = step.answer(ResizeEvent::Kind::kFallback, container, level, to);
    answer.cause = to_string(why);
    step.say(container.name, std::move(answer));
  }
}

// Something is to be asked for as soon as somebody answers.
bool has_wishes(const Stepping& step) {
  return std::any_of(
      step.state.containers.begin(), step.state.containers.end(), [&](const ContainerResize& each) {
        const Bytes level = each.lease ? each.lease->limit : Bytes{};
        return through_api(step, each) && std::max(each.want.value_or(level), level) > *each.spec;
      });
}

}  // namespace

void ask(Stepping& step) {
  const PodResize& state = step.state;
  const bool possible = state.resizable == Resizability::kYes && !state.unsupported;
  fall_back(step);
  forget_cpu_wishes(step);
  if (!possible || state.in_flight) return;
  if (!step.facts.api.may_ask) {
    if (step.facts.api.ask_at && has_wishes(step)) step.wake_at(*step.facts.api.ask_at);
    return;
  }
  if (step.now < state.retry_at) {
    step.wake_at(state.retry_at);
    return;
  }
  if (withdraw(step)) return;
  const kube::Pod known = known_pod(step);
  if (grow(step, known)) return;
  if (step.facts.api.away) return;
  if (shrink(step, known)) return;
  if (ask_cpu(step, known)) return;
  ask_preflight(step, known);
  ask_cpu_preflight(step, known);
}

}  // namespace plimsoll::agent
