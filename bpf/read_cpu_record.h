// SPDX-License-Identifier: Apache-2.0
//
// The bytes of one record of the CPU programs as an event. Used by bpf/cpu_programs.
#pragma once

#include <cstddef>
#include <optional>

#include "bpf/cpu_programs.h"

namespace plimsoll::bpf {

// nullopt: not a record of ours, one whose slot does not exist, or times that the kernel does not
// allow (a period that is 0, or more than an hour of anything within one). `data` is aligned as the
// ring buffer aligns, to 8 bytes.
std::optional<CpuEvent> read_cpu_record(const void* data, std::size_t size) noexcept;

}  // namespace plimsoll::bpf
