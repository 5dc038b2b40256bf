// SPDX-License-Identifier: Apache-2.0
//
// What the files say: whether a memory limit that is stored is in force, what becomes of a lease,
// and a slice that has stayed behind its containers.
#pragma once

#include "agent/resize/step.h"

namespace plimsoll::agent {

// What stands in the cgroup since then, from now on with an end; one that was there goes on.
void take_lease(Step& step, ContainerResize& container, Bytes limit, LeaseWhy why,
                MonotonicTime written_at);
// The API being of no use: written under a lease.
void write_directly(Step& step, ContainerResize& container, Bytes from, Bytes to, LeaseWhy why);

void verify(Step& step);
void keep_leases(Step& step);
void repair_slice(Step& step);

}  // namespace plimsoll::agent
