// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll doctor`: what this process could do here as the node's agent and as `plimsoll run`,
// what is missing, and the cure. Facts first, then a pure report; the exit status is for scripts.
#pragma once

#include <cstddef>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/commands/privileges.h"
#include "agent/commands/scope.h"
#include "base/units.h"
#include "bpf/memory_programs.h"
#include "bpf/trial_load.h"
#include "cgroup/mounts.h"

namespace plimsoll::agent {

// What one may want of this place. Each needs cgroups that it can write: the agent those of pods,
// at the root that it is given, `run` one that it can make a new one in.
enum class Role { kAgent, kRun };
std::string_view to_string(Role role);  // "agent", "run"

enum class Psi { kOn, kOff, kNotBuiltIn };

// The pods' cgroups as the agent would find them.
struct AgentPlace {
  std::optional<std::string> root;  // the directory; absent: none was named and no v2 is mounted
  std::string root_refused;         // why it cannot be opened; empty: it can
  bool memory_controller = false;   // of its top
  bool kubelet = false;             // a kubepods cgroup is there
  std::size_t pods = 0;
  // Why a limit below kubepods cannot be opened for writing; empty: it can, or there is none.
  std::string limits_refused;

  bool operator==(const AgentPlace&) const = default;
};

struct DoctorFacts {
  std::string release;  // as uname -r
  bpf::TrialLoad bpf;
  Privileges privileges;
  ScopeFacts scope;
  AgentPlace agent;
  // Of the top of the v2 tree; absent without one.
  bool memory_controller = false;
  bool top_writable = false;
  // Of some cgroup that has limits; absent: there is none to look at.
  std::optional<bool> has_reclaim;
  std::optional<bool> has_peak;
  std::optional<bool> has_kill;
  Psi psi = Psi::kNotBuiltIn;
  std::optional<Bytes> swap;
  std::string preemption;  // "voluntary", "full"…; empty: not readable
  std::string lockdown;    // "none", "integrity", "confidentiality"; empty: not readable

  bool operator==(const DoctorFacts&) const = default;
};

enum class Status {
  kOk,
  kDegraded,
  kMissing,
  kNotHere,  // only the role that this place is not for would need it
};
std::string_view to_string(Status status);

struct Finding {
  std::string id;       // stable
  std::string section;  // "kernel", "hooks", "cgroups", "privileges", "node"
  Status status = Status::kOk;
  std::string what;
  std::string text;
  std::string cure;  // when it is not kOk and there is one

  bool operator==(const Finding&) const = default;
};

struct RoleResult {
  Role role = Role::kAgent;
  std::optional<bpf::Tier> tier;  // absent: it does not work here
  std::string why;                // then

  bool operator==(const RoleResult&) const = default;
};

struct DoctorReport {
  std::vector<RoleResult> roles;  // those that were asked for, the agent first
  std::optional<bpf::Tier> tier;  // the best of theirs; absent: none of them works
  int exit_status = 2;            // 0 tier A, 1 a lower one, 2 none works
  std::string guarantee;
  std::vector<Finding> findings;

  bool operator==(const DoctorReport&) const = default;
};

struct DoctorOptions {
  std::optional<Role> role;  // absent: both are looked at, and one that works is enough
  std::string cgroup_root;   // the agent's; empty: where cgroup v2 is mounted
  bool json = false;
  bool colour = false;  // for text
};

// `cgroup_root` as in the options.
Result<DoctorFacts> read_doctor_facts(const std::string& cgroup_root = {});
DoctorReport make_report(const DoctorFacts& facts, std::optional<Role> role = std::nullopt);
std::string to_text(const DoctorReport& report, bool colour);
std::string to_json(const DoctorReport& report, const DoctorFacts& facts);  // one line

// Returns the exit status.
int doctor_main(const DoctorOptions& options, std::ostream& out);

}  // namespace plimsoll::agent
