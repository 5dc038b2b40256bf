// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/take_back.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace plimsoll::agent {
namespace {

// What the budgets do not have for those that are hot.
std::vector<Missing> missing_of(const std::vector<Demand>& demands, Budget budget) {
  std::vector<std::size_t> order(demands.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return demands[a].rank > demands[b].rank; });
  std::vector<Missing> missing;
  for (const std::size_t index : order) {
    const Demand& demand = demands[index];
    if (!demand.hot) continue;
    const auto take = [&](Bytes& left) {
      const Bytes lacks = demand.next - left;
      left -= demand.next;
      return lacks;
    };
    // What its group gives back, the node has, too.
    const Bytes in_group =
        demand.group == kNoGroup ? Bytes{} : take(budget.groups[demand.group].left);
    const Bytes on_node = take(budget.node) - in_group;
    if (in_group > Bytes{}) missing.push_back({index, demand.rank, demand.group, in_group});
    if (on_node > Bytes{}) missing.push_back({index, demand.rank, std::nullopt, on_node});
  }
  return missing;
}

}  // namespace

std::vector<Demand> demands_of(const Tick& tick, const Snapshot& snapshot,
                               const std::vector<Candidate>& candidates) {
  const MemoryPolicy& policy = tick.policy.memory;
  std::vector<Demand> demands;
  demands.reserve(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& each = candidates[i];
    MemoryFacts facts = each.container.facts;
    Demand demand{.rank = each.container.rank, .group = each.container.group};
    facts.limit = each.promised();
    const Armed armed = arm(snapshot.containers[i], each.past, facts.limit);
    // A slice asks for nothing that its children do not ask for.
    if (!armed.denial && !is_unlimited(facts.limit) && !each.container.covers_children) {
      demand.hot = each.missing > Bytes{} || each.container.starved > Bytes{} ||
                   is_high(tick, each, facts) || at_limit_within(facts, 2 * tick.elapsed);
      // A step, whatever it needs just now: what changes with every tick would be sent with each.
      const MemoryFacts still{.limit = facts.limit};
      demand.next =
          std::max(each.missing, wanted(policy, armed, still, Layer::kSlowLoop) - facts.limit);
    }
    demands.push_back(demand);
  }
  return demands;
}

void take_back_idle(const Tick& tick, const Tree& tree, const std::vector<Demand>& demands,
                    const Budget& budget, std::vector<Candidate>& candidates) {
  const MemoryPolicy& policy = tick.policy.memory;
  std::vector<Missing> missing = missing_of(demands, budget);
  if (missing.empty()) return;
  std::vector<bool> is_parent(candidates.size());
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (const auto parent = tree.parent(i)) is_parent[*parent] = true;
  }
  std::vector<Spare> spares;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const Candidate& each = candidates[i];
    if (each.action || each.wish || demands[i].hot || is_parent[i]) continue;
    if (is_boundary(each.container)) continue;
    const std::optional<Bytes> least =
        idle_limit(each.container, policy, tick.now, tick.recently_lost(each.past), each.past);
    if (!least) continue;
    spares.push_back(
        {i, each.container.rank, each.container.group, each.container.facts.limit - *least});
  }
  for (const Spare& spare : take_back(std::move(missing), std::move(spares), policy.step)) {
    Candidate& each = candidates[spare.index];
    Lowering lowering = lower_idle(each.container, policy, tick.now,
                                   each.container.facts.limit - spare.bytes, each.past);
    each.action = std::move(lowering.action);
    each.wish = std::move(lowering.wish);
  }
}

}  // namespace plimsoll::agent
