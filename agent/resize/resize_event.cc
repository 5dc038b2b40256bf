// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/resize_event.h"

namespace plimsoll::agent {

std::string_view to_string(ApiAnswer::Kind kind) {
  switch (kind) {
    case ApiAnswer::Kind::kSent:
      return "sent";
    case ApiAnswer::Kind::kAccepted:
      return "accepted";
    case ApiAnswer::Kind::kApplied:
      return "applied";
    case ApiAnswer::Kind::kRefused:
      return "refused";
    case ApiAnswer::Kind::kDeferred:
      return "deferred";
    case ApiAnswer::Kind::kInfeasible:
      return "infeasible";
    case ApiAnswer::Kind::kFailed:
      return "failed";
    case ApiAnswer::Kind::kUnavailable:
      return "unavailable";
    case ApiAnswer::Kind::kWithdrawn:
      return "withdrawn";
    case ApiAnswer::Kind::kBridgeWithdrawn:
      return "bridge_withdrawn";
    case ApiAnswer::Kind::kFallback:
      return "fallback";
    case ApiAnswer::Kind::kLeaseEnded:
      return "lease_ended";
    case ApiAnswer::Kind::kReasserted:
      return "reasserted";
    case ApiAnswer::Kind::kRepaired:
      return "repaired";
    case ApiAnswer::Kind::kSteppedBack:
      return "stepped_back";
  }
  return "unknown";
}

}  // namespace plimsoll::agent
