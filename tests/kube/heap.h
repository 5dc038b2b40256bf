// SPDX-License-Identifier: Apache-2.0
//
// What this thread has allocated with operator new and not yet given back, for tests of how much
// something may cost.
#pragma once

#include <cstddef>

namespace plimsoll::test {

// Bytes as the allocator rounds them; below 0 when the thread freed what another had allocated.
std::ptrdiff_t heap_bytes();
// The most since reset_heap_peak().
std::ptrdiff_t heap_peak();
void reset_heap_peak();

}  // namespace plimsoll::test
