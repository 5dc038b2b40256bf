// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll agent`: what its command line and environment say. Everything that an operator tunes is
// in the configuration file instead.
#pragma once

#include <optional>
#include <string>

#include "agent/apiserver/access.h"
#include "agent/state/declared_limits.h"
#include "agent/state/state_file.h"
#include "agent/systemd/units.h"
#include "agent/telemetry/explain_server.h"
#include "base/units.h"
#include "cgroup/root.h"

namespace plimsoll::agent {

struct AgentOptions {
  std::string node_name;
  std::string config_file;  // empty: defaults, and nothing to reload
  ApiAccess api;
  std::string cgroup_root;  // empty: where cgroup v2 is mounted
  cgroup::Filesystem cgroup_filesystem = cgroup::Filesystem::kCgroup2;
  std::string state_file = kStatePath;
  std::string floors_file = kFloorsPath;
  std::string socket = kExplainSocket;
  std::optional<SystemdBus> systemd = SystemdBus{};  // absent: systemd is told nothing
  bool log_json = false;
  bool restore = false;  // at the end put every limit back
};

}  // namespace plimsoll::agent
