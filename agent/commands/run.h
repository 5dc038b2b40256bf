// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll run`: the engine around one command in a fresh cgroup, no Kubernetes.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/policy/announced_work.h"
#include "base/units.h"

namespace plimsoll::agent {

struct RunOptions {
  Limit memory{256 * kMiB};             // where the limit starts, and its floor
  std::optional<Bytes> memory_ceiling;  // default: what the node has, less its reserve
  std::optional<MilliCpu> cpu;          // CPU limit to start with, and its floor; absent: none
  std::optional<MilliCpu> cpu_ceiling;  // default: all CPUs
  std::vector<AnnouncedCommand> announce;
  std::string parent;                   // cgroup to work in; empty: agent/commands/scope.h finds it
  std::optional<Bytes> parent_ceiling;  // raise the parent's own limit too, up to this
  std::string name;
  std::string report_file;
  bool dry_run = false;
  bool json = false;
  bool quiet = false;
  Config config;
  std::vector<std::string> command;
  std::vector<std::string> arguments;  // all of ours, should systemd-run start us again
};

// The exit statuses of ours, as env(1) and timeout(1) have them; else the command's.
inline constexpr int kRunFailed = 125;
inline constexpr int kRunNotExecutable = 126;
inline constexpr int kRunNotFound = 127;

// Runs the command and returns the exit status for ours: the command's, 128 + n when signal n ended
// it, or one of the above with a message on standard error.
int run_main(const RunOptions& options);

}  // namespace plimsoll::agent
