// SPDX-License-Identifier: Apache-2.0
//
// Where `plimsoll run` may make its cgroup: below the root, in a part of the tree that was
// delegated to us, or in a scope that systemd makes for us. Facts, a pure decision, and the
// entering.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace plimsoll::agent {

// What to type where cgroup v1 is in the way.
inline constexpr const char* kUnifiedCure =
    "boot with the kernel parameters `systemd.unified_cgroup_hierarchy=1 cgroup_no_v1=all` "
    "(/etc/default/grub, GRUB_CMDLINE_LINUX, then `update-grub` and reboot)";

// One cgroup on the way from our own to the top of what is mounted.
struct ScopeLevel {
  std::string path;               // below the root, "" for the top
  bool writable = false;          // the directory, cgroup.procs and cgroup.subtree_control
  bool delegated = false;         // systemd says so by an extended attribute
  bool has_memory = false;        // the memory controller is there for it
  bool gives_memory = false;      // and is handed to its children
  bool allows_processes = false;  // the true root of the machine may have both
  bool has_us = false;
  std::size_t others = 0;  // processes that live in it besides us

  bool operator==(const ScopeLevel&) const = default;
};

struct ScopeFacts {
  std::uint32_t uid = 0;
  bool systemd = false;           // it runs this machine
  bool systemd_run = false;       // the program is there
  bool user_manager = false;      // a systemd of this user can be reached
  bool entered = false;           // this very process has come through systemd-run
  std::optional<std::string> v2;  // the mount point
  bool memory_on_v1 = false;
  std::vector<ScopeLevel> levels;  // own cgroup first, the top last

  bool operator==(const ScopeFacts&) const = default;
};

struct ScopeDecision {
  // Make it below this one; not used with `through`.
  std::string parent;
  // First go into a child of `parent`: the kernel wants no process beside the children.
  bool step_aside = false;
  // Not empty: execute this, which comes back here in a cgroup of its own.
  std::vector<std::string> through;

  bool operator==(const ScopeDecision&) const = default;
};

// `command_line` is ours, from the path of the program on. kUnsupported or kDenied: there is no
// place; the message ends with what to type.
Result<ScopeDecision> decide_scope(const ScopeFacts& facts,
                                   const std::vector<std::string>& command_line);

}  // namespace plimsoll::agent
