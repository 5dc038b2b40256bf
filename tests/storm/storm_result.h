// SPDX-License-Identifier: Apache-2.0
// What one storm-load run found, and its JSON form: written by storm-load, read by storm-driver.
// `errors` counts everything the program saw go wrong: a failed or short call, a page that reads
// back wrong, a page that a populating call left out. A kill is not an error but `killed_children`
// or, where the program itself dies, no result at all.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace plimsoll::storm {

struct LoadResult {
  std::string program;
  uint64_t bytes = 0;
  uint64_t errors = 0;
  std::string first_error;
  double seconds = 0;         // start of main to the end of the verification, waits taken out
  double waited_seconds = 0;  // time the program only waited for a shrink
  double max_gap_ms = 0;      // longest time between two 1 MiB steps of one thread
  uint64_t killed_children = 0;
  std::optional<bool> shrink_seen;  // burst2 only: the limit came down before the second burst
  std::optional<double> stall_ms;   // supervised and killed: last progress to death
};

inline nlohmann::json to_json_value(const LoadResult& result) {
  nlohmann::json value = {
      {"program", result.program},       {"bytes", result.bytes},
      {"errors", result.errors},         {"first_error", result.first_error},
      {"seconds", result.seconds},       {"waited_seconds", result.waited_seconds},
      {"max_gap_ms", result.max_gap_ms}, {"killed_children", result.killed_children}};
  if (result.shrink_seen) value["shrink_seen"] = *result.shrink_seen;
  if (result.stall_ms) value["stall_ms"] = *result.stall_ms;
  return value;
}

// nullopt when the text is not a complete result: the program died before it wrote one.
inline std::optional<LoadResult> parse_load_result(std::string_view text) {
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (!value.is_object()) return std::nullopt;
  for (const char* key : {"bytes", "errors", "seconds", "max_gap_ms", "killed_children"}) {
    if (!value.contains(key) || !value[key].is_number()) return std::nullopt;
  }
  LoadResult result;
  result.bytes = value["bytes"].get<uint64_t>();
  result.errors = value["errors"].get<uint64_t>();
  result.seconds = value["seconds"].get<double>();
  result.max_gap_ms = value["max_gap_ms"].get<double>();
  result.killed_children = value["killed_children"].get<uint64_t>();
  if (value.contains("program") && value["program"].is_string()) {
    result.program = value["program"].get<std::string>();
  }
  if (value.contains("first_error") && value["first_error"].is_string()) {
    result.first_error = value["first_error"].get<std::string>();
  }
  if (value.contains("waited_seconds") && value["waited_seconds"].is_number()) {
    result.waited_seconds = value["waited_seconds"].get<double>();
  }
  if (value.contains("shrink_seen") && value["shrink_seen"].is_boolean()) {
    result.shrink_seen = value["shrink_seen"].get<bool>();
  }
  if (value.contains("stall_ms") && value["stall_ms"].is_number()) {
    result.stall_ms = value["stall_ms"].get<double>();
  }
  return result;
}

}  // namespace plimsoll::storm
