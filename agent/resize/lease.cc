// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/lease.h"

#include <algorithm>

namespace plimsoll::agent {

std::string_view to_string(LeaseWhy why) {
  switch (why) {
    case LeaseWhy::kBridge:
      return "bridge";
    case LeaseWhy::kApiAway:
      return "api_away";
    case LeaseWhy::kNoApi:
      return "no_api";
    case LeaseWhy::kNodeSilent:
      return "node_silent";
    case LeaseWhy::kOverride:
      return "override";
    case LeaseWhy::kPolicy:
      return "policy";
  }
  return "unknown";
}

Bytes lowest_safe(Bytes usage, double keep_share, Bytes keep_least) {
  return usage + std::max(scaled(usage, keep_share), keep_least);
}

bool renewable(LeaseWhy why, const LeaseNeed& need) {
  switch (why) {
    case LeaseWhy::kBridge:
      return need.request_open || (need.api_away && need.usage_above_spec);
    case LeaseWhy::kApiAway:
      return need.api_away && need.usage_above_spec;
    case LeaseWhy::kNodeSilent:
      return need.request_open;
    case LeaseWhy::kNoApi:
    case LeaseWhy::kOverride:
    case LeaseWhy::kPolicy:
      return need.wanted && need.usage_above_spec;
  }
  return false;
}

}  // namespace plimsoll::agent
