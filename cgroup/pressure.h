// SPDX-License-Identifier: Apache-2.0
//
// memory.pressure and its like (PSI): the share of time in which tasks waited. Read by the policy
// and by doctor.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::cgroup {

// Averages as ratios, 0 to 1 (the file has percent).
struct Stall {
  double avg10_ratio = 0;
  double avg60_ratio = 0;
  double avg300_ratio = 0;
  Nanoseconds total{};  // since the cgroup was made

  bool operator==(const Stall&) const = default;
};

struct Pressure {
  Stall some;                 // at least one task waited
  std::optional<Stall> full;  // all of them did; cpu.pressure has no such line before 5.13

  bool operator==(const Pressure&) const = default;
};

// Lines and keys of other names are skipped. kMalformed: no complete `some` line, or a value that
// is no number.
Result<Pressure> parse_pressure(std::string_view text);

}  // namespace plimsoll::cgroup
