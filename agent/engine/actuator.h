// SPDX-License-Identifier: Apache-2.0
//
// Actuator: the last arrow of a tick, for memory. What was decided is handed to the reaction thread
// and written, and what came of it is told as records. The slow loop's; lowering blocks for as long
// as reclaim takes.
#pragma once

#include <map>
#include <optional>
#include <vector>

#include "agent/engine/record.h"
#include "agent/engine/slot_table.h"
#include "agent/policy/plan.h"
#include "agent/policy/snapshot.h"
#include "agent/reaction/memory_reaction.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/writer.h"

namespace plimsoll::agent {

class Actuator {
 public:
  // Both outlive it.
  Actuator(SlotTable& slots, MemoryReaction& reaction) : slots_(slots), reaction_(reaction) {}

  // Before the reports are fetched, and both before the limits are read: what the reaction thread
  // had given away by now is seen there. Groups that are counted already are not counted anew with
  // `only_new`.
  void count_grants(const std::map<BudgetGroup, Limit>& groups, bool only_new = false);
  void apply(const Plan& plan, const Snapshot& snapshot, std::vector<Record>& records);
  void send_budgets(const Plan& plan);
  void arm(const Arming& arming, MonotonicTime now, std::vector<Record>& records);
  void take_report(const Report& report, const MemoryPolicy& policy, TrackedCgroup& tracked,
                   std::vector<Record>& records);

  // See Engine.
  Result<void> update(TrackedCgroup& tracked, const ContainerSpec& spec);
  Result<Bytes> lower(TrackedCgroup& tracked, Bytes to, Reason reason,
                      std::vector<Record>& records);
  Result<void> raise(const TrackedCgroup& tracked, Bytes to, Reason reason);
  void announce(TrackedCgroup& tracked, std::optional<Bytes> to);
  void forget_wish(TrackedCgroup& tracked);

 private:
  void wish(const Action& action, const Snapshot& snapshot, std::vector<Record>& records);
  void probe(const Action& action, MonotonicTime now, std::vector<Record>& records);
  void shrink(const Action& action, MonotonicTime now, std::vector<Record>& records);
  Result<Bytes> lower_one(TrackedCgroup& tracked, Bytes to, Reason reason,
                          std::vector<Record>& records);
  bool write_lower(TrackedCgroup& tracked, Bytes from, Bytes to, Record& record);
  Bytes covering(const TrackedCgroup& slice) const;

  SlotTable& slots_;
  MemoryReaction& reaction_;
  cgroup::Writer writer_;
  std::map<BudgetGroup, Bytes> granted_before_;
  std::map<BudgetGroup, memory_command::Budget> budgets_sent_;
};

}  // namespace plimsoll::agent
