// SPDX-License-Identifier: Apache-2.0
//
// The first arrow of a tick: what the kernel's sweep and files say of one tracked cgroup, as a
// snapshot. Blocks as long as the kernel takes to read its files.
#pragma once

#include <optional>

#include "agent/engine/slot_table.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"
#include "bpf/memory_programs.h"

namespace plimsoll::agent {

// `programs` may be null (tier C). Nothing: the cgroup is gone. What counts from one look to the
// next begins anew.
std::optional<ContainerSnapshot> observe(TrackedCgroup& tracked, bpf::MemoryPrograms* programs,
                                         MonotonicTime now);

// What the spec says, without a look at the kernel.
void take_spec(const TrackedCgroup& tracked, ContainerSnapshot& seen);

}  // namespace plimsoll::agent
