// SPDX-License-Identifier: Apache-2.0
//
// A decision half made: what decide() and its parts hand to each other. Used by
// agent/policy/decide.cc and take_back.cc only; pure.
#pragma once

#include <algorithm>
#include <optional>
#include <vector>

#include "agent/policy/budget.h"
#include "agent/policy/cgroup_tree.h"
#include "agent/policy/history.h"
#include "agent/policy/plan.h"
#include "agent/policy/policy.h"
#include "agent/policy/priority.h"
#include "agent/policy/shrink.h"

namespace plimsoll::agent {

// One tick as every rule sees it.
struct Tick {
  const Policy& policy;
  MonotonicTime now;
  Nanoseconds elapsed;  // since the previous tick; 0: this is the first
  bool lost;            // events were lost since the previous tick
  std::optional<MonotonicTime> lost_at;

  bool recently_lost(const ContainerHistory& past) const {
    return lost_at && now - *lost_at < shrink_wait(policy.memory, past);
  }
};

// One tracked cgroup in the middle of a decision.
struct Candidate {
  ContainerSnapshot container;
  ContainerHistory past;
  Bytes missing;  // of what it needs, what the budgets did not give
  std::optional<Action> action;
  std::optional<Action> wish;

  // After this plan.
  Bytes limit() const {
    const bool writes = action && action->kind != ActionKind::kReclaim;
    return writes ? action->to : container.facts.limit;
  }
  Bytes promised() const {
    const bool grows = wish && wish->kind == ActionKind::kGrow;
    return std::max({limit(), container.wished, grows ? wish->to : Bytes{}});
  }
};

// How far events may go with `limit`, but for the budgets.
Armed arm(const ContainerSnapshot& container, const ContainerHistory& past, Bytes limit);

// Over its watermark with these facts.
bool is_high(const Tick& tick, const Candidate& each, const MemoryFacts& facts);

}  // namespace plimsoll::agent
