// SPDX-License-Identifier: Apache-2.0
//
// What the engine is told of a cgroup that it tracks: how far its limits may go, and with whom it
// shares. The defaults are those of `plimsoll run`: every limit is the engine's to write.
#pragma once

#include <optional>

#include "agent/policy/bounds.h"
#include "agent/policy/memory.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

struct CpuSpec {
  Bounds<MilliCpu> bounds;
  MilliCpu promised;  // its request: kept for it whether it uses it or not
  // cpu.max.burst may be given: nobody else sets this limit, for the kernel takes no quota below
  // it.
  bool may_burst = true;

  bool operator==(const CpuSpec&) const = default;
};

struct ContainerSpec {
  // A ceiling of 0: what is below it gets no more than its limit has room for (kubepods.slice).
  Bounds<Bytes> bounds;
  std::optional<Slot> parent;  // a tracked ancestor that is raised with it
  // A need that is foreseen farther away than this is only wished (what a resize through the API
  // takes); absent: all is written.
  std::optional<Nanoseconds> bridge_within;
  std::optional<Nanoseconds> look_ahead;  // absent: the policy's
  // A pod slice: its limit is kept at no less than its floor plus what its children's limits stand
  // above theirs, repaired where it is, and not shrunk below that.
  bool covers_children = false;
  BudgetGroup group = kNoGroup;  // see Engine::set_group_limit()
  Rank rank;
  std::optional<CpuSpec> cpu;  // absent: its CPU limit is left alone; is set when it is tracked

  bool operator==(const ContainerSpec&) const = default;
};

}  // namespace plimsoll::agent
