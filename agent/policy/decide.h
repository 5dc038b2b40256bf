// SPDX-License-Identifier: Apache-2.0
//
// decide(): snapshot, configuration and history in; plan, new history and reasons out. Pure. The
// slow loop calls it at every tick; `replay` calls it over a recorded history.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "agent/policy/history.h"
#include "agent/policy/memory.h"
#include "agent/policy/plan.h"
#include "agent/policy/policy.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

struct Decision {
  Plan plan;
  History history;

  bool operator==(const Decision&) const = default;
};

// Actions come in the order in which they may be applied: grows with the parents first, then
// probes, then shrinks with the children first. A container has at most one action and at most one
// wish. Whatever is not in the snapshot any more is forgotten.
Decision decide(const Snapshot& snapshot, const Policy& policy, History history);

}  // namespace plimsoll::agent
