// SPDX-License-Identifier: Apache-2.0
//
// The written form of NodeState: what stands in a state file.
#pragma once

#include <string>
#include <string_view>

#include "agent/state/node_state.h"
#include "base/result.h"

namespace plimsoll::agent {

// One line of header (format, version, length, checksum) and a JSON object.
std::string format_state(const NodeState& state);
// kMalformed: cut, damaged or not ours. kUnsupported: another version of the format. Any bytes are
// accepted as input.
Result<NodeState> parse_state(std::string_view text);

}  // namespace plimsoll::agent
