// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll restore`: puts back what an agent has raised, in specs and cgroups.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>

#include "agent/apiserver/access.h"
#include "agent/restore/cgroups.h"
#include "agent/state/declared_limits.h"
#include "agent/state/state_file.h"
#include "agent/systemd/bus.h"
#include "cgroup/root.h"

namespace plimsoll::agent {

struct RestoreOptions {
  std::string state = kStatePath;
  std::string floors = kFloorsPath;
  std::string node_name;  // empty: specs cannot be put back
  ApiAccess api;
  std::string cgroup_root = "/sys/fs/cgroup";
  cgroup::Filesystem filesystem = cgroup::Filesystem::kCgroup2;
  std::optional<SystemdBus> systemd = SystemdBus{};  // absent: not told
  RestorePolicy policy;
  bool dry_run = false;
  bool json = false;
};

// `plimsoll restore`: exit status 0: everything is back; 1: something is not, or it could not be
// tried. Writes what is left back into both files.
int run_restore(const RestoreOptions& options, std::ostream& out, std::ostream& err);

}  // namespace plimsoll::agent
