// SPDX-License-Identifier: Apache-2.0
//
// The people, controllers and weather of a cluster: each adds what it does to a history. The same
// seed is the same history.
#pragma once

#include <cstdint>

#include "tests/sim/act.h"

namespace plimsoll::sim {

History make_history(std::uint64_t seed);

}  // namespace plimsoll::sim
