// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/resize_event.h"

namespace plimsoll::agent {

std::string_view to_string(ResizeEvent::Kind kind) {
  switch (kind) {
    case ResizeEvent::Kind::kSent:
      return "sent";
    case ResizeEvent::Kind::kAccepted:
      return "accepted";
    case ResizeEvent::Kind::kApplied:
      return "applied";
    case ResizeEvent::Kind::kRefused:
      return "refused";
    case ResizeEvent::Kind::kDeferred:
      return "deferred";
    case ResizeEvent::Kind::kInfeasible:
      return "infeasible";
    case ResizeEvent::Kind::kFailed:
      return "failed";
    case ResizeEvent::Kind::kUnavailable:
      return "unavailable";
    case ResizeEvent::Kind::kWithdrawn:
      return "withdrawn";
    case ResizeEvent::Kind::kBridgeWithdrawn:
      return "bridge_withdrawn";
    case ResizeEvent::Kind::kFallback:
      return "fallback";
    case ResizeEvent::Kind::kLeaseEnded:
      return "lease_ended";
    case ResizeEvent::Kind::kReasserted:
      return "reasserted";
    case ResizeEvent::Kind::kRepaired:
      return "repaired";
    case ResizeEvent::Kind::kSteppedBack:
      return "stepped_back";
  }
  return "unknown";
}

}  // namespace plimsoll::agent
