// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/lease.h"

#include <algorithm>
#include <array>

#include "base/enum_table.h"

namespace plimsoll::agent {
namespace {

constexpr auto kWhys = std::to_array<EnumWord<LeaseWhy>>({
    {LeaseWhy::kBridge, "bridge"},
    {LeaseWhy::kApiAway, "api_away"},
    {LeaseWhy::kNoApi, "no_api"},
    {LeaseWhy::kNodeSilent, "node_silent"},
    {LeaseWhy::kOverride, "override"},
    {LeaseWhy::kPolicy, "policy"},
});
static_assert(has_row_for_each(kWhys, LeaseWhy::kPolicy));

}  // namespace

std::string_view to_string(LeaseWhy why) { return word_of(kWhys, why); }

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
