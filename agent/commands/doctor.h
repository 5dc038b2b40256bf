// SPDX-License-Identifier: Apache-2.0
//
// `plimsoll doctor`: what this process could do here as the node's agent and as `plimsoll run`,
// what is missing, and the cure. Facts first, then a pure report; the exit status is for scripts.
#pragma once

#include <iosfwd>
#include <optional>
#include <string>

#include "agent/commands/doctor_facts.h"
#include "agent/commands/doctor_report.h"

namespace plimsoll::agent {

struct DoctorOptions {
  std::optional<Role> role;  // absent: both are looked at, and one that works is enough
  std::string cgroup_root;   // the agent's; empty: where cgroup v2 is mounted
  bool json = false;
  bool colour = false;  // for text
};

std::string to_text(const DoctorReport& report, bool colour);
std::string to_json(const DoctorReport& report, const DoctorFacts& facts);  // one line

// Returns the exit status.
int doctor_main(const DoctorOptions& options, std::ostream& out);

}  // namespace plimsoll::agent
