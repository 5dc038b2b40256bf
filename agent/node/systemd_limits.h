// SPDX-License-Identifier: Apache-2.0
//
// What was written to the memory.max of a pod's cgroup, told to systemd where the cgroup is a unit
// of its.
#pragma once

#include "agent/pods/pod_cgroups.h"
#include "agent/systemd/units.h"
#include "base/units.h"

namespace plimsoll::agent {

// Null: systemd is told nothing. Never blocks.
void tell_systemd(SystemdUnits* systemd, const PodCgroup& cgroup, Limit limit);

}  // namespace plimsoll::agent
