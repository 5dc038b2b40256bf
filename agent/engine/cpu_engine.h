// SPDX-License-Identifier: Apache-2.0
//
// The CPU half of the engine: which cgroups' CPU limits are kept ahead of their need, what the slow
// loop sees of them, and what it tells the CPU thread. Used by Engine only, on the slow loop's
// thread; there is none as long as no tracked cgroup has a CPU part.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine/cpu_reaction.h"
#include "agent/policy/decide_cpu.h"
#include "agent/policy/snapshot.h"
#include "base/result.h"
#include "base/units.h"
#include "bpf/cpu_programs.h"
#include "cgroup/group.h"

namespace plimsoll::agent {

// The CPU part of a ContainerSpec; the members that both have mean the same.
struct CpuSpec {
  Bounds<MilliCpu> bounds;
  MilliCpu promised;  // its request: kept for it whether it uses it or not

  bool operator==(const CpuSpec&) const = default;
};

// What a record tells of a CPU limit.
struct CpuChange {
  CpuFacts facts;
  MilliCpu from;
  MilliCpu to;
  std::optional<microseconds> burst;  // was given, and the limit stands

  bool operator==(const CpuChange&) const = default;
};

struct Record;

class CpuEngine {
 public:
  // `use_programs` false: cpu.stat only (tier C). A report rings `reports`.
  static Result<std::unique_ptr<CpuEngine>> start(const CpuPolicy& policy, bool use_programs,
                                                  const Wakeup& reports);
  ~CpuEngine();
  CpuEngine(const CpuEngine&) = delete;
  CpuEngine& operator=(const CpuEngine&) = delete;

  // A slot is free again only when the CPU thread has let go of it.
  bool is_free(Slot slot) const;
  // kUnsupported: the cgroup does not have the cpu controller.
  Result<void> track(Slot slot, std::uint32_t epoch, const cgroup::Group& group,
                     const CpuSpec& spec, std::optional<Slot> parent);
  void untrack(Slot slot);
  Result<void> update(Slot slot, const CpuSpec& spec, std::optional<Slot> parent);
  // As Engine::raise(): whatever somebody else has written meanwhile.
  Result<void> raise(Slot slot, MilliCpu to, Reason reason);
  // Lowers the limit to `to`, whoever has raised it, but not below its floor; that of a parent that
  // covers it follows.
  Result<void> lower(Slot slot, MilliCpu to, Reason reason);
  // Raises the limit towards `to` before it is throttled, as far as the node's budget and the
  // direct ceiling allow; beyond that ceiling it is wished. A moment later it is given back like
  // any other.
  Result<void> raise_ahead(Slot slot, MilliCpu to, Reason reason);
  // Raises the limit to `to`, which may be above the spec's ceiling, whatever is left of the
  // budget; beyond the direct ceiling it is wished. Tried again at ticks and not given back until
  // it is called with 0: then the limit goes back to the floor at once.
  Result<void> keep(Slot slot, MilliCpu to, Reason reason);
  void forget_wish(Slot slot);
  void reconfigure(const CpuPolicy& policy);
  // The node's CPUs that pods may have; absent: all.
  void set_allocatable(std::optional<MilliCpu> allocatable) { allocatable_ = allocatable; }

  // Adds the CPU parts to the containers of `snapshot`, and the node's.
  void observe(Snapshot& snapshot);
  void apply(const CpuPlan& plan, MonotonicTime now, std::vector<Record>& records);
  void take_reports(std::vector<Record>& records);

  bool settled() const { return reaction_->idle(); }
  // Why there are no programs; empty: there are, or none were wanted.
  const std::string& refusal() const { return refusal_; }
  std::uint64_t lost() const;
  // Periods in which something tracked was throttled, as ticks have seen them.
  std::uint64_t throttled_periods() const { return throttled_periods_; }

 private:
  struct Entry;

  CpuEngine();
  Entry* find(Slot slot) const;
  MilliCpu within_node(MilliCpu to) const;
  void observe_node(Snapshot& snapshot);
  CpuSnapshot observe_one(Entry& entry, MonotonicTime now);

  std::unique_ptr<bpf::CpuPrograms> programs_;  // null: cpu.stat only
  std::unique_ptr<CpuReaction> reaction_;
  std::string refusal_;
  std::vector<std::unique_ptr<Entry>> entries_;  // by slot
  std::deque<CpuPolicy> policies_;               // on their way to the CPU thread
  std::optional<MilliCpu> allocatable_;
  MilliCpu node_cpus_;  // all of them; 0: not known yet
  std::int64_t granted_before_ = 0;
  std::uint64_t throttled_periods_ = 0;

  // Of the node, as of the last tick.
  std::optional<MonotonicTime> node_at_;
  Nanoseconds node_busy_{};
  Nanoseconds node_waited_{};
};

}  // namespace plimsoll::agent
