// SPDX-License-Identifier: Apache-2.0
//
// What is the same for all loaded programs: the fields that they share with us, and how often the
// kernel has skipped one.
#pragma once

#include <atomic>
#include <cstdint>

struct bpf_program;

namespace plimsoll::bpf {

// A field that the kernel's programs and we use at the same time.
inline std::atomic_ref<std::uint64_t> shared(std::uint64_t& field) {
  return std::atomic_ref<std::uint64_t>(field);
}
inline std::atomic_ref<std::uint32_t> shared(std::uint32_t& field) {
  return std::atomic_ref<std::uint32_t>(field);
}

// How often the kernel skipped it because it was running on that CPU already; 0 when the kernel
// does not tell.
std::uint64_t missed(const bpf_program* program);

}  // namespace plimsoll::bpf
