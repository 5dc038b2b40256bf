// SPDX-License-Identifier: Apache-2.0
//
// DoctorFacts: what doctor looks at, all at once, and judges nothing of.
#pragma once

#include <cstddef>
#include <optional>
#include <string>

#include "agent/commands/privileges.h"
#include "agent/commands/scope.h"
#include "base/result.h"
#include "base/units.h"
#include "bpf/trial_load.h"

namespace plimsoll::agent {

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

// `cgroup_root`: where the agent would look; empty: where cgroup v2 is mounted. Takes some tenths
// of a second, since BPF programs are loaded, and leaves nothing behind.
Result<DoctorFacts> read_doctor_facts(const std::string& cgroup_root = {});

}  // namespace plimsoll::agent
