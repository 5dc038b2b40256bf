// SPDX-License-Identifier: Apache-2.0
#include "cgroup/pressure.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <system_error>

#include "cgroup/text.h"

namespace plimsoll::cgroup {
namespace {

// Rounding in the kernel can print a little more than 100: at most 1 leaves here.
std::optional<double> parse_percent(std::string_view text) {
  double percent = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, percent, std::chars_format::fixed);
  if (error != std::errc{} || stop != end || !std::isfinite(percent) || std::signbit(percent)) {
    return std::nullopt;
  }
  return std::min(percent / 100, 1.0);
}

std::optional<Nanoseconds> parse_microseconds(std::string_view text) {
  const auto number = parse_unsigned(text);
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max() / 1000;
  if (!number || *number > kMost) return std::nullopt;
  return std::chrono::microseconds(*number);
}

// The words after "some" or "full"; nullopt when one of the four is missing or is no number.
std::optional<Stall> parse_stall(std::string_view words) {
  std::optional<double> avg10;
  std::optional<double> avg60;
  std::optional<double> avg300;
  std::optional<Nanoseconds> total;
  while (const auto word = next_word(words)) {
    const std::size_t equals = word->find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view name = word->substr(0, equals);
    const std::string_view value = word->substr(equals + 1);
    if (name == "avg10") avg10 = parse_percent(value);
    if (name == "avg60") avg60 = parse_percent(value);
    if (name == "avg300") avg300 = parse_percent(value);
    if (name == "total") total = parse_microseconds(value);
  }
  if (!avg10 || !avg60 || !avg300 || !total) return std::nullopt;
  return Stall{*avg10, *avg60, *avg300, *total};
}

}  // namespace

Result<Pressure> parse_pressure(std::string_view text) {
  std::optional<Stall> some;
  std::optional<Stall> full;
  while (const auto line = next_line(text)) {
    std::string_view words = *line;
    const auto kind = next_word(words);
    if (kind != "some" && kind != "full") continue;
    const auto stall = parse_stall(words);
    if (!stall) return fail(Code::kMalformed, "pressure: incomplete line " + excerpt(*line));
    (kind == "some" ? some : full) = stall;
  }
  if (!some) return fail(Code::kMalformed, "pressure: no line \"some\"");
  return Pressure{*some, full};
}

}  // namespace plimsoll::cgroup
