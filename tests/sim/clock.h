// SPDX-License-Identifier: Apache-2.0
//
// The time of the simulated cluster. The whole program has it: clock.cc puts its own
// clock_gettime() in the place of libc's, so that the product reads it without knowing.
#pragma once

#include "base/units.h"

namespace plimsoll::sim {

// So late that a thread which waits for a moment of this clock waits for ever.
inline constexpr MonotonicTime kBegin{std::chrono::hours(24 * 365 * 20)};

void set_now(MonotonicTime now);

}  // namespace plimsoll::sim
