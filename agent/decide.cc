// SPDX-License-Identifier: Apache-2.0
#include "agent/decide.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "agent/budget.h"
#include "agent/leak.h"
#include "agent/pages.h"
#include "agent/shrink.h"
#include "agent/tree.h"

namespace plimsoll::agent {
namespace {

// One tick as every rule sees it.
struct Tick {
  const Policy& policy;
  MonotonicTime now;
  Nanoseconds elapsed;  // since the previous tick; 0: this is the first
  bool lost;            // events were lost since the previous tick
  std::optional<MonotonicTime> lost_at;
};

Bytes per_second(Bytes amount, Nanoseconds time) {
  return scaled_to_fit(amount, 1 / std::chrono::duration<double>(time).count());
}

// The container with the growth rate that two ticks show, where there were two.
ContainerSnapshot with_rate(const Tick& tick, const ContainerSnapshot& container,
                            const ContainerHistory* past) {
  ContainerSnapshot result = container;
  if (past != nullptr && tick.elapsed > Nanoseconds{}) {
    result.facts.rate_per_second =
        per_second(unreclaimable(container.facts) - past->working, tick.elapsed);
  }
  return result;
}

bool thrashes(const Tick& tick, const ContainerSnapshot& container) {
  return container.stall_ratio.value_or(0) > tick.policy.memory.thrash_stall;
}

// Brings the history up to this tick, before anything is decided.
ContainerHistory observe(const Tick& tick, const ContainerSnapshot& container,
                         const ContainerHistory* before) {
  const MemoryPolicy& policy = tick.policy.memory;
  const Bytes working = unreclaimable(container.facts);
  ContainerHistory past;
  if (before != nullptr) {
    past = *before;
    const bool grown = container.grants > 0 || container.facts.limit > past.limit;
    const bool killed = container.oom_kills > past.oom_kills;
    if (grown || killed) restart_after_growth(policy, tick.now, past);
  } else {
    past.quiet_since = tick.now;
    past.calm_since = tick.now;
  }
  past.peaks.add(tick.now, std::max(working, container.peak.value_or(Bytes{})),
                 shrink_wait(policy, past));
  calm_down(policy, tick.now, container.facts.limit, past);
  past.activated = thrashes(tick, container)
                       ? past.activated + bytes_of_pages(container.activations.value_or(0))
                       : Bytes{};
  follow_climb(policy, tick.now, container, container.grants, past);
  past.limit = container.facts.limit;
  return past;
}

Armed arm(const ContainerSnapshot& container, const ContainerHistory& past, Bytes limit) {
  Armed armed{.floor = container.floor, .ceiling = container.ceiling, .settled = past.settled};
  if (!is_unlimited(limit) && limit >= container.ceiling) {
    armed.denial = Reason::kCeiling;
  } else if (past.leaking) {
    armed.denial = Reason::kLeak;
  }
  return armed;
}

// A need that only a tick can see, or that no event reported.
std::optional<Reason> need_at_tick(const Tick& tick, const ContainerSnapshot& container,
                                   const Armed& armed, const ContainerHistory& past) {
  const MemoryPolicy& policy = tick.policy.memory;
  const MemoryFacts& facts = container.facts;
  const Bytes working = unreclaimable(facts);
  const bool high = working > watermark_of(policy, armed, facts.limit);
  if (thrashes(tick, container)) {
    if (past.activated > Bytes{} && working + past.activated > facts.limit) {
      return Reason::kThrashing;
    }
    if (high) return Reason::kReclaimFailing;
  }
  // Where events arrive they are the better judge: a tick is a thousand times slower. Over the
  // watermark the event did come and could not be answered then, or was never sent.
  if ((tick.lost || high) && at_limit_within(facts, 2 * tick.elapsed)) return Reason::kTimeToLimit;
  return std::nullopt;
}

std::optional<Action> grow(const Tick& tick, const ContainerSnapshot& container, Bytes& budget,
                           ContainerHistory& past) {
  const Armed armed = arm(container, past, container.facts.limit);
  if (armed.denial || is_unlimited(container.facts.limit)) return std::nullopt;
  const std::optional<Reason> need = need_at_tick(tick, container, armed, past);
  if (!need) return std::nullopt;
  const Verdict verdict =
      grant(tick.policy.memory, armed, container.facts, Layer::kSlowLoop, budget, *need);
  if (!verdict.limit) return std::nullopt;
  budget -= *verdict.limit - container.facts.limit;
  restart_after_growth(tick.policy.memory, tick.now, past);
  follow_climb(tick.policy.memory, tick.now, container, 1, past);
  past.limit = *verdict.limit;
  past.activated = {};
  return Action{ActionKind::kGrow,     container.slot, container.id,
                container.facts.limit, *verdict.limit, verdict.reason};
}

std::optional<Action> act(const Tick& tick, const ContainerSnapshot& container, Bytes& budget,
                          ContainerHistory& past) {
  if (auto action = grow(tick, container, budget, past)) return action;
  const MemoryPolicy& policy = tick.policy.memory;
  const bool lost = tick.lost_at && tick.now - *tick.lost_at < shrink_wait(policy, past);
  return shrink(container, policy, tick.now, lost, past);
}

// Grows with parents first, so that a child's new limit has room; shrinks with children first.
void order(const Snapshot& snapshot, std::vector<std::pair<std::size_t, Action>>& actions) {
  const Tree tree(snapshot);
  const auto rank = [&](const std::pair<std::size_t, Action>& entry) {
    const std::size_t depth = tree.depth(entry.first);
    const bool grows = entry.second.kind == ActionKind::kGrow;
    return std::pair(entry.second.kind, grows ? depth : snapshot.containers.size() - depth);
  };
  std::stable_sort(actions.begin(), actions.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
}

}  // namespace

std::string_view to_string(ActionKind kind) {
  switch (kind) {
    case ActionKind::kGrow:
      return "grow";
    case ActionKind::kReclaim:
      return "reclaim";
    case ActionKind::kShrink:
      return "shrink";
  }
  return "unknown";
}

Decision decide(const Snapshot& snapshot, const Policy& policy, History history) {
  Decision result;
  result.history.now = snapshot.now;
  result.history.lost_at = snapshot.lost_events > 0 ? snapshot.now : history.lost_at;
  const Nanoseconds elapsed = history.now ? snapshot.now - *history.now : Nanoseconds{};
  const Tick tick{policy, snapshot.now, std::max(elapsed, Nanoseconds{}), snapshot.lost_events > 0,
                  result.history.lost_at};

  Bytes budget = budget_of(snapshot, policy.budget);
  std::vector<std::pair<std::size_t, Action>> actions;
  for (std::size_t i = 0; i < snapshot.containers.size(); ++i) {
    const auto found = history.containers.find(snapshot.containers[i].id);
    const ContainerHistory* before = found == history.containers.end() ? nullptr : &found->second;
    const ContainerSnapshot container = with_rate(tick, snapshot.containers[i], before);
    ContainerHistory past = observe(tick, container, before);

    const std::optional<Action> action = act(tick, container, budget, past);
    if (action) actions.emplace_back(i, *action);
    past.working = unreclaimable(container.facts);
    past.oom_kills = container.oom_kills;
    past.refaults = container.refaults.value_or(0);

    const bool writes = action && action->kind != ActionKind::kReclaim;
    result.plan.arming.push_back(
        {container.slot, container.id,
         arm(container, past, writes ? action->to : container.facts.limit)});
    result.history.containers.insert_or_assign(container.id, std::move(past));
  }

  order(snapshot, actions);
  for (auto& [index, action] : actions) result.plan.actions.push_back(action);
  result.plan.budget = budget;
  const bool nothing_left = budget == Bytes{} || budget < policy.memory.round_to;
  for (Arming& arming : result.plan.arming) {
    if (nothing_left && !arming.armed.denial) arming.armed.denial = Reason::kBudget;
  }
  return result;
}

}  // namespace plimsoll::agent
