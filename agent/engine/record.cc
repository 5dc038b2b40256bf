// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/record.h"

#include <array>

#include "base/enum_table.h"

namespace plimsoll::agent {
namespace {

using enum Record::Kind;

constexpr auto kRows = std::to_array<EnumWord<Record::Kind>>({
    {kGrant, "grant"},
    {kShrink, "shrink"},
    {kReclaim, "reclaim"},
    {kDenial, "denial"},
    {kFailure, "failure"},
    {kOomKill, "oom_kill"},
    {kWish, "wish"},
});
static_assert(has_row_for_each(kRows, kWish));

}  // namespace

std::string_view to_string(Record::Kind kind) { return word_of(kRows, kind); }

}  // namespace plimsoll::agent
