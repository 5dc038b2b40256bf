// SPDX-License-Identifier: Apache-2.0
//
// The number of files that this process may have open: four for each tracked cgroup. Called once
// at the start.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace plimsoll::agent {

// Raises the soft limit to the hard one and returns what holds then.
Result<std::uint64_t> raise_file_limit();

}  // namespace plimsoll::agent
