// SPDX-License-Identifier: Apache-2.0
#include "base/units.h"

#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <span>
#include <utility>

namespace plimsoll {
namespace {

struct Suffix {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array<Suffix, 9> kSizeSuffixes{{{"", 1},
                                               {"Ki", kKiB},
                                               {"Mi", kMiB},
                                               {"Gi", kGiB},
                                               {"Ti", 1024 * kGiB},
                                               {"k", 1'000},
                                               {"M", 1'000'000},
                                               {"G", 1'000'000'000},
                                               {"T", 1'000'000'000'000}}};
// In millionths, since a decimal number is not exact to the last of its digits.
constexpr std::array<Suffix, 2> kCpuSuffixes{{{"m", 1'000}, {"", 1'000'000}}};
constexpr std::array<Suffix, 4> kDurationSuffixes{
    {{"ms", 1'000'000}, {"s", 1'000'000'000}, {"m", 60'000'000'000}, {"h", 3'600'000'000'000}}};

constexpr std::uint64_t kLargestSize = std::numeric_limits<std::int64_t>::max();
constexpr std::uint64_t kLongestDuration = 10ULL * 365 * 24 * 3'600'000'000'000;

// A non-negative decimal number with one of `suffixes`, multiplied out. A whole number comes out
// exactly; one with a fraction has the 53 bits of a double.
Result<std::uint64_t> parse_number(std::string_view text, std::span<const Suffix> suffixes,
                                   std::uint64_t largest, std::string_view expected) {
  const auto malformed = [&](std::string_view why) {
    std::string message(1, '"');
    message.append(text).append("\" ").append(why).append("; expected ").append(expected);
    return fail(Code::kMalformed, std::move(message));
  };
  double number = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
  if (error != std::errc{} || std::signbit(number) || !std::isfinite(number)) {
    return malformed("is not a number that is 0 or more");
  }
  std::uint64_t whole = 0;
  const auto [whole_end, whole_error] = std::from_chars(text.data(), end, whole);
  const bool is_whole = whole_error == std::errc{} && whole_end == end;
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  for (const Suffix& suffix : suffixes) {
    if (suffix.name != unit) continue;
    if (is_whole) {
      if (whole > largest / suffix.factor) return malformed("is too large");
      return whole * suffix.factor;
    }
    const double value = number * static_cast<double>(suffix.factor);
    if (value >= static_cast<double>(largest)) return malformed("is too large");
    return static_cast<std::uint64_t>(value);
  }
  return malformed("has a unit that is not known");
}

// One decimal at most, none where it would be 0.
std::string short_number(double value) {
  std::array<char, 64> text{};
  const bool whole = std::abs(value - std::round(value)) < 0.05;
  std::snprintf(text.data(), text.size(), whole ? "%.0f" : "%.1f", value);
  return text.data();
}

}  // namespace

Result<Bytes> parse_bytes(std::string_view text) {
  return parse_number(text, kSizeSuffixes, kLargestSize, "a size such as 512Mi or 4Gi")
      .map([](std::uint64_t value) { return Bytes{value}; });
}

Result<Limit> parse_limit(std::string_view text) {
  if (text == "max") return kNoLimit;
  return parse_bytes(text).map(limit_of);
}

Result<MilliCpu> parse_cpus(std::string_view text) {
  return parse_number(text, kCpuSuffixes, kLargestSize, "a number of CPUs such as 250m, 0.5 or 2")
      .map([](std::uint64_t millionths) { return MilliCpu{(millionths + 500) / 1'000}; });
}

Result<Nanoseconds> parse_duration(std::string_view text) {
  return parse_number(text, kDurationSuffixes, kLongestDuration,
                      "a duration such as 500ms, 30s or 5m")
      .map([](std::uint64_t value) { return Nanoseconds{static_cast<std::int64_t>(value)}; });
}

std::string to_string(Bytes bytes) {
  constexpr std::array<std::string_view, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes.value);
  std::size_t unit = 0;
  while (value >= 1023.95 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  return short_number(value) + " " + std::string(kUnits.at(unit));
}

std::string to_string(Limit limit) {
  return limit.is_max() ? "max" : to_string(Bytes{limit.bytes});
}

std::string to_string(MilliCpu cpus) {
  return cpus.value % 1000 == 0 ? std::to_string(cpus.value / 1000)
                                : std::to_string(cpus.value) + "m";
}

std::string to_string(Nanoseconds duration) {
  const double seconds = std::chrono::duration<double>(duration).count();
  if (seconds >= 3600) return short_number(seconds / 3600) + " h";
  if (seconds >= 120) return short_number(seconds / 60) + " m";
  if (seconds >= 1) return short_number(seconds) + " s";
  if (seconds >= 1e-3) return short_number(seconds * 1e3) + " ms";
  return short_number(seconds * 1e6) + " us";
}

std::string in_seconds(Nanoseconds time) {
  const auto tenths = std::chrono::duration_cast<std::chrono::milliseconds>(time).count() / 100;
  return std::to_string(tenths / 10) + "." + std::to_string(tenths % 10) + " s";
}

}  // namespace plimsoll
