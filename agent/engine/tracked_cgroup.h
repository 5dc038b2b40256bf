// SPDX-License-Identifier: Apache-2.0
//
// What the engine keeps of one tracked cgroup. Used by agent/engine*.cc only; the slow loop's, but
// for the files, which the reaction thread writes through.
#pragma once

#include <cstdint>
#include <optional>

#include "agent/engine/engine.h"
#include "agent/engine/fallback_signals.h"
#include "cgroup/group.h"
#include "cgroup/limit_file.h"

namespace plimsoll::agent {

struct Engine::Tracked {
  cgroup::Group group;
  cgroup::LimitFile limit_file;
  ContainerSpec spec;
  std::uint32_t epoch = 0;
  CgroupId id{};
  bool can_reclaim = true;
  std::optional<FallbackSignals> signals;  // tiers B and C
  cgroup::UsageFile usage_file;

  std::optional<Armed> armed;  // as last sent; absent: to be sent again
  std::optional<Reason> told;  // the denial that a record has told of
  Bytes wished;                // of somebody else, and not seen in the limit yet
  MonotonicTime wished_at;
  std::optional<Bytes> announced;  // the limit for the work that runs
  Bytes starved;                   // by a budget, since the last tick
  std::uint32_t grants = 0;        // since the last tick
  std::uint64_t reclaims = 0;      // as of the last tick
  std::uint64_t oom_kills = 0;
  bool gone = false;
  bool leaving = false;  // untracked; waits for the reaction thread to let go

  // The files that are read only when something happens; totals and when they were read.
  std::optional<MonotonicTime> files_at;
  std::uint64_t refaults = 0;
  std::uint64_t activations = 0;
  Nanoseconds stalled{};
};

}  // namespace plimsoll::agent
