// SPDX-License-Identifier: Apache-2.0
#include "agent/budget.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "agent/tree.h"

namespace plimsoll::agent {
namespace {

constexpr double kReserveShare = 0.05;
constexpr Bytes kLeastReserve{64 * kMiB};

struct Promise {
  Bytes granted;  // limit above floor
  Bytes unused;   // the part of it that working memory does not fill yet
};

// A container at or below its floor was promised nothing by us: the floor is its own. Cache does
// not fill a promise, because MemAvailable counts it as available.
Promise promise_of(const ContainerSnapshot& container) {
  if (is_unlimited(container.facts.limit)) return {};
  const Bytes limit = container.facts.limit;
  return {limit - container.floor,
          limit - std::max(container.floor, unreclaimable(container.facts))};
}

// A parent's promise contains its children's: of the two the larger one counts.
Promise promised(const Snapshot& snapshot) {
  const Tree tree(snapshot);
  std::vector<Promise> children(snapshot.containers.size());
  Promise roots;
  for (const std::size_t index : tree.children_first()) {
    const Promise own = promise_of(snapshot.containers[index]);
    const std::optional<std::size_t> parent = tree.parent(index);
    Promise& sum = parent ? children[*parent] : roots;
    sum.granted += std::max(own.granted, children[index].granted);
    sum.unused += std::max(own.unused, children[index].unused);
  }
  return roots;
}

std::optional<Bytes> reserve_of(const NodeSnapshot& node, const BudgetPolicy& policy) {
  if (policy.reserve) return policy.reserve;
  if (!node.total) return std::nullopt;
  return std::max(kLeastReserve, scaled_to_fit(*node.total, kReserveShare));
}

}  // namespace

Bytes budget_of(const Snapshot& snapshot, const BudgetPolicy& policy) {
  const std::optional<Bytes> reserve = reserve_of(snapshot.node, policy);
  if (!snapshot.node.available || !reserve) return {};
  const Promise all = promised(snapshot);
  const Bytes node = *snapshot.node.available - *reserve - all.unused;
  if (!policy.limit) return node;
  return std::min(node, *policy.limit - all.granted);
}

}  // namespace plimsoll::agent
