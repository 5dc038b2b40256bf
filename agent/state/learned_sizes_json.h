// SPDX-License-Identifier: Apache-2.0
//
// What was learned of commands, in its written form: a part of the file that outlives the boot.
#pragma once

#include <string>
#include <string_view>

#include "agent/policy/learned_sizes.h"
#include "base/result.h"

namespace plimsoll::agent {

// A list, the command that was learned longest ago first.
std::string to_json(const LearnedSizes& learned);
// More than is kept is left out. kMalformed: not what to_json() writes.
Result<LearnedSizes> parse_learned_sizes(std::string_view text);

}  // namespace plimsoll::agent
