// SPDX-License-Identifier: Apache-2.0
#include "agent/node/namespace_budgets.h"

#include <algorithm>
#include <optional>

namespace plimsoll::agent {

BudgetGroup NamespaceBudgets::group_of(const std::string& name_space, const Config& config) {
  const auto known = groups_.find(name_space);
  if (known != groups_.end()) return known->second;
  // Beyond the engine's number of groups nothing tells namespaces apart, so they share the last.
  const auto next = std::min<std::size_t>(groups_.size() + 1, kMaxGroups - 1);
  const auto group = static_cast<BudgetGroup>(next);
  groups_.emplace(name_space, group);
  set_limit(name_space, group, config);
  return group;
}

void NamespaceBudgets::reconfigure(const Config& config) {
  for (const auto& [name, group] : groups_) set_limit(name, group, config);
}

void NamespaceBudgets::set_limit(const std::string& name_space, BudgetGroup group,
                                 const Config& config) {
  const auto& budgets = config.node.budget.namespaces;
  const auto own = budgets.find(name_space);
  const std::optional<Bytes> limit =
      own != budgets.end() ? std::optional(own->second) : config.node.budget.namespace_default;
  engine_.set_group_limit(group, limit ? limit_of(*limit) : kNoLimit);
}

std::vector<NamespaceBudget> NamespaceBudgets::left(const Plan& plan) const {
  std::vector<NamespaceBudget> budgets;
  for (const auto& [name, group] : groups_) {
    const auto found = plan.groups.find(group);
    if (found == plan.groups.end()) continue;
    NamespaceBudget budget{.name_space = name, .granted = found->second.granted};
    if (!is_unlimited(found->second.left)) {
      budget.limit = found->second.granted + found->second.left;
    }
    budgets.push_back(std::move(budget));
  }
  return budgets;
}

}  // namespace plimsoll::agent
