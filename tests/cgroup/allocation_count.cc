// SPDX-License-Identifier: Apache-2.0
#include "tests/cgroup/allocation_count.h"

#include <cstdlib>
#include <new>

namespace {

thread_local std::size_t count = 0;

}  // namespace

// These replace the program's own; the array forms end in them. In a file of their own, since gcc
// takes an inlined pair for a mismatch.
// NOLINTBEGIN(cppcoreguidelines-no-malloc): operator new has nothing else to stand on.
void* operator new(std::size_t size) {
  ++count;
  if (void* const memory = std::malloc(size > 0 ? size : 1)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
// NOLINTEND(cppcoreguidelines-no-malloc)

namespace plimsoll::test {

std::size_t allocation_count() { return count; }

}  // namespace plimsoll::test
