// SPDX-License-Identifier: Apache-2.0
//
// Leak or burst: follows the climb of one container from grant to grant. Used by decide(); pure.
#pragma once

#include <cstdint>

#include "agent/policy/history.h"
#include "agent/policy/memory.h"
#include "agent/policy/snapshot.h"

namespace plimsoll::agent {

// Brings past.climb and past.leaking up to date; `grants` are those since the previous tick. A
// leak stays one until what cannot be reclaimed falls by leak_dip or stays flat.
void follow_climb(const MemoryPolicy& policy, MonotonicTime now, const ContainerSnapshot& container,
                  std::uint32_t grants, ContainerHistory& past);

}  // namespace plimsoll::agent
