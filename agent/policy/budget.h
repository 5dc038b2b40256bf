// SPDX-License-Identifier: Apache-2.0
//
// What the node and each budget group can still give, from one snapshot. Used by decide(); pure.
#pragma once

#include <map>

#include "agent/policy/plan.h"
#include "agent/policy/policy.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

// What decide() gives away, as it does so.
struct Budget {
  Bytes node;
  std::map<BudgetGroup, GroupBudget> groups;  // all but kNoGroup that a container is in

  // What this container may be given: what was wished for it before is its own.
  Budgets of(const ContainerSnapshot& container) const;
  // Of a group other than kNoGroup.
  Bytes left(BudgetGroup group) const;
  // Its limit, or what is wished for it, comes to `to`.
  void pay(const ContainerSnapshot& container, Bytes to);
};

// The node can give the least of: MemAvailable less the reserve; what is left of its allocatable;
// the room in a tracked cgroup that is never changed (ceiling 0); each less what containers were
// promised above their floor and do not use yet; and what is left of BudgetPolicy::limit. Nothing
// when MemAvailable or the reserve is not known. A group can give its limit less what its
// containers were promised, and nothing without a limit.
Budget remaining_budget(const Snapshot& snapshot, const BudgetPolicy& policy);

// The limit that the budgets have paid for: what was wished counts like what was written.
constexpr Bytes promised_limit(const ContainerSnapshot& container) {
  return container.wished > container.facts.limit ? container.wished : container.facts.limit;
}

}  // namespace plimsoll::agent
