// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/decide.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include "agent/policy/budget.h"
#include "agent/policy/cgroup_tree.h"
#include "agent/policy/decide_internal.h"
#include "agent/policy/leak.h"
#include "agent/policy/memory.h"
#include "agent/policy/priority.h"
#include "agent/policy/shrink.h"
#include "agent/policy/take_back.h"

namespace plimsoll::agent {
namespace {

// The API's numbers and the kernel's pages need not agree to the last byte.
constexpr Bytes kRepairFrom{64 * kKiB};

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
  std::uint32_t grants = container.grants;
  ContainerHistory past;
  if (before != nullptr) {
    past = *before;
    const bool raised = container.facts.limit > past.limit;
    const bool killed = container.oom_kills > past.oom_kills;
    // A wish that was granted is a grant.
    if (raised && container.grants == 0 && past.asked > Bytes{}) grants = 1;
    note_shrink(tick.now, container.facts.limit, past);
    // What grew because it was announced had not been shrunk too far.
    if (container.announced) past.shrunk_at.reset();
    if (raised || grants > 0 || killed) restart_after_growth(policy, tick.now, past);
  } else {
    past.quiet_since = tick.now;
    past.calm_since = tick.now;
  }
  if (past.announced && !container.announced) restart_after_work(policy, tick.now, past);
  past.announced = container.announced.has_value();
  past.peaks.add(tick.now, std::max(working, container.peak.value_or(Bytes{})),
                 shrink_wait(policy, past));
  calm_down(policy, tick.now, container.facts.limit, past);
  past.activated = thrashes(tick, container)
                       ? past.activated + bytes_of_pages(container.activations.value_or(0))
                       : Bytes{};
  follow_climb(policy, tick.now, container, grants, past);
  past.limit = container.facts.limit;
  return past;
}

// A need that only a tick can see, or that no event reported.
std::optional<Reason> need_at_tick(const Tick& tick, const Candidate& each) {
  const MemoryFacts& facts = each.container.facts;
  const Bytes working = unreclaimable(facts);
  const bool high = is_high(tick, each, facts);
  if (thrashes(tick, each.container)) {
    if (each.past.activated > Bytes{} && working + each.past.activated > facts.limit) {
      return Reason::kThrashing;
    }
    if (high) return Reason::kReclaimFailing;
  }
  // Where events arrive they are the better judge: a tick is a thousand times slower. Over the
  // watermark the event did come and could not be answered then, or was never sent.
  if ((tick.lost || high) && at_limit_within(facts, 2 * tick.elapsed)) return Reason::kTimeToLimit;
  if (high && each.container.starved > Bytes{}) return Reason::kWatermark;
  // What an event could not be granted, or somebody else has taken back.
  if (each.container.announced.value_or(Bytes{}) > facts.limit) return Reason::kAnnounced;
  return std::nullopt;
}

Action make_grow(const ContainerSnapshot& container, Bytes to, Reason reason) {
  return {ActionKind::kGrow, container.slot, container.id, container.facts.limit, to, reason};
}

void grow(const Tick& tick, Candidate& each, Budget& budget) {
  if (each.action) return;  // a repair comes first
  const ContainerSnapshot& container = each.container;
  const MemoryPolicy& policy = tick.policy.memory;
  const Armed armed = arm(container, each.past, container.facts.limit);
  if (armed.denial || is_unlimited(container.facts.limit)) return;
  const std::optional<Reason> need = need_at_tick(tick, each);
  if (!need) return;
  const Budgets budgets = budget.of(container);
  Bytes target = wanted(policy, armed, container.facts, Layer::kSlowLoop);
  if (*need == Reason::kAnnounced) target = std::min(*container.announced, armed.bounds.ceiling);
  const Verdict verdict = grant_up_to(policy, armed, container.facts, target, budgets, *need);
  const Bytes given = std::max(verdict.limit.value_or(container.facts.limit),
                               verdict.wish.value_or(container.facts.limit));
  each.missing = target - given;
  budget.pay(container, given);
  if (verdict.limit) {
    each.action = make_grow(container, *verdict.limit, verdict.reason);
    restart_after_growth(policy, tick.now, each.past);
    follow_climb(policy, tick.now, container, 1, each.past);
    each.past.limit = *verdict.limit;
    each.past.activated = {};
  }
  if (!verdict.wish) return;
  const bool told = each.past.asked_at && tick.now - *each.past.asked_at < kWishAgain;
  if (told && *verdict.wish <= container.wished) return;
  each.wish = make_grow(container, *verdict.wish, verdict.reason);
  each.past.asked_at = tick.now;
}

// How long until it is at its limit, for the order among equals.
double time_to_limit(const MemoryFacts& facts) {
  const Bytes headroom = facts.limit - unreclaimable(facts);
  return static_cast<double>(headroom.value) / static_cast<double>(facts.rate_per_second.value);
}

// Those that come first are served first.
void grow_all(const Tick& tick, std::vector<Candidate>& candidates, Budget& budget) {
  std::vector<std::size_t> order(candidates.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    const ContainerSnapshot& first = candidates[a].container;
    const ContainerSnapshot& second = candidates[b].container;
    if (first.rank != second.rank) return first.rank > second.rank;
    const bool rises = first.facts.rate_per_second > Bytes{};
    if (!rises || second.facts.rate_per_second == Bytes{}) {
      return rises && second.facts.rate_per_second == Bytes{};
    }
    return time_to_limit(first.facts) < time_to_limit(second.facts);
  });
  for (const std::size_t index : order) grow(tick, candidates[index], budget);
}

// A slice that covers its children is kept at its floor and what their limits stand above theirs;
// the budgets have paid for that with the children's grants.
void cover_children(const Tree& tree, std::vector<Candidate>& candidates) {
  std::vector<Bytes> above(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const ContainerSnapshot& child = candidates[i].container;
    const std::optional<std::size_t> parent = tree.parent(i);
    if (parent && !is_unlimited(child.facts.limit))
      above[*parent] += child.facts.limit - child.bounds.floor;
  }
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Candidate& each = candidates[i];
    ContainerSnapshot& slice = each.container;
    const Bytes limit = slice.facts.limit;
    if (!slice.covers_children || is_unlimited(limit) || is_boundary(slice)) continue;
    const Armed armed = arm(slice, each.past, limit);
    const Bytes needed = slice.bounds.floor + above[i];
    const Bytes to = std::min(needed, direct_ceiling(armed.bounds));
    if (to > limit + kRepairFrom) {
      each.action = make_grow(slice, to, Reason::kBelowChildren);
      each.past.limit = to;
    }
    slice.bounds.floor = std::max(slice.bounds.floor, std::min(needed, slice.bounds.ceiling));
  }
}

void lower(const Tick& tick, Candidate& each) {
  if (each.action || each.wish || is_boundary(each.container)) return;
  const MemoryPolicy& policy = tick.policy.memory;
  Lowering lowering =
      shrink(each.container, policy, tick.now, tick.recently_lost(each.past), each.past);
  each.action = std::move(lowering.action);
  each.wish = std::move(lowering.wish);
}

// Grows with parents first, so that a child's new limit has room; shrinks with children first.
void order(const Tree& tree, std::vector<std::pair<std::size_t, Action>>& actions) {
  const auto rank = [&](const std::pair<std::size_t, Action>& entry) {
    const std::size_t depth = tree.depth(entry.first);
    const bool grows = entry.second.kind == ActionKind::kGrow;
    return std::pair(entry.second.kind, grows ? depth : tree.children_first().size() - depth);
  };
  std::stable_sort(actions.begin(), actions.end(),
                   [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
}

// Opens a case for each container, its history brought up to this tick.
std::vector<Candidate> open_candidates(const Tick& tick, const Snapshot& snapshot,
                                       const History& history) {
  std::vector<Candidate> candidates;
  candidates.reserve(snapshot.containers.size());
  for (const ContainerSnapshot& seen : snapshot.containers) {
    const auto found = history.containers.find(seen.id);
    const ContainerHistory* before = found == history.containers.end() ? nullptr : &found->second;
    Candidate each{.container = with_rate(tick, seen, before)};
    each.past = observe(tick, each.container, before);
    candidates.push_back(std::move(each));
  }
  return candidates;
}

Armed final_arming(const Tick& tick, const ContainerSnapshot& seen, const Candidate& each,
                   const Reserved& kept, const Budget& budget) {
  Armed armed = arm(seen, each.past, each.limit());
  armed.kept = kept.node;
  armed.kept_in_group = kept.group;
  if (armed.denial) return armed;
  // After this plan, what was promised to it is its own.
  ContainerSnapshot after = seen;
  after.facts.limit = each.limit();
  after.wished = each.promised();
  armed.denial = shortage(tick.policy.memory, armed, budget.of(after));
  return armed;
}

ContainerHistory close(const ContainerSnapshot& seen, Candidate& each) {
  each.past.working = unreclaimable(seen.facts);
  each.past.oom_kills = seen.oom_kills;
  each.past.refaults = seen.refaults.value_or(0);
  each.past.asked = seen.wished;
  return std::move(each.past);
}

}  // namespace

Armed arm(const ContainerSnapshot& container, const ContainerHistory& past, Bytes limit) {
  Armed armed{.bounds = container.bounds,
              .settled = past.settled,
              .bridge_within = container.bridge_within,
              .look_ahead = container.look_ahead,
              .group = container.group};
  if (!is_unlimited(limit) && limit >= container.bounds.ceiling) {
    armed.denial = Reason::kCeiling;
  } else if (past.leaking) {
    armed.denial = Reason::kLeak;
  }
  return armed;
}

bool is_high(const Tick& tick, const Candidate& each, const MemoryFacts& facts) {
  const Armed armed{.settled = each.past.settled};
  return unreclaimable(facts) > watermark_of(tick.policy.memory, armed, facts.limit);
}

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

  const Tree tree(snapshot);
  Budget budget = remaining_budget(snapshot, policy.budget);
  std::vector<Candidate> candidates = open_candidates(tick, snapshot, history);
  cover_children(tree, candidates);
  grow_all(tick, candidates, budget);
  for (Candidate& each : candidates) lower(tick, each);
  const std::vector<Demand> demands = demands_of(tick, snapshot, candidates);
  if (policy.budget.take_back) take_back_idle(tick, tree, demands, budget, candidates);

  const std::vector<Reserved> kept = reserved_for_higher(demands);
  std::vector<std::pair<std::size_t, Action>> actions;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    Candidate& each = candidates[i];
    const ContainerSnapshot& seen = snapshot.containers[i];
    if (each.action) actions.emplace_back(i, *each.action);
    if (each.wish) result.plan.wishes.push_back(*each.wish);
    const Armed armed = final_arming(tick, seen, each, kept[i], budget);
    result.plan.arming.push_back({seen.slot, seen.id, armed});
    result.history.containers.insert_or_assign(seen.id, close(seen, each));
  }
  order(tree, actions);
  for (auto& [index, action] : actions) result.plan.actions.push_back(action);
  result.plan.budget = budget.node;
  result.plan.groups = std::move(budget.groups);
  CpuDecision cpu = decide_cpu(snapshot, policy.cpu, std::move(history.cpus));
  result.plan.cpu = std::move(cpu.plan);
  result.history.cpus = std::move(cpu.history);
  return result;
}

}  // namespace plimsoll::agent
