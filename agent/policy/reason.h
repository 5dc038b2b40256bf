// SPDX-License-Identifier: Apache-2.0
//
// Why something was decided, and which layer caught it: as a value, as the word of logs and metric
// labels, and as half a sentence for people.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace plimsoll::agent {

// Which of the layers caught the need (glossary: docs/architecture.md).
enum class Layer : std::uint8_t { kPredicted, kAtTheLimit, kAtTheDoor, kSlowLoop };
inline constexpr std::size_t kLayers = 4;

// Why a verdict is what it is. Log lines, metric labels and reports are printed from it.
enum class Reason : std::uint8_t {
  // grants
  kTimeToLimit,     // at its growth rate it is at the limit within the horizon
  kWatermark,       // what cannot be reclaimed rose over the watermark's share of the limit
  kReclaimFailing,  // at the limit and reclaim frees (almost) nothing
  kOomDoor,         // the OOM killer was called
  kThrashing,       // stalls with refaults: the working set does not fit
  kBelowChildren,   // a parent's limit is less than what its children were given
  kReasserted,      // somebody else had undone an earlier grant
  kAnnounced,       // a command that was announced has begun
  // no grant
  kEnoughHeadroom,  // nothing to do
  kOnlyCache,       // the limit is filled by page cache, which reclaim can free
  kAlreadyGrown,    // the event is older than the last grant
  // denials
  kCeiling,      // the limit is at the ceiling
  kBudget,       // the node has nothing left to give
  kGroupBudget,  // its budget group has nothing left to give
  kPriority,     // what is left is kept for containers that come first
  kLeak,         // climbs without a plateau through several grants
  kNotArmed,     // nobody has decided yet how far it may grow
  kGone,         // the cgroup vanished
  // shrinks
  kLeaseEnded,  // the peak of a whole window stayed under its share of the limit
  kTakenBack,   // idle room, given to a container that comes first
  kWithdrawn,   // a grant that the API refused after all
  // CPU
  kThrottled,  // more periods were throttled than is tolerated
  kBurst,      // throttled, but on average it uses less than its limit: a burst is enough
  kStarting,   // the container starts, and may use more until it has
  kStarted,    // it has: what it got for that goes back
  kNodeBusy,   // denied: the node's CPUs are busy, and tasks wait for them
};
std::string_view to_string(Layer layer);
std::string_view to_string(Reason reason);
constexpr bool is_denial(Reason reason) {
  return (reason >= Reason::kCeiling && reason <= Reason::kGone) || reason == Reason::kNodeBusy;
}
// What Events and `plimsoll explain` print behind a colon.
std::string_view sentence_of(Reason reason);

}  // namespace plimsoll::agent
