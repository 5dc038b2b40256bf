// SPDX-License-Identifier: Apache-2.0
//
// The engine: tracked cgroups in, limits kept ahead of their need. `plimsoll run` gives it one
// cgroup, the node agent gives it the containers of the node; who a cgroup belongs to is not its
// business.
//
//   kernel events ──► MemoryReaction (its own thread) ──► limit raised ──► Report ─┐
//   tick() ──► observe() ──► decide() ──► apply() ──► reasons ───────────────┴──► Record
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/engine/cpu_engine.h"
#include "agent/engine/memory_reaction.h"
#include "agent/policy/decide.h"
#include "agent/policy/policy.h"
#include "agent/policy/snapshot.h"
#include "base/result.h"
#include "base/units.h"
#include "bpf/memory_programs.h"
#include "cgroup/group.h"
#include "cgroup/writer.h"

namespace plimsoll::agent {

// The defaults are those of `plimsoll run`: every limit is the engine's to write.
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

// Something that was done or refused, with its reason: one line of the log, one item of the report.
struct Record {
  // kGrant: a limit was raised. kWish: somebody else has to change the limit `from` to `to`; comes
  // again when more is needed, or a second later if it still is. Both when a part was written.
  enum class Kind : std::uint8_t { kGrant, kShrink, kReclaim, kDenial, kFailure, kOomKill, kWish };
  Kind kind = Kind::kGrant;
  Slot slot = 0;
  CgroupId id{};
  MonotonicTime at;
  Layer layer = Layer::kSlowLoop;
  Reason reason = Reason::kEnoughHeadroom;
  MemoryFacts facts;
  Bytes from;
  Bytes to;
  Nanoseconds reaction{};  // event to written limit
  std::string error;       // kFailure only
  // Set: this is about the CPU limit, and facts, from and to mean nothing.
  std::optional<CpuChange> cpu;
};
std::string_view to_string(Record::Kind kind);

struct EngineConfig {
  Policy policy;
  bpf::HoldBounds hold;
  std::optional<bpf::Tier> tier;  // absent: the best that the kernel allows
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

  // Everything below: one thread, the slow loop's.

  // Armed at the next tick, which the caller makes at once. kDenied: all slots are taken, which is
  // counted by refused(). Three file descriptors for each.
  Result<Slot> track(cgroup::Group group, const ContainerSpec& spec);
  void untrack(Slot slot);
  // What may be done with it from now on; narrower bounds hold at once, wider ones from the next
  // tick. kGone: nothing is tracked as `slot`.
  Result<void> update(Slot slot, const ContainerSpec& spec);
  // Lowers the limit towards `to` as far as that kills nobody: reclaims first, and stays above what
  // is in use. Parents that cover their children follow. Returns the limit that stands then. Blocks
  // for as long as reclaim takes. kConflict: it was raised meanwhile.
  Result<Bytes> lower(Slot slot, Bytes to, Reason reason);
  // Raises the limit through the reaction thread, parents first, whatever somebody else has written
  // meanwhile; a record follows. kDenied: `to` is above the direct ceiling.
  Result<void> raise(Slot slot, Bytes to, Reason reason);
  // Announced work needs a limit of `to`; the policy's ceiling and budgets say how much of it is
  // granted or wished, at once, through the reaction thread. Until this is called with nothing, the
  // limit is not lowered below that, and raised to it again at ticks. kGone: nothing is tracked as
  // `slot`.
  Result<void> announce(Slot slot, std::optional<Bytes> to);
  // What was wished for it will not come: it is not counted as promised any more.
  void forget_wish(Slot slot);
  // Starts the CPU half, as the first cgroup with a CPU part otherwise does when it is tracked. It
  // loads programs, which can take a second, and who starts cannot wait for that.
  Result<void> start_cpu();
  // Null until it is started.
  CpuEngine* cpu() { return cpu_.get(); }

  // The most that the grants of all containers of a group may stand above their floors; kNoLimit:
  // only the node bounds it; absent, as at the start: nothing may grow. Holds from the next tick.
  void set_group_limit(BudgetGroup group, std::optional<Limit> limit);
  // The most that all tracked cgroups together may need; absent: no bound. From the next tick.
  void set_allocatable(std::optional<Bytes> allocatable) { allocatable_ = allocatable; }
  // The CPUs of the node that they may have; absent: all.
  void set_allocatable_cpu(std::optional<MilliCpu> allocatable);
  // Holds for all that is tracked from now on. Tier and hold are those of the start.
  void reconfigure(const Policy& policy);
  // Those untracked count until the reaction thread has let go, which a tick takes note of.
  std::size_t slots_in_use() const;

  // Observes, decides, applies. May block in the kernel for as long as reclaim takes.
  std::vector<Record> tick(MonotonicTime now);
  // Only what the reaction thread has done since the last call.
  std::vector<Record> collect();
  // Readable when collect() has something.
  int report_fd() const { return reaction_->report_wakeup().fd(); }

  bpf::Tier tier() const { return tier_; }
  // What kept it from a better tier, one line each; empty in tier A or when the tier was
  // configured.
  const std::string& tier_refusals() const { return tier_refusals_; }
  // Whether the reaction thread has taken in all that it was told: what is armed is armed.
  bool settled() const { return reaction_->idle() && (!cpu_ || cpu_->settled()); }
  MonotonicTime beat() const { return reaction_->beat(); }  // its last sign of life
  const ReactionQuality& quality() const { return reaction_->quality(); }
  std::optional<bpf::Counters> counters() const;
  std::optional<bpf::MemorySample> sample(Slot slot);
  // Everything of the memory half that was lost on its way, as of the last tick: the two below, and
  // what the kernel had no room for (counters()).
  std::uint64_t lost() const { return lost_total_; }
  std::uint64_t reports_lost() const { return reaction_->reports_lost(); }
  std::uint64_t malformed_events() const { return programs_ ? programs_->malformed() : 0; }
  // Cgroups that were not tracked because all slots were taken.
  std::uint64_t refused() const { return refused_; }
  // Of the last tick.
  const Snapshot& snapshot() const { return snapshot_; }
  const Plan& plan() const { return plan_; }

 private:
  struct Tracked;

  explicit Engine(const EngineConfig& config);
  Result<void> load_programs();
  Snapshot observe(MonotonicTime now);
  std::optional<ContainerSnapshot> observe_one(Slot slot, Tracked& tracked, MonotonicTime now);
  void observe_files(Tracked& tracked, ContainerSnapshot& seen, MonotonicTime now);
  void apply(MonotonicTime now, std::vector<Record>& records);
  void send_budgets();
  void arm(const Arming& arming, MonotonicTime now, std::vector<Record>& records);
  void shrink(const Action& action, MonotonicTime now, std::vector<Record>& records);
  void probe(const Action& action, MonotonicTime now, std::vector<Record>& records);
  void wish(const Action& action, MonotonicTime now, std::vector<Record>& records);
  Result<Bytes> lower_one(Slot slot, Bytes to, Reason reason);
  Bytes covering(Slot slot) const;
  bool write_lower(Slot slot, Bytes from, Bytes to, Record& record);
  void take_reports(std::vector<Record>& records);
  void take_report(const Report& report, Tracked& tracked, std::vector<Record>& records);
  void finish_untrack(Slot slot);
  Result<void> track_cpu(Slot slot);
  bool is_free(Slot slot) const;
  void send_policy();
  bpf::Thresholds thresholds() const;
  Tracked* find(Slot slot) const;  // null: free, or on its way to be

  EngineConfig config_;
  bpf::Tier tier_ = bpf::Tier::kC;
  std::string tier_refusals_;
  std::unique_ptr<bpf::MemoryPrograms> programs_;  // null in tier C
  std::unique_ptr<MemoryReaction> reaction_;
  std::unique_ptr<CpuEngine> cpu_;  // null: nothing that was tracked has a CPU part
  cgroup::Writer writer_;
  std::vector<std::unique_ptr<Tracked>> tracked_;  // by slot; null: free
  std::uint32_t next_epoch_ = 1;
  History history_;
  std::uint64_t lost_total_ = 0;
  std::uint64_t refused_ = 0;
  Snapshot snapshot_;
  Plan plan_;
  std::map<BudgetGroup, Limit> group_limits_;
  std::optional<Bytes> allocatable_;
  std::optional<MilliCpu> allocatable_cpu_;
  // All grants of the reaction thread that the snapshot of this tick has seen.
  Bytes granted_before_;
  std::map<BudgetGroup, Bytes> group_granted_before_;
  std::map<BudgetGroup, Command> group_budgets_sent_;
  std::deque<MemoryPolicy> policies_;  // on their way to the reaction thread
  bool policy_is_sent_ = true;
  std::vector<Record> records_;  // of lower(), until they are fetched
};

}  // namespace plimsoll::agent
