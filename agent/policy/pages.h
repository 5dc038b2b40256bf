// SPDX-License-Identifier: Apache-2.0
//
// Pages, the unit of refault counters, as bytes. Used by the policy.
#pragma once

#include <cstdint>

#include "base/units.h"

namespace plimsoll::agent {

// memory.stat counts refaults in pages of the kernel. 4 KiB is right on x86-64 and on the usual
// arm64 kernels; with 64 KiB pages refaults weigh a sixteenth of what they should.
inline constexpr std::uint64_t kPageBytes = 4 * kKiB;

constexpr Bytes bytes_of_pages(std::uint64_t pages) {
  constexpr std::uint64_t kMost = ~std::uint64_t{0} / kPageBytes;
  return {(pages < kMost ? pages : kMost) * kPageBytes};
}

}  // namespace plimsoll::agent
