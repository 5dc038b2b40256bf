// SPDX-License-Identifier: Apache-2.0
//
// The CPU half of the engine: what the slow loop sees of the CPU parts of tracked cgroups, and what
// it tells the CPU thread. Used by Engine only, on the slow loop's thread; there is none as long as
// no tracked cgroup has a CPU part. The class is long as Engine is: a call for each thing that may
// be done with a CPU limit.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine/record.h"
#include "agent/engine/slot_table.h"
#include "agent/policy/decide_cpu.h"
#include "agent/policy/snapshot.h"
#include "agent/reaction/cpu_reaction.h"
#include "base/result.h"
#include "base/units.h"
#include "base/wakeup.h"
#include "bpf/cpu_programs.h"

namespace plimsoll::agent {

// How the CPU half is doing.
struct CpuStatus {
  std::string refusal;  // why there are no programs; empty: there are, or none were wanted
  std::uint64_t throttled_periods = 0;  // of all that is tracked, as ticks have seen them
  std::uint64_t lost = 0;               // events and reports
};

class CpuEngine {
 public:
  // `use_programs` false: cpu.stat only (tier C). A report rings `reports`, which as `slots`
  // outlives this.
  static Result<std::unique_ptr<CpuEngine>> start(const CpuPolicy& policy, bool use_programs,
                                                  const Wakeup& reports, SlotTable& slots,
                                                  bool own_thread = true);
  ~CpuEngine();
  CpuEngine(const CpuEngine&) = delete;
  CpuEngine& operator=(const CpuEngine&) = delete;

  // By its spec, which has a CPU part. kUnsupported: the cgroup does not have the cpu controller.
  Result<void> track(TrackedCgroup& tracked);
  // Again at each tick until the CPU thread has let go of it. Fine without a CPU part.
  void untrack(TrackedCgroup& tracked);
  // After its spec has changed.
  Result<void> update(TrackedCgroup& tracked);
  // See Engine. The cgroup has a CPU part.
  Result<void> raise(const TrackedCgroup& tracked, MilliCpu to, Reason reason);
  Result<void> lower(const TrackedCgroup& tracked, MilliCpu to, Reason reason);
  Result<void> raise_ahead(const TrackedCgroup& tracked, MilliCpu to, Reason reason);
  Result<void> keep(TrackedCgroup& tracked, MilliCpu to, Reason reason);
  void forget_wish(TrackedCgroup& tracked);
  // False: the CPU thread has yet to take the one before.
  bool configure(const CpuPolicy& policy) { return reaction_->configure(policy); }
  // The node's CPUs that pods may have; absent: all.
  void set_allocatable(std::optional<MilliCpu> allocatable) { allocatable_ = allocatable; }

  // The node's part of `snapshot`, and the CPU parts of its containers.
  void observe(Snapshot& snapshot);
  void observe_node(Snapshot& snapshot);
  void observe(const TrackedCgroup& tracked, MonotonicTime now, ContainerSnapshot& container);
  void apply(const CpuPlan& plan, MonotonicTime now, std::vector<Record>& records);
  // Of the plan, what events may do with those that are new.
  void arm_new(const CpuPlan& plan);
  void take_reports(std::vector<Record>& records);

  void stop_writing() { reaction_->stop(); }
  // Without a thread of its own.
  void react() { reaction_->turn(true); }
  bool settled() const { return reaction_->idle(); }
  CpuStatus status() const;

 private:
  explicit CpuEngine(SlotTable& slots) : slots_(slots) {}
  Result<void> send(const CpuCommand& command);
  CpuTracked* parent_of(const TrackedCgroup& tracked) const;
  MilliCpu within_node(MilliCpu to) const;
  void arm(const CpuArming& arming);
  void send_budget(const CpuPlan& plan);
  void keep_on(TrackedCpu& cpu);
  void let_go(TrackedCgroup& tracked);

  SlotTable& slots_;
  std::unique_ptr<bpf::CpuPrograms> programs_;  // null: cpu.stat only
  std::unique_ptr<CpuReaction> reaction_;
  std::string refusal_;
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
