// SPDX-License-Identifier: Apache-2.0
//
// cpu.max: how much CPU time a cgroup may use in each period. The half without error texts neither
// allocates nor fails, for the CPU thread.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "cgroup/value.h"

namespace plimsoll::cgroup {

struct CpuMax {
  std::optional<std::chrono::microseconds> quota;  // per period; absent: "max", no limit
  std::chrono::microseconds period{100'000};

  bool operator==(const CpuMax&) const = default;
};

// The kernel takes no quota and no period that is shorter.
inline constexpr std::chrono::microseconds kLeastQuota{1'000};

// The limit as CPUs, rounded to the nearest thousandth; absent without a limit.
std::optional<MilliCpu> cpus_of(const CpuMax& max) noexcept;
// With this period: the quota for so many CPUs, no less than the kernel takes.
CpuMax cpu_max_of(MilliCpu cpus, std::chrono::microseconds period) noexcept;

// "max 100000\n", "50000 100000\n". kMalformed: anything else, or a period of 0.
Result<CpuMax> parse_cpu_max(std::string_view text);
// cpu.max.burst: what of unused quota may be carried over. kMalformed: not a number of
// microseconds.
Result<std::chrono::microseconds> parse_cpu_burst(std::string_view text);
// The same without error texts.
bool parse_cpu_max_value(std::string_view text, CpuMax& max) noexcept;
std::optional<std::chrono::microseconds> parse_cpu_burst_value(std::string_view text) noexcept;
// Writes it into `buffer` as the file has it and returns what to write.
std::string_view format_cpu_max(const CpuMax& max, ValueBuffer& buffer) noexcept;

}  // namespace plimsoll::cgroup
