// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/request.h"

#include "agent/resize/bounds.h"
#include "agent/resize/cpu_request.h"
#include "agent/resize/dry_run.h"
#include "agent/resize/lease_upkeep.h"
#include "agent/resize/outcome.h"

namespace plimsoll::agent {
namespace {

using kube::Resizability;

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
MonotonicTime ready_at(const Step& step, const ContainerResize& container, Bytes target) {
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
std::optional<Bytes> growth_target(const Step& step, const ContainerResize& container) {
  if (!container.want || !container.spec) return std::nullopt;
  const Bytes target = std::min(*container.want, allowed<Bytes>(step, container).ask);
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

bool grow(Step& step, const kube::Pod& known) {
  std::vector<kube::ResizeChange> changes;
  std::optional<MonotonicTime> ready;
  for (ContainerResize& container : step.state.containers) {
    // A lease without a word, of the agent before this one: the API is to know of it.
    if (container.lease && !container.want && !container.lease->withdrawing &&
        (!container.allowance.refused || step.now >= container.allowance.refused->retry_at) &&
        container.lease->limit > spec_of<Bytes>(container)) {
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
  Resizability why = kube::can_apply(known, changes, step.facts.api.ability);
  if (changes.size() > 1 && (why != Resizability::kYes || step.now < step.state.alone_until)) {
    ask_alone(step);
    changes.resize(1);  // the others follow, each by itself
    why = kube::can_apply(known, changes, step.facts.api.ability);
  }
  if (why != Resizability::kYes) {
    refuse_here<Bytes>(step, changes.front(), why);
    return grow(step, known);
  }
  send<Bytes>(step, std::move(changes), SendResize::Urgency::kRescue, false);
  return true;
}

// A shrink that the kubelet would refuse is not asked for: it would leave the spec lowered and the
// pod in Error.
bool shrink_is_safe(const Step& step, const ContainerResize& container, const kube::Pod& after,
                    Bytes target) {
  const ContainerReading* seen = step.reading(container);
  if (seen == nullptr || !step.facts.reading->slice) return false;
  const std::optional<Bytes> slice = kube::pod_memory_limit(after);
  return safe_limit(step, seen->memory) <= target &&
         (!slice || safe_limit(step, *step.facts.reading->slice) <= *slice);
}

bool shrink(Step& step, const kube::Pod& known) {
  if (step.state.unverified || memory_phase(step) != kube::ResizePhase::kNone) return false;
  std::vector<kube::ResizeChange> changes;
  for (ContainerResize& container : step.state.containers) {
    if (!through_api<Bytes>(step, container) || container.lease) continue;
    if (step.yielding<Bytes>(container)) continue;
    if (!container.want || *container.want >= *container.spec) continue;
    if (!step.facts.reading) continue;  // decided with the files in sight
    const Bytes floor = range_of<Bytes>(step, container)->floor;
    const Bytes target = std::max(*container.want, floor);
    const auto change = kube::memory_change(known, container.name, target);
    const bool waits = step.now < container.lower_retry_at;
    if (!change || waits || step.state.no_decrease || target >= *container.spec) {
      forget_wish<Bytes>(step, container);
      continue;
    }
    const std::vector one{*change};
    const Resizability why = kube::can_apply(known, one, step.facts.api.ability);
    if (why != Resizability::kYes) {
      refuse_here<Bytes>(step, *change, why);
      continue;
    }
    const MonotonicTime ready = container.last_word + step.config.shrink_quiet;
    // A pod's author may change his mind as often as he likes.
    const bool may_wait = target > floor || step.policy(container)->leaving;
    if (may_wait && step.now < ready) {
      step.wake_at(ready);
      continue;
    }
    if (!shrink_is_safe(step, container, kube::applied(known, one), target)) {
      container.lower_retry_at = step.now + step.config.api.refused_backoff;
      forget_wish<Bytes>(step, container);
      continue;
    }
    changes.push_back(*change);
  }
  if (changes.empty()) return false;
  if (kube::can_apply(known, changes, step.facts.api.ability) != Resizability::kYes) {
    changes.resize(1);  // what is fine alone may not be together
  }
  send<Bytes>(step, std::move(changes), SendResize::Urgency::kNormal, false);
  return true;
}

// What was wished for and cannot be asked for now is written, where that is allowed.
void fall_back(Step& step) {
  const bool failing = step.facts.api.away || step.state.unanswered;
  for (ContainerResize& container : step.state.containers) {
    if (!container.want || !container.spec || *container.want <= *container.spec) continue;
    const bool by_api = through_api<Bytes>(step, container);
    if (by_api && !failing) continue;
    const Bytes to = std::min(*container.want, allowed<Bytes>(step, container).write);
    const Bytes level = container.lease ? container.lease->limit : *container.spec;
    if (to <= level) continue;
    const LeaseWhy why = by_api                              ? LeaseWhy::kApiAway
                         : resizable<Bytes>(step, container) ? LeaseWhy::kPolicy
                                                             : LeaseWhy::kNoApi;
    write_directly(step, container, level, to, why);
  }
}

// Something is to be asked for as soon as somebody answers.
bool has_wishes(const Step& step) {
  return std::any_of(step.state.containers.begin(), step.state.containers.end(),
                     [&](const ContainerResize& each) {
                       const Bytes level = each.lease ? each.lease->limit : Bytes{};
                       return through_api<Bytes>(step, each) &&
                              std::max(each.want.value_or(level), level) > *each.spec;
                     });
}

}  // namespace

void ask(Step& step) {
  const PodResize& state = step.state;
  const bool possible = state.resizable == Resizability::kYes && !step.unsupported();
  fall_back(step);
  forget_cpu_wishes(step);
  if (step.unsupported()) step.wake_at(state.unsupported->retry_at);
  if (!possible || state.in_flight) return;
  if (!step.facts.api.may_ask) {
    if (step.facts.api.ask_at && has_wishes(step)) step.wake_at(*step.facts.api.ask_at);
    return;
  }
  if (step.now < state.attempts.retry_at) {
    step.wake_at(state.attempts.retry_at);
    return;
  }
  const kube::Pod known = known_pod(step);
  if (withdraw<Bytes>(step, known)) return;
  if (grow(step, known)) return;
  if (step.facts.api.away) return;
  if (shrink(step, known)) return;
  if (ask_cpu(step, known)) return;
  ask_preflight(step, known);
}

}  // namespace plimsoll::agent
