// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/request.h"

#include <span>

#include "agent/resize/dry_run.h"
#include "agent/resize/lease_upkeep.h"
#include "agent/resize/outcome.h"

namespace plimsoll::agent {
namespace {

// While the API is away, so much later than who needs memory does somebody else find out whether it
// answers again.
constexpr Nanoseconds kAfterNeedy = std::chrono::seconds(1);

using kube::Resizability;

Bytes level_of(const Lane<Bytes>& lane) {
  return lane.own.lease ? lane.own.lease->limit : lane.spec();
}

// What the last grant lasts for at the rate of growth that led to it; 0: unknown.
Nanoseconds lasts(const MemoryRequest& memory) {
  if (!memory.want || memory.rate_per_second == Bytes{}) return {};
  const Bytes room = *memory.want - memory.want_from;
  const double seconds =
      static_cast<double>(room.value) / static_cast<double>(memory.rate_per_second.value);
  constexpr double kDay = 86400;
  return std::chrono::duration_cast<Nanoseconds>(
      std::chrono::duration<double>(std::min(seconds, kDay)));
}

// When a limit that is written already is asked for: once for all grants of a burst, unless it is
// so slow that it may go on for long.
MonotonicTime ready_at(const Step& step, const MemoryRequest& memory, Bytes target) {
  const bool written = memory.lease && memory.lease->limit >= target;
  if (!written) return step.now;
  // The kubelet is about to put a lower limit in force: the newer one must follow at once.
  const std::optional<ResizeUnverified>& open = step.state.memory.unverified;
  if (open && !open->overdue) return step.now;
  const Nanoseconds next = lasts(memory);
  // One more in the same burst waits longer.
  const bool again = step.state.last_patch != MonotonicTime{} &&
                     step.now - step.state.last_patch < step.config.coalesce_max;
  if (!again && next > std::max(step.config.coalesce_max, step.facts.api.patch_to_limit)) {
    return step.now;
  }
  // The burst is over when the next grant is late by half: growth is not even.
  const Nanoseconds quiet =
      std::max(next + next / 2, again ? step.config.coalesce * 4 : step.config.coalesce);
  return std::min(memory.last_word + quiet, memory.want_since + step.config.coalesce_max);
}

// How far the API is asked to go for a container that wants more; nullopt: it is not asked.
std::optional<Bytes> growth_target(const Lane<Bytes>& lane) {
  const MemoryRequest& own = lane.own;
  if (!own.want || !own.spec) return std::nullopt;
  const Bytes target = std::min(*own.want, lane.allowed().ask);
  if (target <= *own.spec) return std::nullopt;
  // In force, the limit would be below what is there now, and perhaps below the usage: the kubelet
  // may take it for a raise, and does not look.
  const ContainerReading* seen = lane.step.reading(lane.container);
  const bool lower = seen == nullptr ? own.lease && own.lease->limit > target
                                     : seen->memory.limit.bytes > target.value &&
                                           lane.step.safe_limit(seen->memory) > target;
  return lower ? std::nullopt : std::optional(target);
}

// False: it is refused here, for it would not be taken.
template <class Amount>
bool can_send(Step& step, const kube::Pod& known, const kube::ResizeChange& change) {
  const Resizability why = kube::can_apply(known, std::span(&change, 1), step.facts.api.ability);
  if (why != Resizability::kYes) refuse_here<Amount>(step, change, why);
  return why == Resizability::kYes;
}

bool grow(Step& step, const kube::Pod& known) {
  std::vector<kube::ResizeChange> changes;
  std::optional<MonotonicTime> ready;
  for (ContainerResize& container : step.state.containers) {
    const Lane<Bytes> lane(step, container);
    MemoryRequest& own = lane.own;
    // A lease without a word, of the agent before this one: the API is to know of it.
    if (own.lease && !own.want && !own.lease->withdrawing &&
        (!own.allowance.refused || step.now >= own.allowance.refused->retry_at) &&
        own.lease->limit > lane.spec()) {
      own.want = own.lease->limit;
      own.want_since = step.now;
    }
    const std::optional<Bytes> target = growth_target(lane);
    if (!target) continue;
    std::optional<kube::ResizeChange> change = change_to(known, container.name, *target);
    if (!change) continue;
    changes.push_back(*std::move(change));
    const MonotonicTime at = ready_at(step, own, *target);
    ready = ready ? std::min(*ready, at) : at;
  }
  if (changes.empty()) return false;
  if (step.now < *ready) {
    step.wake_at(*ready);
    return true;  // nothing else goes before it
  }
  const Resizability together = kube::can_apply(known, changes, step.facts.api.ability);
  const bool alone = together != Resizability::kYes || step.now < step.state.alone_until;
  if (changes.size() > 1 && alone) {
    ask_alone(step);
    changes.resize(1);  // the others follow, each by itself
  }
  if (alone && !can_send<Bytes>(step, known, changes.front())) return grow(step, known);
  send<Bytes>(step, std::move(changes), SendResize::Urgency::kRescue);
  return true;
}

// A shrink that the kubelet would refuse is not asked for: it would leave the spec lowered and the
// pod in Error.
bool shrink_is_safe(const Lane<Bytes>& lane, const kube::Pod& after, Bytes target) {
  const Step& step = lane.step;
  const ContainerReading* seen = step.reading(lane.container);
  if (seen == nullptr || !step.facts.reading->slice) return false;
  const std::optional<Bytes> slice = kube::pod_memory_limit(after);
  return step.safe_limit(seen->memory) <= target &&
         (!slice || step.safe_limit(*step.facts.reading->slice) <= *slice);
}

// The change that a lowering needs now; nullopt: none, or not yet.
std::optional<kube::ResizeChange> shrinking(const Lane<Bytes>& lane, const kube::Pod& known) {
  Step& step = lane.step;
  MemoryRequest& own = lane.own;
  if (!lane.through_api() || own.lease || lane.yielding()) return std::nullopt;
  if (!own.want || *own.want >= *own.spec) return std::nullopt;
  const Bytes floor = lane.range()->floor;
  const Bytes target = std::max(*own.want, floor);
  auto change = change_to(known, lane.container.name, target);
  const bool waits = step.now < own.lower_retry_at;
  if (!change || waits || step.state.no_decrease || target >= *own.spec) {
    lane.forget_wish();
    return std::nullopt;
  }
  if (!can_send<Bytes>(step, known, *change)) return std::nullopt;
  const MonotonicTime ready = own.last_word + step.config.shrink_quiet;
  // A pod's author may change his mind as often as he likes.
  const bool may_wait = target > floor || lane.policy->leaving;
  if (may_wait && step.now < ready) {
    step.wake_at(ready);
    return std::nullopt;
  }
  if (shrink_is_safe(lane, kube::applied(known, std::span(&*change, 1)), target)) return change;
  own.lower_retry_at = step.now + step.config.api.refused_backoff;
  lane.forget_wish();
  return std::nullopt;
}

bool shrink(Step& step, const kube::Pod& known) {
  if (step.state.memory.unverified || step.memory_phase() != kube::ResizePhase::kNone) return false;
  if (!step.facts.reading) return false;  // decided with the files in sight
  std::vector<kube::ResizeChange> changes;
  for (ContainerResize& container : step.state.containers) {
    if (auto change = shrinking(Lane<Bytes>(step, container), known)) {
      changes.push_back(*std::move(change));
    }
  }
  return send_together<Bytes>(step, known, std::move(changes));
}

// What was wished for and cannot be asked for now is written, where that is allowed.
void fall_back(Step& step) {
  const bool failing = step.facts.api.away || step.state.unanswered;
  for (ContainerResize& container : step.state.containers) {
    const Lane<Bytes> lane(step, container);
    const MemoryRequest& own = lane.own;
    if (!own.want || !own.spec || *own.want <= *own.spec) continue;
    const bool by_api = lane.through_api();
    if (by_api && !failing) continue;
    const Bytes to = std::min(*own.want, lane.allowed().write);
    const Bytes level = level_of(lane);
    if (to <= level) continue;
    const LeaseWhy why = by_api             ? LeaseWhy::kApiAway
                         : lane.resizable() ? LeaseWhy::kPolicy
                                            : LeaseWhy::kNoApi;
    write_directly(lane, level, to, why);
  }
}

// Something is to be asked for as soon as somebody answers.
bool has_wishes(Step& step) {
  return std::any_of(step.state.containers.begin(), step.state.containers.end(),
                     [&](ContainerResize& each) {
                       const Lane<Bytes> lane(step, each);
                       const Bytes level = level_of(lane);
                       return lane.through_api() &&
                              std::max(each.memory.want.value_or(level), level) > lane.spec();
                     });
}

// The same of a lower limit, which can wait.
bool has_lowerings(Step& step) {
  return std::any_of(
      step.state.containers.begin(), step.state.containers.end(), [&](ContainerResize& each) {
        const Lane<Bytes> lane(step, each);
        return lane.through_api() && each.memory.want.value_or(lane.spec()) < lane.spec();
      });
}

// The limit that the spec can go down to now; nullopt: it is down, or not worth a PATCH.
std::optional<Bytes> way_down(const Lane<Bytes>& lane, Bytes floor) {
  const ContainerReading* seen = lane.step.reading(lane.container);
  if (seen == nullptr || lane.spec() <= floor) return std::nullopt;
  const Bytes safe = round_up(lane.step.safe_limit(seen->memory), Bytes{kMiB});
  if (safe <= floor) return floor;
  const bool worth_it = safe + lane.step.config.keep_least < lane.spec();
  return worth_it ? std::optional(safe) : std::nullopt;
}

// A lowering that stops above the floor waits so many times longer: the limit moves with the use,
// and each step would be a PATCH.
constexpr int kPartway = 4;

// What the API is to be asked for, and from when on.
struct Aim {
  MilliCpu to;
  MonotonicTime at;
};

std::optional<Aim> aim_of(const Lane<MilliCpu>& lane) {
  const std::optional<Range<MilliCpu>> range = lane.range();
  if (!range || !lane.through_api() || lane.yielding()) return std::nullopt;
  const CpuRequest& own = lane.own;
  const Nanoseconds ask_after = lane.step.config.cpu_ask_after;
  const MilliCpu spec = *own.spec;
  if (range->most == range->floor) {  // it leaves: whatever stands in the cgroup
    if (spec <= range->floor) return std::nullopt;
    return Aim{range->floor, std::max(own.since + ask_after, own.lower_retry_at)};
  }
  const bool has_started = own.reason == Reason::kStarted;
  const std::optional<MilliCpu> level = own.starting ? std::nullopt : own.level;
  const bool raised = own.want && *own.want > spec;
  if (!own.want && !level) return std::nullopt;
  const MilliCpu limit =
      raised ? std::max(*own.want, level.value_or(spec)) : own.want.value_or(level.value_or(spec));
  Aim aim{.to = std::clamp(limit, range->floor, range->most), .at = lane.step.now};
  if (aim.to > spec) aim.to = std::min(aim.to, lane.allowed().ask);
  if (aim.to == spec) return std::nullopt;
  if (own.want) {
    if (!raised && !has_started) aim.at = own.want_since + ask_after;
  } else if (aim.to > spec || !has_started) {
    const bool partway = aim.to < spec && aim.to > range->floor;
    aim.at = own.since + ask_after * (partway ? kPartway : 1);
  }
  if (aim.to < spec) aim.at = std::max(aim.at, own.lower_retry_at);
  return aim;
}

// The changes that are due: raises before lowerings, so that a refusal says what was too much.
std::vector<kube::ResizeChange> due_changes(Step& step, const kube::Pod& known) {
  std::vector<kube::ResizeChange> raises;
  std::vector<kube::ResizeChange> lowerings;
  for (ContainerResize& container : step.state.containers) {
    const Lane<MilliCpu> lane(step, container);
    const std::optional<Aim> aim = aim_of(lane);
    if (!aim) {
      const bool differs = lane.own.want || lane.own.side() != 0;
      const auto& refused = lane.own.allowance.refused;
      if (differs && refused && step.now < refused->retry_at) step.wake_at(refused->retry_at);
      continue;
    }
    if (step.now < aim->at) {
      step.wake_at(aim->at);
      continue;
    }
    const auto change = change_to(known, container.name, aim->to);
    if (change) (aim->to > lane.spec() ? raises : lowerings).push_back(*change);
  }
  return raises.empty() ? lowerings : raises;
}

void forget_cpu_wishes(Step& step) {
  for (ContainerResize& container : step.state.containers) {
    const Lane<MilliCpu> lane(step, container);
    if (lane.own.want && !aim_of(lane)) lane.forget_wish();
  }
}

bool ask_cpu(Step& step, const kube::Pod& known) {
  if (withdraw<MilliCpu>(step, known)) return true;
  std::vector<kube::ResizeChange> changes = due_changes(step, known);
  if (changes.empty()) return false;
  const MonotonicTime ready = step.state.cpu.attempts.retry_at;
  if (step.now < ready || step.refused_by_node()) {
    step.wake_at(step.now < ready ? ready : step.now + kLookAgain);
    return false;
  }
  std::erase_if(changes, [&](const auto& each) { return !step.memory_is_quiet(each.container); });
  std::erase_if(changes, [&](const auto& each) { return !can_send<MilliCpu>(step, known, each); });
  return send_together<MilliCpu>(step, known, std::move(changes));
}

}  // namespace

void leave(Step& step) {
  for (ContainerResize& container : step.state.containers) {
    const Lane<Bytes> lane(step, container);
    MemoryRequest& own = lane.own;
    if (lane.policy == nullptr || !lane.policy->leaving || !own.spec) continue;
    if (own.lease) own.lease->withdrawing = true;
    const Bytes floor = own.floor.value_or(lane.policy->floor);
    const bool waits = own.lease || step.now < own.lower_retry_at;
    const std::optional<Bytes> to = waits ? std::nullopt : way_down(lane, floor);
    if (to && !own.want) own.last_word = step.now;
    own.want = to;
  }
}

void ask(Step& step) {
  const PodResize& state = step.state;
  fall_back(step);
  forget_cpu_wishes(step);
  if (step.unsupported()) step.wake_at(state.unsupported->retry_at);
  if (!step.resizable() || state.in_flight) return;
  const std::size_t unanswered = count_unanswered(step);
  const ApiStatus& api = step.facts.api;
  // Its turn while the API is away: where nobody needs memory nobody else would find out that it is
  // back.
  std::optional<MonotonicTime> turn;
  if (api.away && api.ask_at && (unanswered > 0 || has_lowerings(step))) {
    turn = *api.ask_at + kAfterNeedy;
  }
  if (!api.may_ask) {
    if (api.ask_at && has_wishes(step)) turn = api.ask_at;
    if (turn) step.wake_at(*turn);
    return;
  }
  if (step.now < state.memory.attempts.retry_at) {
    step.wake_at(state.memory.attempts.retry_at);
    return;
  }
  const kube::Pod known = step.known_pod();
  if (withdraw<Bytes>(step, known)) return;
  if (grow(step, known)) return;
  if (api.away && (!turn || step.now < *turn)) {
    if (turn) step.wake_at(*turn);
    return;
  }
  if (shrink(step, known)) return;
  if (!api.away && ask_cpu(step, known)) return;
  ask_preflight(step, known);
}

}  // namespace plimsoll::agent
