// SPDX-License-Identifier: Apache-2.0
//
// What the files say: whether a memory limit that is stored is in force, what becomes of a lease,
// and a slice that has stayed behind its containers.
#pragma once

#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {

void verify(Step& step);
void keep_leases(Step& step);
void repair_slice(Step& step);

}  // namespace plimsoll::agent
