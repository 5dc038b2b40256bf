/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What all records that the kernel programs and user space share are made of. C and C++.
 */
#pragma once

#ifdef __cplusplus
#include <cstddef>
#include <cstdint>
#include <type_traits>
using pl_u64 = std::uint64_t;
using pl_u32 = std::uint32_t;
#define PL_ASSERT_SIZE(type, size) static_assert(sizeof(type) == (size))
#else
#include <linux/types.h>
typedef __u64 pl_u64;
typedef __u32 pl_u32;
#define PL_ASSERT_SIZE(type, size) _Static_assert(sizeof(type) == (size), #type)
#endif

/* Tracked cgroups at the same time: 1,000 containers, their pods, and room. */
#define PL_MAX_SLOTS 2048

enum pl_track_result {
  PL_TRACK_NOT_RUN = 0,
  PL_TRACK_OK = 1,
  PL_TRACK_NO_CONTROLLER = 2,
  PL_TRACK_MAP_FULL = 3,
};

#ifdef __cplusplus
namespace plimsoll::bpf {

// What lies in a ring buffer, aligned to 8 bytes, as an event; null: it is none of ours, or names
// something that does not exist, see pl_is_event().
template <typename Event>
const Event* event_at(const void* data, std::size_t size) noexcept {
  if (size != sizeof(Event)) return nullptr;
  const auto* event = static_cast<const Event*>(data);
  return pl_is_event(*event) ? event : nullptr;
}

}  // namespace plimsoll::bpf
#endif
