// SPDX-License-Identifier: Apache-2.0
#include "agent/node/systemd_limits.h"

#include <utility>

#include "agent/pods/cgroup_name.h"

namespace plimsoll::agent {

void tell_systemd(SystemdUnits* systemd, const PodCgroup& cgroup, Limit limit) {
  if (systemd == nullptr || cgroup.name.driver != CgroupDriver::kSystemd) return;
  if (auto unit = unit_of_cgroup(cgroup.path)) {
    (void)systemd->tell({.unit = std::move(*unit), .path = cgroup.path, .memory_max = limit});
  }
}

}  // namespace plimsoll::agent
