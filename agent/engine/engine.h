// SPDX-License-Identifier: Apache-2.0
//
// The engine: tracked cgroups in, limits kept ahead of their need. `plimsoll run` gives it one
// cgroup, the node agent gives it the containers of the node; who a cgroup belongs to is not its
// business.
//
//   kernel events ──► MemoryReaction (its own thread) ──► limit raised ──► Report ─┐
//   tick() ──► observe() ──► decide() ──► Actuator ──► reasons ──────────────┴──► Record
//
// CpuReaction and CpuEngine are the same for CPU limits. The class is long because what a caller
// may do with a limit is a call each; most of them find the cgroup and hand on.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine/actuator.h"
#include "agent/engine/container_spec.h"
#include "agent/engine/cpu_engine.h"
#include "agent/engine/record.h"
#include "agent/engine/slot_table.h"
#include "agent/policy/decide.h"
#include "agent/policy/policy.h"
#include "agent/policy/snapshot.h"
#include "agent/reaction/memory_reaction.h"
#include "base/result.h"
#include "base/units.h"
#include "bpf/memory_programs.h"
#include "cgroup/group.h"

namespace plimsoll::agent {

struct EngineConfig {
  Policy policy;
  bpf::HoldBounds hold;
  std::optional<bpf::Tier> tier;  // absent: the best that the kernel allows
  // False: there are none, and react() does their work. Needs tier C.
  bool own_threads = true;
};

// How the engine is doing.
struct EngineStatus {
  bpf::Tier tier;
  // What kept it from a better tier, one line each; empty in tier A or when the tier was
  // configured.
  std::string tier_refusals;
  ReactionQuality quality;
  MonotonicTime beat;                   // the reaction thread's last sign of life
  std::optional<bpf::Counters> kernel;  // absent in tier C
  // Everything of the memory half that was lost on its way, as of the last tick: the two below, and
  // what the kernel had no room for.
  std::uint64_t lost;
  std::uint64_t reports_lost;  // by the reaction thread's queue
  std::uint64_t malformed_events;
  std::uint64_t refused;  // cgroups that were not tracked because all slots were taken
  // Those untracked count until the threads have let go, which a tick takes note of.
  std::size_t slots_in_use;
  std::optional<CpuStatus> cpu;  // nothing until the CPU half is started
};

class Engine {
 public:
  // Loads the programs of the configured tier, or of the best that the kernel takes, and starts the
  // reaction thread.
  static Result<std::unique_ptr<Engine>> start(const EngineConfig& config);
  // Detaches everything and stops the thread. Limits stay as they are: whoever tracked a cgroup
  // decides what becomes of it.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Everything below: one thread, the slow loop's. What takes a slot is kGone when nothing is
  // tracked there.

  // Armed by arm() or the next tick, which the caller makes at once. kDenied: all slots are taken,
  // which is counted. Four file descriptors for each.
  Result<Slot> track(cgroup::Group group, const ContainerSpec& spec);
  void untrack(Slot slot);
  // What may be done with it from now on; narrower bounds hold at once, wider ones from arm() or
  // the next tick.
  Result<void> update(Slot slot, const ContainerSpec& spec);
  // Lowers the limit towards `to` as far as that kills nobody: reclaims first, and stays above what
  // is in use. Parents that cover their children follow. Returns the limit that stands then. Blocks
  // for as long as reclaim takes. kConflict: it was raised meanwhile.
  Result<Bytes> lower(Slot slot, Bytes to, Reason reason);
  // Raises the limit through its thread, parents first, whatever somebody else has written
  // meanwhile; a record follows. kDenied: `to` is above the direct ceiling.
  Result<void> raise(Slot slot, Bytes to, Reason reason);
  Result<void> raise(Slot slot, MilliCpu to, Reason reason);
  // Lowers the CPU limit to `to`, whoever has raised it, but not below its floor; that of a parent
  // that covers it follows.
  Result<void> lower(Slot slot, MilliCpu to, Reason reason);
  // Raises the CPU limit towards `to` before it is throttled, as far as the node's budget and the
  // direct ceiling allow; beyond that ceiling it is wished. A moment later it is given back like
  // any other.
  Result<void> raise_ahead(Slot slot, MilliCpu to, Reason reason);
  // Raises the CPU limit to `to`, which may be above the spec's ceiling, whatever is left of the
  // budget; beyond the direct ceiling it is wished. Tried again at ticks and not given back until
  // it is called with 0: then the limit goes back to the floor at once.
  Result<void> keep(Slot slot, MilliCpu to, Reason reason);
  // Announced work needs a limit of `to`; the policy's ceiling and budgets say how much of it is
  // granted or wished, at once, through the reaction thread. Until this is called with nothing, the
  // limit is not lowered below that, and raised to it again at ticks.
  Result<void> announce(Slot slot, std::optional<Bytes> to);
  // What was wished for it will not come: it is not counted as promised any more.
  void forget_wish(Slot slot);
  void forget_cpu_wish(Slot slot);
  // Starts the CPU half, as the first cgroup with a CPU part otherwise does when it is tracked. It
  // loads programs, which can take a second, and who starts cannot wait for that.
  Result<void> start_cpu();

  // The most that the grants of all containers of a group may stand above their floors; kNoLimit:
  // only the node bounds it; absent, as at the start: nothing may grow. Holds from the next tick.
  void set_group_limit(BudgetGroup group, std::optional<Limit> limit);
  // The most that all tracked cgroups together may need; absent: no bound. From the next tick.
  void set_allocatable(std::optional<Bytes> allocatable) { allocatable_ = allocatable; }
  // The CPUs of the node that they may have; absent: all.
  void set_allocatable_cpu(std::optional<MilliCpu> allocatable);
  // Holds for all that is tracked from now on. Tier and hold are those of the start.
  void reconfigure(const Policy& policy);

  // Observes, decides, applies. May block in the kernel for as long as reclaim takes.
  std::vector<Record> tick(MonotonicTime now);
  // Arms what was tracked or given wider bounds since: the same decision, over what the last tick
  // has seen of the others. Reads what is new and writes no limit; does nothing where nothing is.
  std::vector<Record> arm(MonotonicTime now);
  // Without threads: obeys what they would have been told, and looks at every cgroup as if it had
  // given a sign of need.
  void react();
  // Ends the threads, for somebody else takes the cgroups over; of the calls only collect() and the
  // readers make sense after it. The programs stay and hold tasks at their limits, as long as
  // hold_on() is called every half a second, until whoever it is raises those.
  void stop_writing();
  void hold_on(MonotonicTime now);
  // Only what the threads have done since the last call.
  std::vector<Record> collect();
  // Readable when collect() has something.
  int report_fd() const { return reaction_->report_wakeup().fd(); }

  // Whether the threads have taken in all that they were told: what is armed is armed.
  bool settled() const { return reaction_->idle() && (!cpu_ || cpu_->settled()); }
  std::optional<bpf::MemorySample> sample(Slot slot);
  EngineStatus status() const;  // some system calls: the kernel's programs are asked
  bool has_cpu() const { return cpu_ != nullptr; }
  // Of the last tick and what was armed since.
  const Snapshot& snapshot() const { return snapshot_; }
  const Plan& plan() const { return plan_; }

 private:
  explicit Engine(const EngineConfig& config);
  Result<void> load_programs();
  Result<void> tell_threads(TrackedCgroup& tracked);
  Result<TrackedCgroup*> find(Slot slot) const;
  Result<TrackedCgroup*> find_cpu(Slot slot) const;
  void untrack(TrackedCgroup& tracked);
  void send_policies();
  bpf::Thresholds thresholds() const;
  Snapshot observe(MonotonicTime now);
  void observe_new(Snapshot& seen);
  void take_reports(std::vector<Record>& records);

  EngineConfig config_;
  std::string tier_refusals_;
  SlotTable slots_;
  std::unique_ptr<bpf::MemoryPrograms> programs_;  // null in tier C
  std::unique_ptr<MemoryReaction> reaction_;
  std::optional<Actuator> actuator_;
  std::unique_ptr<CpuEngine> cpu_;  // null: nothing that was tracked has a CPU part
  History history_;
  Snapshot snapshot_;
  Plan plan_;
  std::map<BudgetGroup, Limit> group_limits_;
  std::optional<Bytes> allocatable_;
  std::optional<MilliCpu> allocatable_cpu_;
  std::uint64_t lost_total_ = 0;
  std::uint64_t refused_ = 0;
  bool policy_is_sent_ = true;
  bool cpu_policy_is_sent_ = true;
  std::vector<Record> records_;  // of lower(), until they are fetched
};

}  // namespace plimsoll::agent
