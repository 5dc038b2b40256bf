// SPDX-License-Identifier: Apache-2.0
//
// After limits were put back: systemd is told.
#pragma once

#include <cstddef>

#include "agent/restore/cgroups.h"
#include "agent/systemd/units.h"
#include "cgroup/root.h"

namespace plimsoll::agent {

// Tells systemd the limits of the restored, where it has them as units. How many it did not take.
std::size_t tell_restored(const RestoreReport& report, const cgroup::Root& root,
                          const SystemdUnitsConfig& systemd);

}  // namespace plimsoll::agent
