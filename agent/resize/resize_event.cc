// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/resize_event.h"

#include <array>

#include "base/enum_table.h"

namespace plimsoll::agent {
namespace {

constexpr auto kKindWords = std::to_array<EnumWord<ResizeEvent::Kind>>({
    {ResizeEvent::Kind::kSent, "sent"},
    {ResizeEvent::Kind::kAccepted, "accepted"},
    {ResizeEvent::Kind::kApplied, "applied"},
    {ResizeEvent::Kind::kRefused, "refused"},
    {ResizeEvent::Kind::kDeferred, "deferred"},
    {ResizeEvent::Kind::kInfeasible, "infeasible"},
    {ResizeEvent::Kind::kFailed, "failed"},
    {ResizeEvent::Kind::kUnavailable, "unavailable"},
    {ResizeEvent::Kind::kWithdrawn, "withdrawn"},
    {ResizeEvent::Kind::kBridgeWithdrawn, "bridge_withdrawn"},
    {ResizeEvent::Kind::kFallback, "fallback"},
    {ResizeEvent::Kind::kLeaseEnded, "lease_ended"},
    {ResizeEvent::Kind::kReasserted, "reasserted"},
    {ResizeEvent::Kind::kRepaired, "repaired"},
    {ResizeEvent::Kind::kSteppedBack, "stepped_back"},
});
static_assert(has_row_for_each(kKindWords, ResizeEvent::Kind::kSteppedBack));

}  // namespace

std::string_view to_string(ResizeEvent::Kind kind) { return word_of(kKindWords, kind); }

}  // namespace plimsoll::agent
