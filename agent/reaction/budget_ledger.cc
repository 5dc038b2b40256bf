// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/budget_ledger.h"

#include <algorithm>

namespace plimsoll::agent {

bool BudgetLedger::set(BudgetGroup group, Bytes left, Bytes granted_before) noexcept {
  Account& account = of(group);
  account.left = left - (granted(group) - granted_before);
  return somebody_waits_ || account.left < account.enough;
}

Budgets BudgetLedger::left(BudgetGroup group, Bytes promised) const noexcept {
  const Bytes node = of(kNoGroup).left + promised;
  if (group == kNoGroup) return {node};
  return {node, of(group).left + promised};
}

void BudgetLedger::charge(BudgetGroup group, Bytes bytes) noexcept {
  const auto charge = [bytes](Account& account) {
    account.left -= bytes;
    account.granted.fetch_add(bytes.value, std::memory_order_release);
  };
  charge(of(kNoGroup));
  if (group != kNoGroup) charge(of(group));
}

bool BudgetLedger::admits(const Armed& armed, Bytes smallest) noexcept {
  Account& node = of(kNoGroup);
  Account* group = armed.group == kNoGroup ? nullptr : &of(armed.group);
  const Bytes of_node = armed.kept + smallest;
  const Bytes of_group = armed.kept_in_group + smallest;
  if (node.left < of_node || (group != nullptr && group->left < of_group)) {
    somebody_waits_ = true;
    return false;
  }
  node.enough = std::max(node.enough, of_node);
  if (group != nullptr) group->enough = std::max(group->enough, of_group);
  return true;
}

bool BudgetLedger::is_short(BudgetGroup group) const noexcept {
  const auto is_short = [](const Account& account) { return account.left < account.enough; };
  return is_short(of(kNoGroup)) || is_short(of(group));
}

void BudgetLedger::judge_anew() noexcept {
  for (Account& account : accounts_) account.enough = {};
  somebody_waits_ = false;
}

}  // namespace plimsoll::agent
