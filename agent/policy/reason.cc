// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/reason.h"

namespace plimsoll::agent {

std::string_view to_string(Layer layer) {
  switch (layer) {
    case Layer::kPredicted:
      return "predicted";
    case Layer::kAtTheLimit:
      return "at_the_limit";
    case Layer::kAtTheDoor:
      return "at_the_door";
    case Layer::kSlowLoop:
      return "slow_loop";
  }
  return "unknown";
}

std::string_view to_string(Reason reason) {
  switch (reason) {
    case Reason::kTimeToLimit:
      return "time_to_limit";
    case Reason::kWatermark:
      return "watermark";
    case Reason::kReclaimFailing:
      return "reclaim_failing";
    case Reason::kOomDoor:
      return "oom_door";
    case Reason::kThrashing:
      return "thrashing";
    case Reason::kBelowChildren:
      return "below_children";
    case Reason::kReasserted:
      return "reasserted";
    case Reason::kAnnounced:
      return "announced";
    case Reason::kEnoughHeadroom:
      return "enough_headroom";
    case Reason::kOnlyCache:
      return "only_cache";
    case Reason::kAlreadyGrown:
      return "already_grown";
    case Reason::kCeiling:
      return "ceiling";
    case Reason::kBudget:
      return "budget";
    case Reason::kGroupBudget:
      return "group_budget";
    case Reason::kPriority:
      return "priority";
    case Reason::kLeak:
      return "leak";
    case Reason::kNotArmed:
      return "not_armed";
    case Reason::kGone:
      return "gone";
    case Reason::kLeaseEnded:
      return "lease_ended";
    case Reason::kTakenBack:
      return "taken_back";
    case Reason::kWithdrawn:
      return "withdrawn";
    case Reason::kThrottled:
      return "throttled";
    case Reason::kBurst:
      return "burst";
    case Reason::kStarting:
      return "starting";
    case Reason::kStarted:
      return "started";
    case Reason::kNodeBusy:
      return "node_busy";
  }
  return "unknown";
}

std::string_view sentence_of(Reason reason) {
  switch (reason) {
    case Reason::kTimeToLimit:
      return "at its growth rate it would soon have been at its limit";
    case Reason::kWatermark:
      return "what cannot be reclaimed rose over the watermark";
    case Reason::kReclaimFailing:
      return "at the limit, and reclaim frees nothing any more";
    case Reason::kOomDoor:
      return "the OOM killer had been called";
    case Reason::kThrashing:
      return "it stalls on pages that it has to read again: the working set does not fit";
    case Reason::kBelowChildren:
      return "the pod's limit was less than what its containers were given";
    case Reason::kReasserted:
      return "somebody else had undone an earlier grant";
    case Reason::kAnnounced:
      return "a command that it announced has begun";
    case Reason::kEnoughHeadroom:
      return "enough headroom";
    case Reason::kOnlyCache:
      return "only page cache fills the limit, which reclaim can free";
    case Reason::kAlreadyGrown:
      return "it has grown already since";
    case Reason::kCeiling:
      return "it is at its ceiling";
    case Reason::kBudget:
      return "the node has nothing left to give";
    case Reason::kGroupBudget:
      return "its namespace has nothing left to give";
    case Reason::kPriority:
      return "what the node has left is kept for pods that come first";
    case Reason::kLeak:
      return "it has climbed without a plateau through several grants, as a leak does";
    case Reason::kNotArmed:
      return "nobody has decided yet how far it may grow";
    case Reason::kGone:
      return "its cgroup has gone";
    case Reason::kLeaseEnded:
      return "it was not needed for a whole window";
    case Reason::kTakenBack:
      return "it was idle, and a pod that comes first needed the room";
    case Reason::kWithdrawn:
      return "the API refused the raise";
    case Reason::kThrottled:
      return "its quota kept it from the CPUs in more periods than is tolerated";
    case Reason::kBurst:
      return "it was throttled, but uses less than its limit on average";
    case Reason::kStarting:
      return "it is starting";
    case Reason::kStarted:
      return "it has started, and needs no more than it declares";
    case Reason::kNodeBusy:
      return "the node's CPUs are busy, and tasks wait for them";
  }
  return "unknown";
}

}  // namespace plimsoll::agent
