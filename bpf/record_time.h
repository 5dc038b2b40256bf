// SPDX-License-Identifier: Apache-2.0
//
// The nanoseconds of records as times. For user space only; the records' own headers are shared
// with the kernel programs.
#pragma once

#include <cstdint>

#include "base/units.h"
#include "bpf/record_types.h"

namespace plimsoll::bpf {

inline Nanoseconds duration_of(pl_u64 nanoseconds) {
  return Nanoseconds(static_cast<std::int64_t>(nanoseconds));
}
// Of CLOCK_MONOTONIC.
inline MonotonicTime time_of(pl_u64 nanoseconds) { return MonotonicTime(duration_of(nanoseconds)); }

}  // namespace plimsoll::bpf
