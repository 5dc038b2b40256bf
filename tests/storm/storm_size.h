// SPDX-License-Identifier: Apache-2.0
// Sizes and lists as the storm tools take them on the command line. Pure; used by storm-load,
// storm-driver and their tests. A size is a whole number with an optional K, M, G or Ki, Mi, Gi:
// all of them mean powers of 1024 here.
#pragma once

#include <charconv>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::storm {

inline constexpr uint64_t kKiB = 1024;
inline constexpr uint64_t kMiB = 1024 * kKiB;
inline constexpr uint64_t kGiB = 1024 * kMiB;

inline std::optional<uint64_t> parse_size(std::string_view text) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || rest == text.data()) return std::nullopt;
  const std::string_view unit(rest, static_cast<size_t>(end - rest));
  uint64_t factor = 0;
  if (unit.empty()) factor = 1;
  if (unit == "K" || unit == "Ki") factor = kKiB;
  if (unit == "M" || unit == "Mi") factor = kMiB;
  if (unit == "G" || unit == "Gi") factor = kGiB;
  if (factor == 0 || number > UINT64_MAX / factor) return std::nullopt;
  return number * factor;
}

inline std::optional<uint64_t> parse_count(std::string_view text) {
  uint64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [rest, failure] = std::from_chars(text.data(), end, number);
  if (failure != std::errc{} || rest != end || text.empty()) return std::nullopt;
  return number;
}

inline std::vector<std::string> split_list(std::string_view text) {
  std::vector<std::string> parts;
  while (!text.empty()) {
    const size_t comma = text.find(',');
    const std::string_view part = text.substr(0, comma);
    if (!part.empty()) parts.emplace_back(part);
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  return parts;
}

}  // namespace plimsoll::storm
