// SPDX-License-Identifier: Apache-2.0
//
// cgroup.controllers and cgroup.subtree_control: which controllers a cgroup has and which of them
// it hands to its children.
#pragma once

#include <functional>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

namespace plimsoll::cgroup {

using ControllerSet = std::set<std::string, std::less<>>;

// kMalformed: a name has something else than lower-case letters, digits and '_', or there are more
// names than any kernel has controllers.
Result<ControllerSet> parse_controllers(std::string_view text);

}  // namespace plimsoll::cgroup
