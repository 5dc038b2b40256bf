// SPDX-License-Identifier: Apache-2.0
// One run of one cell, flat, as it is written to a JSON line by storm-driver in the guest and read
// back for the summary on the host. What a mode cannot know is absent.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nlohmann {
template <typename T>
struct adl_serializer<std::optional<T>> {
  static void to_json(json& value, const std::optional<T>& from) {
    value = from ? json(*from) : json(nullptr);
  }
  static void from_json(const json& value, std::optional<T>& to) {
    to = value.is_null() ? std::nullopt : std::optional<T>(value.get<T>());
  }
};
}  // namespace nlohmann

namespace plimsoll::storm {

using Counts = std::map<std::string, uint64_t>;

// What `plimsoll run --report` said.
struct Report {
  std::string tier;
  std::string reason;
  uint64_t peak_bytes = 0;
  uint64_t final_limit_bytes = 0;
  uint64_t highest_limit_bytes = 0;  // of all grants
  uint64_t oom_kills = 0;
  uint64_t grants = 0;
  uint64_t shrinks = 0;
  Counts layers;  // grants by the layer that caught them
  Counts holds;
  Counts denials;
  Counts events;
  double worst_reaction_us = 0;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Report, tier, reason, peak_bytes, final_limit_bytes,
                                                highest_limit_bytes, oom_kills, grants, shrinks,
                                                layers, holds, denials, events, worst_reaction_us)

struct RunRecord {
  uint64_t run = 0;
  std::string cell;
  std::string program;
  std::string thp;
  std::string mode;    // baseline, plimsoll, unlimited
  std::string expect;  // what the cell is for; see storm_cell.h
  uint64_t limit_bytes = 0;
  uint64_t ceiling_bytes = 0;
  uint64_t load_bytes = 0;
  uint64_t repetition = 0;

  bool killed = false;  // the kernel's OOM killer struck during the run
  uint64_t oom_kills = 0;
  std::optional<int> exit_code;
  std::optional<int> signal;
  bool timed_out = false;
  bool result_written = false;
  uint64_t errors = 0;
  std::string first_error;
  std::optional<double> seconds;  // what the program took by its own clock, without waits
  double wall_seconds = 0;        // what the command took, the start of Plimsoll included
  std::optional<double> max_gap_ms;
  std::optional<double> stall_ms;  // supervised: from the last progress to the death
  std::optional<bool> shrink_seen;
  std::optional<uint64_t> limit_after_bytes;  // of a parent that binds
  std::vector<std::string> residue;           // cgroups that the run left behind
  std::optional<Report> report;
  std::string output_tail;  // last words of a run that failed

  std::vector<std::string> faults;  // empty: the run did what its cell expects
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(RunRecord, run, cell, program, thp, mode, expect,
                                                limit_bytes, ceiling_bytes, load_bytes, repetition,
                                                killed, oom_kills, exit_code, signal, timed_out,
                                                result_written, errors, first_error, seconds,
                                                wall_seconds, max_gap_ms, stall_ms, shrink_seen,
                                                limit_after_bytes, residue, report, output_tail,
                                                faults)

// It lived, to the end, and saw nothing wrong.
inline bool survived(const RunRecord& run) {
  return !run.killed && !run.timed_out && run.exit_code == 0 && run.result_written &&
         run.errors == 0;
}

inline std::optional<RunRecord> parse_record(std::string_view line) {
  const nlohmann::json value = nlohmann::json::parse(line, nullptr, false);
  if (!value.is_object() || !value.contains("run") || !value.contains("cell")) return std::nullopt;
  try {
    return value.get<RunRecord>();
  } catch (const nlohmann::json::exception&) {  // the library's, for a field of another type
    return std::nullopt;
  }
}

inline Counts parse_counts(const nlohmann::json& value, const char* key) {
  Counts counts;
  if (!value.contains(key) || !value[key].is_object()) return counts;
  for (const auto& [name, count] : value[key].items()) {
    if (count.is_number_unsigned()) counts[name] = count.get<uint64_t>();
  }
  return counts;
}

// nullopt when the text is not a report: Plimsoll died before it wrote one, or writes another form.
inline std::optional<Report> parse_report(std::string_view text) {
  const nlohmann::json value = nlohmann::json::parse(text, nullptr, false);
  if (!value.is_object()) return std::nullopt;
  for (const char* key : {"grants_total", "shrinks_total", "oom_kills"}) {
    if (!value.contains(key) || !value[key].is_number_unsigned()) return std::nullopt;
  }
  if (!value.contains("grants") || !value["grants"].is_array()) return std::nullopt;
  Report report;
  report.grants = value["grants_total"].get<uint64_t>();
  report.shrinks = value["shrinks_total"].get<uint64_t>();
  report.oom_kills = value["oom_kills"].get<uint64_t>();
  report.holds = parse_counts(value, "holds");
  report.denials = parse_counts(value, "denials");
  report.events = parse_counts(value, "events");
  const auto number = [](const nlohmann::json& from, const char* key) {
    return from.contains(key) && from[key].is_number_unsigned() ? from[key].get<uint64_t>() : 0;
  };
  const auto word = [](const nlohmann::json& from, const char* key) {
    return from.contains(key) && from[key].is_string() ? from[key].get<std::string>() : "";
  };
  report.peak_bytes = number(value, "peak_bytes");
  report.final_limit_bytes = number(value, "final_limit_bytes");
  report.tier = word(value, "tier");
  report.reason = word(value, "reason");
  for (const nlohmann::json& grant : value["grants"]) {
    if (!grant.is_object()) return std::nullopt;
    ++report.layers[word(grant, "layer")];
    report.highest_limit_bytes = std::max(report.highest_limit_bytes, number(grant, "to_bytes"));
    if (grant.contains("reaction_us") && grant["reaction_us"].is_number()) {
      report.worst_reaction_us =
          std::max(report.worst_reaction_us, grant["reaction_us"].get<double>());
    }
  }
  return report;
}

}  // namespace plimsoll::storm
