// SPDX-License-Identifier: Apache-2.0
#include "tests/kube/heap.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace {

thread_local std::ptrdiff_t bytes = 0;
thread_local std::ptrdiff_t peak = 0;

void count(std::ptrdiff_t more) {
  bytes += more;
  peak = std::max(peak, bytes);
}

std::ptrdiff_t size_of(void* memory) {
  return static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
}

}  // namespace

// These replace the program's own; the array forms end in them. In a file of their own, since gcc
// takes an inlined pair for a mismatch.
// NOLINTBEGIN(cppcoreguidelines-no-malloc): operator new has nothing else to stand on.
void* operator new(std::size_t size) {
  void* const memory = std::malloc(size > 0 ? size : 1);
  if (memory == nullptr) throw std::bad_alloc();
  count(size_of(memory));
  return memory;
}
void operator delete(void* memory) noexcept {
  if (memory != nullptr) count(-size_of(memory));
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { ::operator delete(memory); }
// NOLINTEND(cppcoreguidelines-no-malloc)

namespace plimsoll::test {

std::ptrdiff_t heap_bytes() { return bytes; }
std::ptrdiff_t heap_peak() { return peak; }
void reset_heap_peak() { peak = bytes; }

}  // namespace plimsoll::test
