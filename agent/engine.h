// SPDX-License-Identifier: Apache-2.0
//
// The engine: tracked cgroups in, limits kept ahead of their need. `plimsoll run` gives it one
// cgroup, the node agent gives it the containers of the node; who a cgroup belongs to is not its
// business.
//
//   kernel events ──► Reaction (its own thread) ──► limit raised ──► Report ─┐
//   tick() ──► observe() ──► decide() ──► apply() ──► reasons ───────────────┴──► Record
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/config.h"
#include "agent/decide.h"
#include "agent/reaction.h"
#include "agent/snapshot.h"
#include "base/result.h"
#include "base/units.h"
#include "bpf/memory_programs.h"
#include "cgroup/group.h"
#include "cgroup/writer.h"

namespace plimsoll::agent {

struct ContainerSpec {
  Bytes floor;
  Bytes ceiling;
  std::optional<Slot> parent;  // a tracked ancestor that is raised with it
};

// Something that was done or refused, with its reason: one line of the log, one item of the report.
struct Record {
  enum class Kind : std::uint8_t { kGrant, kShrink, kReclaim, kDenial, kFailure, kOomKill };
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
};
std::string_view to_string(Record::Kind kind);

class Engine {
 public:
  // Loads the programs of the configured tier, or of the best that the kernel takes, and starts the
  // reaction thread.
  static Result<std::unique_ptr<Engine>> start(const Config& config);
  // Detaches everything and stops the thread. Limits stay as they are: whoever tracked a cgroup
  // decides what becomes of it.
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // Everything below: one thread, the slow loop's.

  // Armed at the next tick, which the caller makes at once.
  Result<Slot> track(cgroup::Group group, const ContainerSpec& spec);
  void untrack(Slot slot);
  // Those untracked count until the reaction thread has let go, which a tick takes note of.
  std::size_t slots_in_use() const;

  // Observes, decides, applies. May block in the kernel for as long as reclaim takes.
  std::vector<Record> tick(MonotonicTime now);
  // Only what the reaction thread has done since the last call.
  std::vector<Record> collect();
  // Readable when collect() has something.
  int report_fd() const { return reaction_->report_fd(); }

  bpf::Tier tier() const { return tier_; }
  // What kept it from a better tier, one line each; empty in tier A or when the tier was
  // configured.
  const std::string& tier_refusals() const { return tier_refusals_; }
  const ReactionQuality& quality() const { return reaction_->quality(); }
  std::optional<bpf::Counters> counters() const;
  std::optional<bpf::Sight> sight(Slot slot);
  std::uint64_t lost() const { return lost_total_; }

 private:
  struct Tracked;

  explicit Engine(const Config& config);
  Result<void> load_programs();
  Snapshot observe(MonotonicTime now);
  std::optional<ContainerSnapshot> observe_one(Slot slot, Tracked& tracked, MonotonicTime now);
  void observe_files(Tracked& tracked, ContainerSnapshot& seen, MonotonicTime now);
  void apply(const Plan& plan, Bytes granted_before, MonotonicTime now,
             std::vector<Record>& records);
  void lower(const Action& action, MonotonicTime now, std::vector<Record>& records);
  void probe(const Action& action, MonotonicTime now, std::vector<Record>& records);
  void take_reports(std::vector<Record>& records);
  void finish_untrack(Slot slot);

  Config config_;
  bpf::Tier tier_ = bpf::Tier::kC;
  std::string tier_refusals_;
  std::unique_ptr<bpf::MemoryPrograms> programs_;  // null in tier C
  std::unique_ptr<Reaction> reaction_;
  cgroup::Writer writer_;
  std::vector<std::unique_ptr<Tracked>> tracked_;  // by slot; null: free
  std::uint32_t next_epoch_ = 1;
  History history_;
  std::uint64_t lost_total_ = 0;
};

}  // namespace plimsoll::agent
