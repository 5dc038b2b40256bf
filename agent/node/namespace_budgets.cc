// SPDX-License-Identifier: Apache-2.0
#include "agent/node/namespace_budgets.h"

#include <algorithm>
#include <optional>

namespace plimsoll::agent {

namespace {

std::optional<Bytes> limit_for(const std::string& name_space, const Config& config) {
  const auto& budgets = config.node.budget.namespaces;
  const auto own = budgets.find(name_space);
  return own != budgets.end() ? std::optional(own->second) : config.node.budget.namespace_default;
}

}  // namespace

BudgetGroup NamespaceBudgets::take(const std::string& name_space, const Config& config) {
  const auto [at, is_new] = entries_.try_emplace(name_space);
  Entry& entry = at->second;
  ++entry.containers;
  if (!is_new) return entry.group;
  const auto free = std::find(namespaces_.begin() + 1, namespaces_.end() - 1, 0U);
  entry.group = static_cast<BudgetGroup>(free - namespaces_.begin());
  entry.limit = limit_for(name_space, config);
  ++namespaces_[entry.group];
  set_limit(entry.group);
  return entry.group;
}

void NamespaceBudgets::give_back(const std::string& name_space) {
  const auto at = entries_.find(name_space);
  if (at == entries_.end() || --at->second.containers > 0) return;
  const BudgetGroup group = at->second.group;
  --namespaces_[group];
  entries_.erase(at);
  set_limit(group);
}

std::size_t NamespaceBudgets::containers_of(const std::string& name_space) const {
  const auto at = entries_.find(name_space);
  return at == entries_.end() ? 0 : at->second.containers;
}

void NamespaceBudgets::reconfigure(const Config& config) {
  for (auto& [name, entry] : entries_) entry.limit = limit_for(name, config);
  for (const auto& [name, entry] : entries_) set_limit(entry.group);
}

void NamespaceBudgets::set_limit(BudgetGroup group) {
  std::optional<Bytes> least;
  for (const auto& [name, entry] : entries_) {
    if (entry.group == group && entry.limit)
      least = std::min(least.value_or(*entry.limit), *entry.limit);
  }
  engine_.set_group_limit(group, least ? limit_of(*least) : kNoLimit);
}

std::vector<NamespaceBudget> NamespaceBudgets::left(const Plan& plan) const {
  std::vector<NamespaceBudget> budgets;
  for (const auto& [name, entry] : entries_) {
    const auto found = plan.groups.find(entry.group);
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
