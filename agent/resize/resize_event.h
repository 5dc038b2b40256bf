// SPDX-License-Identifier: Apache-2.0
//
// What became of one change of a limit on its way through the API and into the cgroup, and whom it
// is about. Made by whoever applies; metrics, the decision log, timelines and Events are printed
// from it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "agent/pods/container_ref.h"
#include "agent/policy/limit_change.h"
#include "agent/policy/memory.h"
#include "base/units.h"

namespace plimsoll::agent {

// Something that happened to a container, in words: for the log and its timeline.
struct ContainerNote {
  ContainerRef subject;
  std::string_view what;  // a fixed word
  std::string detail;

  bool operator==(const ContainerNote&) const = default;
};

struct ResizeEvent {
  enum class Kind : std::uint8_t {
    kSent,             // the PATCH is on its way
    kAccepted,         // stored by the API server, not yet in the cgroup
    kApplied,          // memory.max of the container and of the pod show it; of a CPU limit, the
                       // kubelet says so
    kRefused,          // somebody decided against it; `cause` says who
    kDeferred,         // accepted, and postponed by the kubelet
    kInfeasible,       // accepted, and refused by the kubelet
    kFailed,           // accepted, and the kubelet reports an error
    kUnavailable,      // no usable answer; it will be tried again
    kWithdrawn,        // our request was taken back
    kBridgeWithdrawn,  // a direct write ahead of a request that was refused was taken back
    kFallback,         // written directly under a lease, the API being of no use
    kLeaseEnded,       // such a direct write was taken back; one that is confirmed ends unsaid
    kReasserted,       // somebody overwrote the limit; it was written again
    kRepaired,         // the pod's own limit had stayed behind; it was raised
    kSteppedBack,      // somebody else resizes this container
  };
  static constexpr std::size_t kKinds = 15;

  Kind kind = Kind::kSent;
  MonotonicTime at;
  LimitChange change;
  Layer layer = Layer::kSlowLoop;           // what asked for the change
  Reason reason = Reason::kEnoughHeadroom;  // why
  bool bridged = false;                     // the limit had been written ahead of the request
  std::optional<int> status;                // HTTP
  std::string cause;                        // a short fixed word: "quota", "rbac", "node_capacity"
  std::string message;                      // the server's or the kubelet's words
  std::optional<Nanoseconds> patch_to_limit;  // kApplied: PATCH sent to limit seen

  bool operator==(const ResizeEvent&) const = default;
};
std::string_view to_string(ResizeEvent::Kind kind);

}  // namespace plimsoll::agent
