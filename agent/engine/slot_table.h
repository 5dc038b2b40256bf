// SPDX-License-Identifier: Apache-2.0
//
// SlotTable: the tracked cgroups by slot, memory and CPU part, and what the slow loop remembers of
// each. A slot is free again when every thread that was told of the cgroup has let go. The slow
// loop's; the files and TrackedCpu::thread are used by the reaction threads as well.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "agent/engine/container_spec.h"
#include "agent/policy/memory.h"
#include "agent/reaction/cpu_tracked.h"
#include "agent/reaction/fallback_signals.h"
#include "agent/reaction/memory_command.h"
#include "base/units.h"
#include "cgroup/cpu_max.h"
#include "cgroup/group.h"
#include "cgroup/limit_file.h"

namespace plimsoll::agent {

// What the slow loop remembers of one limit.
template <class Amount, class Armed>
struct Standing {
  std::optional<Armed> armed;  // as last sent; absent: to be sent again
  std::optional<Reason> told;  // the denial that a record has told of
  Amount wished;               // of somebody else, and not seen in the limit yet
  MonotonicTime wished_at;
  Amount starved;            // by a budget, since the last tick
  std::uint32_t grants = 0;  // by an event, since the last tick

  void wish(Amount to, MonotonicTime at) {
    wished = std::max(wished, to);
    wished_at = at;
  }
  // What is still waited for: it is not there, and not too long ago.
  Amount waits_for(Amount limit, MonotonicTime now) {
    if (wished <= limit || now - wished_at >= kWishLife) wished = {};
    return wished;
  }
};

struct TrackedCpu {
  CpuTracked thread;     // the CPU thread's until it has let go
  bool leaving = false;  // it was told to
  Standing<MilliCpu, CpuArmed> standing;
  std::optional<cgroup::CpuMax> seen;  // cpu.max as of the last tick
  MilliCpu kept;                       // as last asked for; 0: nothing is kept
  Reason kept_for = Reason::kStarting;
  // Totals as of the last tick.
  std::optional<MonotonicTime> at;
  Nanoseconds used{};
  std::uint64_t throttled = 0;
};

struct TrackedCgroup {
  Slot slot = 0;
  std::uint32_t epoch = 0;
  CgroupId id{};
  cgroup::Group group;
  cgroup::LimitFile limit_file;
  // The reaction thread's own: the kernel has who uses one descriptor wait for each other, and that
  // thread waits for nobody.
  cgroup::LimitFile reaction_file;
  cgroup::UsageFile usage_file;
  ContainerSpec spec;
  std::optional<FallbackSignals> signals;  // tier C
  std::unique_ptr<TrackedCpu> cpu;         // null: no CPU part, or the CPU thread has let go
  bool is_new = true;                      // since the last decision, or its bounds are wider
  bool leaving = false;                    // untracked; waits for the threads to let go
  bool let_go = false;                     // the reaction thread has

  Standing<Bytes, Armed> memory;
  std::optional<Bytes> announced;  // the limit for the work that runs
  bool can_reclaim = true;
  std::uint64_t reclaims = 0;  // as of the last tick
  std::uint64_t oom_kills = 0;
  std::uint64_t kills = 0;  // of its own, as told
  // The files that are read only when something happens; totals and when they were read.
  std::optional<MonotonicTime> files_at;
  std::uint64_t refaults = 0;
  std::uint64_t activations = 0;
  Nanoseconds stalled{};

  Tenant tenant() const { return {slot, epoch}; }
};

class SlotTable {
 public:
  explicit SlotTable(std::size_t slots) : slots_(slots) {}

  // Nothing: all are taken.
  std::optional<Slot> free_slot() const;
  TrackedCgroup& put(std::unique_ptr<TrackedCgroup> tracked);
  // Null: free, or on its way to be.
  TrackedCgroup* find(Slot slot) const;
  // Of a former tenant nothing; of one that leaves, too.
  TrackedCgroup* find(const Tenant& tenant) const;
  // When all threads have let go.
  void free_if_let_go(const TrackedCgroup& tracked);
  std::size_t in_use() const;
  std::size_t size() const { return slots_.size(); }
  std::uint32_t next_epoch() { return next_epoch_++; }

  // `visit` may leave what it is given.
  template <typename Visit>
  void each(Visit&& visit) const {
    for (const auto& tracked : slots_) {
      if (tracked && !tracked->leaving) visit(*tracked);
    }
  }
  // `visit` may free what it is given.
  template <typename Visit>
  void each_leaving(Visit&& visit) const {
    for (const auto& tracked : slots_) {
      if (tracked && tracked->leaving) visit(*tracked);
    }
  }

 private:
  std::vector<std::unique_ptr<TrackedCgroup>> slots_;  // null: free
  std::uint32_t next_epoch_ = 1;
};

}  // namespace plimsoll::agent
