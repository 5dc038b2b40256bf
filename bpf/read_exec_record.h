// SPDX-License-Identifier: Apache-2.0
//
// The bytes of one record of the exec programs as an event. Used by bpf/exec_programs.
#pragma once

#include <cstddef>
#include <optional>

#include "bpf/exec_programs.h"

namespace plimsoll::bpf {

// nullopt: not a record of ours. `data` is aligned as the ring buffer aligns, to 8 bytes.
std::optional<ExecEvent> read_exec_record(const void* data, std::size_t size) noexcept;

}  // namespace plimsoll::bpf
