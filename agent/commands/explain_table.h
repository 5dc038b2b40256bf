// SPDX-License-Identifier: Apache-2.0
//
// The answer of the agent to `plimsoll explain` as lines for people.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace plimsoll::agent {

// The table of what the agent answered. kMalformed: it is not an answer.
Result<std::string> explain_table(std::string_view json);

}  // namespace plimsoll::agent
