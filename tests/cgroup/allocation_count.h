// SPDX-License-Identifier: Apache-2.0
//
// How often this thread has called operator new, for tests of what must not.
#pragma once

#include <cstddef>

namespace plimsoll::test {

std::size_t allocation_count();

}  // namespace plimsoll::test
