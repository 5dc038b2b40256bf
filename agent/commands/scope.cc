// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/scope.h"

#include <algorithm>
#include <ranges>
#include <span>

namespace plimsoll::agent {
namespace {

// Can a child with a memory limit be made here, once we are out of the way ourselves?
bool is_usable(const ScopeLevel& level) {
  if (!level.writable) return false;
  if (level.gives_memory) return true;
  return level.has_memory && (level.allows_processes || level.others == 0);
}

ScopeDecision use(const ScopeLevel& level) {
  return {.parent = level.path,
          .step_aside = level.has_us && !level.gives_memory && !level.allows_processes,
          .through = {}};
}

std::optional<ScopeDecision> nearest(std::span<const ScopeLevel> levels) {
  const auto found = std::ranges::find_if(levels, is_usable);
  if (found == levels.end()) return std::nullopt;
  return use(*found);
}

bool is_unit(std::string_view path) {
  return path.ends_with(".slice") || path.ends_with(".scope") || path.ends_with(".service");
}

// Own cgroup up to the nearest one that was delegated: those are ours. Not so when a unit is on the
// way: then a systemd, perhaps one of a user, has that part.
std::span<const ScopeLevel> delegated_part(const ScopeFacts& facts) {
  const auto end = std::ranges::find_if(
      facts.levels, [](const ScopeLevel& level) { return level.delegated || is_unit(level.path); });
  if (end != facts.levels.end() && end->delegated) return {facts.levels.begin(), end + 1};
  // Systemd before 251 and kernels before 5.7 have no such attribute for users to see.
  const std::size_t own = facts.entered && !facts.levels.empty() ? 1 : 0;
  return {facts.levels.begin(), own};
}

std::string first_of(const ScopeFacts& facts) {
  return facts.levels.empty() ? "/" : "/" + facts.levels.front().path;
}

Result<ScopeDecision> decide_with_systemd(const ScopeFacts& facts,
                                          const std::vector<std::string>& command_line) {
  if (const auto own = nearest(delegated_part(facts))) return *own;
  const bool user = facts.uid != 0;
  if (facts.entered) {
    const std::string where = "systemd made the scope " + first_of(facts);
    return fail(
        Code::kDenied,
        where + (user ? ", but your systemd has no memory controller to hand on; as root: "
                        "`mkdir -p /etc/systemd/system/user@.service.d && printf "
                        "'[Service]\\nDelegate=cpu memory pids\\n' "
                        ">/etc/systemd/system/user@.service.d/delegate.conf && systemctl "
                        "daemon-reload`, then log in again"
                      : ", but the memory controller is not in it; " + std::string(kUnifiedCure)));
  }
  if (!facts.systemd_run) {
    return fail(Code::kUnsupported,
                "systemd owns the cgroups here and there is no systemd-run to ask it with; "
                "`apt-get install systemd`, or put it into PATH");
  }
  if (user && !facts.user_manager) {
    return fail(Code::kDenied,
                "no systemd of yours can be reached (XDG_RUNTIME_DIR); log in with `machinectl "
                "shell $USER@` or ssh, or run `sudo plimsoll run …`");
  }
  ScopeDecision decision;
  decision.through = {"systemd-run"};
  if (user) decision.through.emplace_back("--user");
  for (const char* word : {"--scope", "--quiet", "--collect", "-p", "Delegate=yes", "--"}) {
    decision.through.emplace_back(word);
  }
  decision.through.insert(decision.through.end(), command_line.begin(), command_line.end());
  return decision;
}

Result<ScopeDecision> decide_alone(const ScopeFacts& facts) {
  // Root is not bound to where it was started.
  if (facts.uid == 0 && !facts.levels.empty() && is_usable(facts.levels.back())) {
    return use(facts.levels.back());
  }
  if (const auto own = nearest(facts.levels)) return *own;
  const auto has = [&](auto property) { return std::ranges::any_of(facts.levels, property); };
  if (!has(&ScopeLevel::writable) && facts.uid == 0) {
    return fail(
        Code::kDenied,
        "root may not make a cgroup in " + first_of(facts) +
            " or above it; grant CAP_DAC_OVERRIDE, and in a container mount the cgroup file "
            "system writable (Kubernetes: a hostPath volume of /sys/fs/cgroup)");
  }
  if (!has(&ScopeLevel::writable)) {
    return fail(Code::kDenied,
                "no permission to make a cgroup in " + first_of(facts) +
                    " or above it; run `sudo plimsoll run …`, or have a part of the tree handed "
                    "to you: as root `mkdir " +
                    *facts.v2 + "/mine && chown -R $USER " + *facts.v2 + "/mine && echo $$ >" +
                    *facts.v2 + "/mine/cgroup.procs`");
  }
  const auto crowded = std::ranges::find_if(facts.levels, [](const ScopeLevel& level) {
    return level.writable && level.has_memory && level.others > 0;
  });
  if (crowded != facts.levels.end()) {
    const std::string path = *facts.v2 + "/" + crowded->path;
    return fail(Code::kConflict,
                "other processes live in /" + crowded->path +
                    ", and the kernel then allows no limited cgroup in it; move them into a child: "
                    "`mkdir " +
                    path + "/rest && for p in $(cat " + path +
                    "/cgroup.procs); do echo "
                    "$p >" +
                    path + "/rest/cgroup.procs; done`");
  }
  return fail(Code::kDenied, "the memory controller is not handed to " + first_of(facts) +
                                 "; as root, in each cgroup above it from " + *facts.v2 +
                                 " on: `echo +memory >cgroup.subtree_control`");
}

}  // namespace

Result<ScopeDecision> decide_scope(const ScopeFacts& facts,
                                   const std::vector<std::string>& command_line) {
  if (!facts.v2) {
    return fail(Code::kUnsupported, std::string("no cgroup v2 is mounted; ") + kUnifiedCure +
                                        ", or `mount -t cgroup2 none /sys/fs/cgroup`");
  }
  if (facts.memory_on_v1) {
    return fail(Code::kUnsupported,
                std::string("the memory controller is on cgroup v1; ") + kUnifiedCure);
  }
  return facts.systemd ? decide_with_systemd(facts, command_line) : decide_alone(facts);
}

}  // namespace plimsoll::agent
