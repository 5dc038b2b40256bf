// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/budget.h"

#include <algorithm>
#include <cstddef>
#include <vector>

#include "agent/policy/cgroup_tree.h"

namespace plimsoll::agent {
namespace {

constexpr double kReserveShare = 0.05;
constexpr Bytes kLeastReserve{64 * kMiB};
constexpr Bytes kAll{~std::uint64_t{0}};

struct Promise {
  Bytes granted;  // limit above floor
  Bytes unused;   // the part of it that working memory does not fill yet
};

// A container at or below its floor was promised nothing by us: the floor is its own. Cache does
// not fill a promise, because MemAvailable counts it as available.
Promise promise_of(const ContainerSnapshot& container) {
  if (is_unlimited(container.facts.limit)) return {};
  const Bytes limit = promised_limit(container);
  return {limit - container.bounds.floor,
          limit - std::max(container.bounds.floor, unreclaimable(container.facts))};
}

// What hangs below one cgroup.
struct Below {
  Promise promise;
  Bytes granted_in_group;  // in the same group as the cgroup itself
  bool limited = false;    // a tracked child has a limit ...
  bool unlimited = false;  // ... or has none
};

// Sums up from the leaves. A parent's promise contains its children's: of the two the larger one
// counts. A slice that only covers children which all have limits promises nothing of its own.
class Sums {
 public:
  explicit Sums(const Snapshot& snapshot)
      : snapshot_(snapshot), below_(snapshot.containers.size()) {
    const Tree tree(snapshot);
    for (const std::size_t index : tree.children_first()) add(tree, index);
  }

  Promise roots;
  Bytes roots_need;   // working memory
  Bytes room = kAll;  // the least room in a cgroup that is never changed
  std::map<BudgetGroup, Bytes> granted;

 private:
  void add(const Tree& tree, std::size_t index) {
    const ContainerSnapshot& container = snapshot_.containers[index];
    const Below& below = below_[index];
    const bool covers = container.covers_children && below.limited && !below.unlimited;
    const Promise own = covers || is_boundary(container) ? Promise{} : promise_of(container);
    const Bytes total = std::max(own.granted, below.promise.granted);
    const Bytes unused = std::max(own.unused, below.promise.unused);
    const Bytes in_group = std::max(own.granted, below.granted_in_group);
    const std::optional<std::size_t> parent = tree.parent(index);
    Promise& sum = parent ? below_[*parent].promise : roots;
    sum.granted += total;
    sum.unused += unused;
    const bool unlimited = is_unlimited(container.facts.limit);
    if (parent) {
      (unlimited ? below_[*parent].unlimited : below_[*parent].limited) = true;
    } else {
      roots_need += unreclaimable(container.facts);
    }
    if (is_boundary(container) && !unlimited) {
      room = std::min(room, container.facts.limit - unreclaimable(container.facts) - unused);
    }
    if (parent && snapshot_.containers[*parent].group == container.group) {
      below_[*parent].granted_in_group += in_group;
    } else if (container.group != kNoGroup) {
      granted[container.group] += in_group;
    }
  }

  const Snapshot& snapshot_;
  std::vector<Below> below_;
};

std::optional<Bytes> reserve_of(const NodeSnapshot& node, const BudgetPolicy& policy) {
  if (policy.reserve) return policy.reserve;
  if (!node.total) return std::nullopt;
  return std::max(kLeastReserve, scaled_to_fit(*node.total, kReserveShare));
}

Bytes node_budget(const Snapshot& snapshot, const BudgetPolicy& policy, const Sums& sums) {
  const NodeSnapshot& node = snapshot.node;
  const std::optional<Bytes> reserve = reserve_of(node, policy);
  if (!node.available || !reserve) return {};
  Bytes left = std::min(*node.available - *reserve - sums.roots.unused, sums.room);
  if (node.allocatable) {
    left = std::min(left, *node.allocatable - sums.roots_need - sums.roots.unused);
  }
  if (policy.limit) left = std::min(left, *policy.limit - sums.roots.granted);
  return left;
}

}  // namespace

Budget remaining_budget(const Snapshot& snapshot, const BudgetPolicy& policy) {
  const Sums sums(snapshot);
  Budget budget{.node = node_budget(snapshot, policy, sums), .groups = {}};
  for (const auto& [group, granted] : sums.granted) {
    const auto limit = snapshot.groups.find(group);
    Bytes left;
    if (limit != snapshot.groups.end()) {
      left = limit->second.is_max() ? kAll : Bytes{limit->second.bytes} - granted;
    }
    budget.groups.emplace(group, GroupBudget{granted, left});
  }
  return budget;
}

Budgets Budget::of(const ContainerSnapshot& container) const {
  const Bytes own = promised_limit(container) - container.facts.limit;
  if (container.group == kNoGroup) return {node + own};
  return {node + own, left(container.group) + own};
}

Bytes Budget::left(BudgetGroup group) const {
  const auto found = groups.find(group);
  return found == groups.end() ? Bytes{} : found->second.left;
}

void Budget::pay(const ContainerSnapshot& container, Bytes to) {
  const Bytes price = to - promised_limit(container);
  node -= price;
  const auto found = groups.find(container.group);
  if (found == groups.end()) return;
  found->second.granted += price;
  if (found->second.left != kAll) found->second.left -= price;
}

}  // namespace plimsoll::agent
