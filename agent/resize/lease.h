// SPDX-License-Identifier: Apache-2.0
//
// A lease: a memory.max above what the API server has stored, with an end. What it is for, when it
// goes on, and how far a limit may be lowered without a kill. Pure; used by agent/resize/plan.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/units.h"

namespace plimsoll::agent {

enum class LeaseWhy : std::uint8_t {
  kBridge,      // the request for the same limit is on its way
  kApiAway,     // the API server does not answer
  kNoApi,       // it cannot resize this pod
  kNodeSilent,  // it has stored the limit, but the kubelet has not put it in force
  kOverride,    // it has refused, and the operator wants the direct write all the same
  kPolicy,      // the policy is to write to the cgroup only
};
std::string_view to_string(LeaseWhy why);

struct Lease {
  Bytes limit;
  LeaseWhy why = LeaseWhy::kBridge;
  MonotonicTime until;       // its end, unless it is renewed before
  MonotonicTime written_at;  // readings from before do not show it
  bool withdrawing = false;  // going down as far as the usage lets it

  bool operator==(const Lease&) const = default;
};

// The lowest limit that leaves `keep_share` of the usage, and at least `keep_least`, free.
Bytes lowest_safe(Bytes usage, double keep_share, Bytes keep_least);

struct LeaseNeed {
  bool api_away = false;
  bool usage_above_spec = false;  // going back to the spec could kill
  bool wanted = false;            // the engine has not taken its word back
  bool request_open = false;      // a request for it is under way or stored
};

// At the end of a lease: whether it goes on for another term. One whose reason has gone does not,
// so that every lease ends with its reason.
bool renewable(LeaseWhy why, const LeaseNeed& need);

}  // namespace plimsoll::agent
