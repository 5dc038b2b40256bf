// SPDX-License-Identifier: Apache-2.0
//
// What the node can still give, from one snapshot. Used by decide(); pure.
#pragma once

#include "agent/decide.h"
#include "agent/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

// MemAvailable less the reserve less what containers were promised above their floor and do not
// use yet, and at most what is left of BudgetPolicy::limit. 0 when MemAvailable or the reserve is
// not known.
Bytes budget_of(const Snapshot& snapshot, const BudgetPolicy& policy);

}  // namespace plimsoll::agent
