// SPDX-License-Identifier: Apache-2.0
//
// Units as types: a byte count cannot be passed where a cgroup id is meant, and "no limit" is a
// value of its own. Used by every folder; nothing here allocates except the to_string functions.
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

#include "base/result.h"

namespace plimsoll {

using Nanoseconds = std::chrono::nanoseconds;
// CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns(), as time since boot without suspend.
using MonotonicTime = std::chrono::time_point<std::chrono::steady_clock, Nanoseconds>;

// The inode number of a cgroup's directory, which is the id that BPF sees.
enum class CgroupId : std::uint64_t {};

// A number of bytes, 0 to 2^64-1. Subtraction stops at 0 and addition at the top, since both ends
// are what a limit or a usage means there.
struct Bytes {
  std::uint64_t value = 0;

  constexpr auto operator<=>(const Bytes&) const = default;
};

inline constexpr std::uint64_t kKiB = 1024;
inline constexpr std::uint64_t kMiB = 1024 * kKiB;
inline constexpr std::uint64_t kGiB = 1024 * kMiB;

constexpr Bytes operator+(Bytes a, Bytes b) {
  const std::uint64_t sum = a.value + b.value;
  return {sum < a.value ? std::numeric_limits<std::uint64_t>::max() : sum};
}
constexpr Bytes operator-(Bytes a, Bytes b) { return {a.value > b.value ? a.value - b.value : 0}; }
constexpr Bytes& operator+=(Bytes& a, Bytes b) { return a = a + b; }
constexpr Bytes& operator-=(Bytes& a, Bytes b) { return a = a - b; }

// `part` of `whole`, rounded down; a part over 1 may leave the range of whole numbers that a
// double holds exactly (2^53), which no memory size here reaches.
constexpr Bytes scaled(Bytes whole, double part) {
  return {static_cast<std::uint64_t>(static_cast<double>(whole.value) * part)};
}

// memory.max and its like: a number or "max". kNoLimit compares above every number.
struct Limit {
  std::uint64_t bytes = std::numeric_limits<std::uint64_t>::max();

  constexpr auto operator<=>(const Limit&) const = default;
  constexpr bool is_max() const { return bytes == std::numeric_limits<std::uint64_t>::max(); }
};
inline constexpr Limit kNoLimit{};

constexpr Limit limit_of(Bytes bytes) { return {bytes.value}; }

// Thousandths of a CPU, 0 to 2^63-1; sums and differences stop at the ends as those of Bytes do.
struct MilliCpu {
  std::uint64_t value = 0;

  constexpr auto operator<=>(const MilliCpu&) const = default;
};
constexpr MilliCpu operator+(MilliCpu a, MilliCpu b) {
  return {(Bytes{a.value} + Bytes{b.value}).value};
}
constexpr MilliCpu operator-(MilliCpu a, MilliCpu b) {
  return {a.value > b.value ? a.value - b.value : 0};
}
constexpr MilliCpu& operator+=(MilliCpu& a, MilliCpu b) { return a = a + b; }
constexpr MilliCpu& operator-=(MilliCpu& a, MilliCpu b) { return a = a - b; }

// Sizes as people and Kubernetes write them: a whole or decimal number and one of
// Ki Mi Gi Ti (powers of 1024), k M G T (powers of 1000), or nothing (bytes). 0 to 2^63-1.
// kMalformed says which part is wrong and what is allowed.
Result<Bytes> parse_bytes(std::string_view text);

// As parse_bytes, or "max".
Result<Limit> parse_limit(std::string_view text);

// CPUs as Kubernetes writes them: "250m", "2", "0.5". Up to 2^63-1 millionths, rounded to
// the nearest thousandth.
Result<MilliCpu> parse_cpus(std::string_view text);

// Durations: a whole or decimal number and one of ms s m h. 0 to 10 years.
Result<Nanoseconds> parse_duration(std::string_view text);

// "512 MiB", "1.5 GiB", "0 B": for people, rounded to at most one decimal.
std::string to_string(Bytes bytes);
std::string to_string(Limit limit);
// "250m", "2": as Kubernetes writes it.
std::string to_string(MilliCpu cpus);
// "1.5 s", "30 s", "250 ms", "5 m".
std::string to_string(Nanoseconds duration);

// "3.4 s": tenths, cut off.
std::string in_seconds(Nanoseconds time);

}  // namespace plimsoll
