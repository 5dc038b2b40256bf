// SPDX-License-Identifier: Apache-2.0
//
// Plan: what decide() wants to be done until the next tick. Plain values.
#pragma once

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "agent/policy/decide_cpu.h"
#include "agent/policy/memory.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

enum class ActionKind : std::uint8_t {
  kGrow,     // write a higher limit
  kReclaim,  // probe: ask the kernel to reclaim `bytes` (memory.reclaim) before a shrink
  kShrink,   // write a lower limit
};

struct Action {
  ActionKind kind = ActionKind::kGrow;
  Slot slot = 0;
  CgroupId id{};
  Bytes from;  // the limit that the decision saw
  Bytes to;    // kGrow, kShrink: the new limit; kReclaim: usage to come down to
  Reason reason = Reason::kEnoughHeadroom;

  bool operator==(const Action&) const = default;
};

std::string_view to_string(ActionKind kind);

// What the reaction thread may do with each container until the next tick.
struct Arming {
  Slot slot = 0;
  CgroupId id{};
  Armed armed;

  bool operator==(const Arming&) const = default;
};

struct GroupBudget {
  Bytes granted;  // above the floors, this plan's grows and wishes included
  Bytes left;

  bool operator==(const GroupBudget&) const = default;
};

struct Plan {
  std::vector<Action> actions;
  // What somebody else has to apply: kGrow or kShrink, `to` being the whole need where an action
  // covers a part of it.
  std::vector<Action> wishes;
  std::vector<Arming> arming;                 // one per container of the snapshot
  Bytes budget;                               // what events may give away until the next tick
  std::map<BudgetGroup, GroupBudget> groups;  // all but kNoGroup that a container is in
  CpuPlan cpu;                                // of the containers that have a CPU part

  bool operator==(const Plan&) const = default;
};

}  // namespace plimsoll::agent
