// SPDX-License-Identifier: Apache-2.0
//
// What comes out of a step of the plan: what is to be done, in order, and what is to be told.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "agent/resize/resize_event.h"
#include "agent/resize/state.h"
#include "base/units.h"

namespace plimsoll::agent {

// A PATCH for the resizer. Its outcome comes back as ResizeFacts::outcomes.
struct SendResize {
  enum class Urgency : std::uint8_t { kRescue, kNormal, kPreflight };
  std::uint64_t id = 0;
  kube::Resize resize;
  Urgency urgency = Urgency::kNormal;
  Nanoseconds deadline{};

  bool operator==(const SendResize&) const = default;
};

// Write memory.max, the pod slice first; comes with a lease. The bounds of the same step allow it.
struct RaiseLimit {
  std::string container;
  Bytes limit;
  std::optional<Bytes> slice;  // what the slice must have at least; absent: it has no limit
  Reason reason = Reason::kReasserted;

  bool operator==(const RaiseLimit&) const = default;
};

// Lower memory.max towards `limit`, the container first, as far as that kills nobody.
struct LowerLimit {
  std::string container;
  Bytes limit;
  std::optional<Bytes> slice;  // what the slice may go down to then
  Reason reason = Reason::kWithdrawn;

  bool operator==(const LowerLimit&) const = default;
};

// Only the slice had stayed behind.
struct RepairSlice {
  Bytes limit;

  bool operator==(const RepairSlice&) const = default;
};

// The engine's spec of the container is to have these from now on; before everything else.
struct SetBounds {
  std::string container;
  std::variant<EngineBounds<Bytes>, EngineBounds<MilliCpu>> bounds;

  bool operator==(const SetBounds&) const = default;
};

enum class Resource : std::uint8_t { kMemory, kCpu };

// What the engine wished for will not come now.
struct ForgetWish {
  std::string container;
  Resource resource = Resource::kMemory;

  bool operator==(const ForgetWish&) const = default;
};

using ResizeAction =
    std::variant<SetBounds, RaiseLimit, LowerLimit, RepairSlice, SendResize, ForgetWish>;

// For metrics, the log, timelines and Events. `container` is empty for the pod as a whole.
struct ResizeAnswer {
  std::string container;
  ResizeEvent answer;

  bool operator==(const ResizeAnswer&) const = default;
};

struct ResizeStep {
  PodResize state;
  std::vector<ResizeAction> actions;  // in the order in which they are to be done
  std::vector<ResizeAnswer> answers;
  // Somebody else has set a limit: what is declared has changed (Request::floor).
  bool redeclares = false;
  // Step again then, with the files read, if nothing else happens before.
  std::optional<MonotonicTime> wake;
};

}  // namespace plimsoll::agent
