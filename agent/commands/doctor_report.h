// SPDX-License-Identifier: Apache-2.0
//
// DoctorReport: what doctor finds in the facts, for each role, with the cure of what is missing.
// Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/commands/doctor_facts.h"
#include "bpf/memory_programs.h"

namespace plimsoll::agent {

// What one may want of this place. Each needs cgroups that it can write: the agent those of pods,
// at the root that it is given, `run` one that it can make a new one in.
enum class Role { kAgent, kRun };
std::string_view to_string(Role role);  // "agent", "run"

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

// `role`: judge only this one.
DoctorReport make_report(const DoctorFacts& facts, std::optional<Role> role = std::nullopt);

}  // namespace plimsoll::agent
