// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/reason.h"

#include <array>

#include "base/enum_table.h"

namespace plimsoll::agent {
namespace {

using enum Layer;
using enum Reason;

constexpr auto kLayerRows = std::to_array<EnumWord<Layer>>({
    {kPredicted, "predicted"},
    {kAtTheLimit, "at_the_limit"},
    {kAtTheDoor, "at_the_door"},
    {kSlowLoop, "slow_loop"},
});
static_assert(has_row_for_each(kLayerRows, kSlowLoop) && kLayerRows.size() == kLayers);

struct ReasonRow {
  Reason key;
  std::string_view word;
  std::string_view sentence;
};
constexpr std::array kReasonRows{
    ReasonRow{kTimeToLimit, "time_to_limit",
              "at its growth rate it would soon have been at its limit"},
    ReasonRow{kWatermark, "watermark", "what cannot be reclaimed rose over the watermark"},
    ReasonRow{kReclaimFailing, "reclaim_failing",
              "at the limit, and reclaim frees nothing any more"},
    ReasonRow{kOomDoor, "oom_door", "the OOM killer had been called"},
    ReasonRow{kThrashing, "thrashing",
              "it stalls on pages that it has to read again: the working set does not fit"},
    ReasonRow{kBelowChildren, "below_children",
              "the pod's limit was less than what its containers were given"},
    ReasonRow{kReasserted, "reasserted", "somebody else had undone an earlier grant"},
    ReasonRow{kAnnounced, "announced", "a command that it announced has begun"},
    ReasonRow{kEnoughHeadroom, "enough_headroom", "enough headroom"},
    ReasonRow{kOnlyCache, "only_cache", "only page cache fills the limit, which reclaim can free"},
    ReasonRow{kAlreadyGrown, "already_grown", "it has grown already since"},
    ReasonRow{kCeiling, "ceiling", "it is at its ceiling"},
    ReasonRow{kBudget, "budget", "the node has nothing left to give"},
    ReasonRow{kGroupBudget, "group_budget", "its namespace has nothing left to give"},
    ReasonRow{kPriority, "priority", "what the node has left is kept for pods that come first"},
    ReasonRow{kLeak, "leak",
              "it has climbed without a plateau through several grants, as a leak does"},
    ReasonRow{kNotArmed, "not_armed", "nobody has decided yet how far it may grow"},
    ReasonRow{kGone, "gone", "its cgroup has gone"},
    ReasonRow{kLeaseEnded, "lease_ended", "it was not needed for a whole window"},
    ReasonRow{kTakenBack, "taken_back", "it was idle, and a pod that comes first needed the room"},
    ReasonRow{kWithdrawn, "withdrawn", "the API refused the raise"},
    ReasonRow{kThrottled, "throttled",
              "its quota kept it from the CPUs in more periods than is tolerated"},
    ReasonRow{kBurst, "burst", "it was throttled, but uses less than its limit on average"},
    ReasonRow{kStarting, "starting", "it is starting"},
    ReasonRow{kStarted, "started", "it has started, and needs no more than it declares"},
    ReasonRow{kNodeBusy, "node_busy", "the node's CPUs are busy, and tasks wait for them"},
};
static_assert(has_row_for_each(kReasonRows, kNodeBusy));

}  // namespace

std::string_view to_string(Layer layer) { return word_of(kLayerRows, layer); }

std::string_view to_string(Reason reason) { return word_of(kReasonRows, reason); }

std::string_view sentence_of(Reason reason) {
  const ReasonRow* row = row_of(kReasonRows, reason);
  return row == nullptr ? "unknown" : row->sentence;
}

}  // namespace plimsoll::agent
