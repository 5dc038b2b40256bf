// SPDX-License-Identifier: Apache-2.0
//
// cpu.stat: the CPU time that a cgroup has used, and how often its limit kept it from more. Read by
// the slow loop, and at each period of a throttled cgroup where there is no BPF.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::cgroup {

// Since the cgroup was made, what lives below it included.
struct CpuStat {
  Nanoseconds usage{};
  // Absent where the cgroup does not have the cpu controller.
  std::optional<std::uint64_t> periods;      // in which something ran
  std::optional<std::uint64_t> throttled;    // of these, that ended throttled
  std::optional<Nanoseconds> throttled_for;  // all CPUs together

  bool operator==(const CpuStat&) const = default;
};

// Lines of other names are skipped. kMalformed: no usage_usec, a wanted line without a number, or
// only some of the others.
Result<CpuStat> parse_cpu_stat(std::string_view text);

}  // namespace plimsoll::cgroup
