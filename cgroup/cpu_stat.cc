// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cpu_stat.h"

#include <array>
#include <cstddef>
#include <string>

#include "cgroup/text.h"

namespace plimsoll::cgroup {
namespace {

constexpr std::array<std::string_view, 4> kNames{"usage_usec", "nr_periods", "nr_throttled",
                                                 "throttled_usec"};
// In microseconds, 292,000 years.
constexpr std::uint64_t kMost = std::uint64_t{9'223'372'036'854'775};

Nanoseconds time_of(std::uint64_t microseconds) {
  return std::chrono::microseconds(static_cast<std::int64_t>(microseconds));
}

}  // namespace

Result<CpuStat> parse_cpu_stat(std::string_view text) {
  std::array<std::optional<std::uint64_t>, kNames.size()> values{};
  while (const auto line = next_line(text)) {
    std::string_view words = *line;
    const auto name = next_word(words);
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      if (name != kNames[i]) continue;
      const auto word = next_word(words);
      values[i] = word ? parse_unsigned(*word) : std::nullopt;
      if (!values[i] || *values[i] > kMost) {
        return fail(Code::kMalformed, "cpu.stat: no number in " + excerpt(*line));
      }
    }
  }
  const auto& [usage, periods, throttled, throttled_for] = values;
  if (!usage) return fail(Code::kMalformed, "cpu.stat: no line usage_usec");
  if (periods.has_value() != throttled.has_value() ||
      periods.has_value() != throttled_for.has_value()) {
    return fail(Code::kMalformed, "cpu.stat: not all of nr_periods, nr_throttled, throttled_usec");
  }
  CpuStat stat{.usage = time_of(*usage), .periods = periods, .throttled = throttled};
  if (throttled_for) stat.throttled_for = time_of(*throttled_for);
  return stat;
}

}  // namespace plimsoll::cgroup
