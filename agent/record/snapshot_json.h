// SPDX-License-Identifier: Apache-2.0
//
// Snapshot, Plan and History as JSON, one line each, and back: any moment of production can be
// recorded, printed with a decision, and replayed. What is read back equals what was written.
#pragma once

#include <string>
#include <string_view>

#include "agent/policy/decide.h"
#include "agent/policy/history.h"
#include "agent/policy/snapshot.h"
#include "base/result.h"

namespace plimsoll::agent {

// An object without line breaks. Members that have their default are left out.
std::string to_json(const Snapshot& snapshot);
std::string to_json(const Plan& plan);
std::string to_json(const History& history);

// kMalformed says where and what; a member that is not known is an error too.
Result<Snapshot> parse_snapshot(std::string_view json);
Result<Plan> parse_plan(std::string_view json);
Result<History> parse_history(std::string_view json);

}  // namespace plimsoll::agent
