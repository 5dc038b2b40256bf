// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll doctor`: what this machine can do, what is missing, and the cure. Facts first, then a
// pure report; the exit status is for scripts.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/commands/privileges.h"
#include "agent/commands/scope.h"
#include "base/units.h"
#include "bpf/features.h"
#include "bpf/memory_programs.h"
#include "cgroup/mounts.h"

namespace plimsoll::agent {

enum class Psi { kOn, kOff, kNotBuiltIn };

// The programs themselves, loaded and attached for a moment with nothing to watch.
struct TrialLoad {
  bpf::Tier tier = bpf::Tier::kA;
  bpf::Answer loaded;

  bool operator==(const TrialLoad&) const = default;
};

struct DoctorFacts {
  bpf::Features features;
  std::vector<TrialLoad>
      trials;                 // the tiers that `features` allow, best first, up to one that loads
  bpf::Answer exec_programs;  // those of announced commands, tried in the same way
  Privileges privileges;
  ScopeFacts scope;
  // Of the top of the v2 tree; absent without one.
  bool memory_controller = false;
  bool top_writable = false;
  // Of some cgroup that has limits; absent: there is none to look at.
  std::optional<bool> has_reclaim;
  std::optional<bool> has_peak;
  std::optional<bool> has_kill;
  bool kubelet = false;  // a kubepods cgroup is there
  Psi psi = Psi::kNotBuiltIn;
  std::optional<Bytes> swap;
  std::string preemption;  // "voluntary", "full"…; empty: not readable
  std::string lockdown;    // "none", "integrity", "confidentiality"; empty: not readable

  bool operator==(const DoctorFacts&) const = default;
};

enum class Status { kOk, kDegraded, kMissing };
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

struct DoctorReport {
  std::optional<bpf::Tier> tier;  // absent: nothing works
  int exit_status = 2;            // 0 tier A, 1 a lower one, 2 nothing works
  std::string guarantee;
  std::vector<Finding> findings;

  bool operator==(const DoctorReport&) const = default;
};

struct DoctorOptions {
  bool json = false;
  bool colour = false;  // for text
};

Result<DoctorFacts> read_doctor_facts();
DoctorReport make_report(const DoctorFacts& facts);
std::string to_text(const DoctorReport& report, bool colour);
std::string to_json(const DoctorReport& report, const DoctorFacts& facts);  // one line

// Returns the exit status.
int doctor_main(const DoctorOptions& options, std::ostream& out);

}  // namespace plimsoll::agent
