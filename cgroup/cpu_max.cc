// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cpu_max.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstring>

#include "cgroup/text.h"

namespace plimsoll::cgroup {
namespace {

using std::chrono::microseconds;

// Far above what the kernel takes (2^44 nanoseconds), and small enough to calculate with.
constexpr std::uint64_t kMost = std::uint64_t{1} << 50;

std::optional<microseconds> parse_time(std::optional<std::string_view> word) {
  const auto number = word ? parse_unsigned(*word) : std::nullopt;
  if (!number || *number > kMost) return std::nullopt;
  return microseconds(static_cast<std::int64_t>(*number));
}

}  // namespace

std::optional<MilliCpu> cpus_of(const CpuMax& max) noexcept {
  if (!max.quota || max.period.count() <= 0) return std::nullopt;
  const auto quota = static_cast<std::uint64_t>(max.quota->count());
  const auto period = static_cast<std::uint64_t>(max.period.count());
  return MilliCpu{(quota * 1000 + period / 2) / period};
}

CpuMax cpu_max_of(MilliCpu cpus, microseconds period) noexcept {
  const std::uint64_t most = kMost / 1000 * 1000;
  const auto length = static_cast<std::uint64_t>(std::max<std::int64_t>(period.count(), 1));
  const std::uint64_t quota = cpus.value > most / length ? most / 1000 : cpus.value * length / 1000;
  return {.quota = std::max(kLeastQuota, microseconds(static_cast<std::int64_t>(quota))),
          .period = period};
}

bool parse_cpu_max_value(std::string_view text, CpuMax& max) noexcept {
  std::string_view words = text.substr(0, text.find('\n'));
  const auto quota = next_word(words);
  const auto period = parse_time(next_word(words));
  if (!quota || !period || period->count() == 0 || next_word(words)) return false;
  CpuMax read{.period = *period};
  if (*quota != "max") {
    read.quota = parse_time(quota);
    if (!read.quota) return false;
  }
  max = read;
  return true;
}

Result<CpuMax> parse_cpu_max(std::string_view text) {
  CpuMax max;
  if (!parse_cpu_max_value(text, max)) {
    return fail(Code::kMalformed,
                "cpu.max: no quota and period in " + excerpt(text.substr(0, text.find('\n'))));
  }
  return max;
}

std::optional<microseconds> parse_cpu_burst_value(std::string_view text) noexcept {
  return parse_time(text.substr(0, text.find('\n')));
}

Result<microseconds> parse_cpu_burst(std::string_view text) {
  const auto burst = parse_cpu_burst_value(text);
  if (!burst) {
    return fail(Code::kMalformed,
                "cpu.max.burst: not a time: " + excerpt(text.substr(0, text.find('\n'))));
  }
  return *burst;
}

std::string_view format_cpu_max(const CpuMax& max, ValueBuffer& buffer) noexcept {
  char* const last = buffer.data() + buffer.size();
  char* end = buffer.data();
  // Cannot fail: two numbers of at most 50 bits are 16 digits each, and no period is that long.
  if (max.quota) {
    end = std::to_chars(end, last, max.quota->count()).ptr;
  } else {
    std::memcpy(end, "max", 3);
    end += 3;
  }
  *end++ = ' ';
  end = std::to_chars(end, last - 1, std::min<std::int64_t>(max.period.count(), 999'999'999)).ptr;
  *end++ = '\n';
  return {buffer.data(), static_cast<std::size_t>(end - buffer.data())};
}

}  // namespace plimsoll::cgroup
