// SPDX-License-Identifier: Apache-2.0
//
// The bytes of one ring buffer record as an event. Used by bpf/memory_programs.
#pragma once

#include <cstddef>
#include <optional>

#include "bpf/memory_programs.h"

namespace plimsoll::bpf {

// nullopt: not a record of ours, or one whose slot or kind does not exist. `data` is aligned as the
// ring buffer aligns, to 8 bytes.
std::optional<MemoryEvent> read_record(const void* data, std::size_t size) noexcept;

}  // namespace plimsoll::bpf
