// SPDX-License-Identifier: Apache-2.0
//
// decide_cpu(): the CPU part of decide(). What the node can give, how far each container may be
// raised until the next tick, what is taken from those that come last, and which lowerings somebody
// else is asked for. Limits that we raised ourselves go down sooner: give_back_cpu(). Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "agent/policy/cpu.h"
#include "agent/policy/history.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

struct CpuAction {
  Slot slot = 0;
  CgroupId id{};
  MilliCpu from;  // the limit that the decision saw
  MilliCpu to;
  Reason reason = Reason::kLeaseEnded;

  bool operator==(const CpuAction&) const = default;
};

// What the CPU thread may do with each container until the next tick.
struct CpuArming {
  Slot slot = 0;
  CgroupId id{};
  CpuArmed armed;

  bool operator==(const CpuArming&) const = default;
};

struct CpuPlan {
  std::vector<CpuAction> lowers;  // taken back, for containers that come first
  std::vector<CpuAction> wishes;  // lowerings that somebody else has to apply
  std::vector<CpuArming> arming;  // one per container with a CPU part
  MilliCpu budget;                // what events may give away until the next tick

  bool operator==(const CpuPlan&) const = default;
};

struct CpuDecision {
  CpuPlan plan;
  std::map<CgroupId, CpuHistory> history;

  bool operator==(const CpuDecision&) const = default;
};

CpuDecision decide_cpu(const Snapshot& snapshot, const CpuPolicy& policy,
                       std::map<CgroupId, CpuHistory> history);

// What the node can give, now. Nothing when its CPUs are not known.
MilliCpu cpu_budget_of(const Snapshot& snapshot, const CpuPolicy& policy);

}  // namespace plimsoll::agent
