// SPDX-License-Identifier: Apache-2.0
// Many runs as one answer: totals, medians, one row per cell. Pure; storm-driver --summarize reads
// the JSON lines that it wrote in the guest and prints what this makes of them.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/storm/storm_record.h"

namespace plimsoll::storm {

// The longest that Plimsoll may put off the kill of a container that it gives nothing.
inline constexpr double kMaxKillDelayMs = 10.0;
inline constexpr double kMaxTimeRatio = 1.25;

inline std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  if (values.size() % 2 == 1) return values[middle];
  return (values[middle - 1] + values[middle]) / 2;
}

struct CellSummary {
  std::string cell;
  std::string expect;
  uint64_t runs = 0;  // with Plimsoll
  uint64_t right = 0;
  uint64_t survived = 0;
  uint64_t baseline_runs = 0;
  uint64_t baseline_killed = 0;
  uint64_t unlimited_runs = 0;
  uint64_t unlimited_survived = 0;
  uint64_t grants = 0;
  uint64_t held = 0;
  uint64_t expired = 0;
  uint64_t program_errors = 0;
  Counts layers;
  std::optional<double> median_seconds;
  std::optional<double> unlimited_median_seconds;
  std::optional<double> median_time_ratio;
  std::optional<double> worst_gap_ms;
  std::optional<double> median_stall_ms;
  std::optional<double> baseline_median_stall_ms;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(
    CellSummary, cell, expect, runs, right, survived, baseline_runs, baseline_killed,
    unlimited_runs, unlimited_survived, grants, held, expired, program_errors, layers,
    median_seconds, unlimited_median_seconds, median_time_ratio, worst_gap_ms, median_stall_ms,
    baseline_median_stall_ms)

struct Summary {
  std::string kernel;
  uint64_t runs = 0;  // with Plimsoll, in the cells that kill without it
  uint64_t survived = 0;
  uint64_t program_errors = 0;
  uint64_t baseline_runs = 0;  // without Plimsoll, in the same cells
  uint64_t baseline_killed = 0;
  uint64_t unlimited_runs = 0;
  uint64_t unlimited_survived = 0;
  std::optional<double> median_time_ratio;
  std::optional<double> worst_cell_time_ratio;
  uint64_t wrong_runs = 0;  // with Plimsoll, in the cells where growing would be wrong
  uint64_t wrong_right = 0;
  uint64_t wrong_grants = 0;
  uint64_t wrong_holds = 0;
  std::optional<double> denied_kill_delay_ms;  // the worst of the denied cells' medians
  uint64_t residue = 0;
  Counts layers;
  Counts holds;
  std::vector<std::string> faults;
  std::vector<CellSummary> cells;
  bool ok = false;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(
    Summary, kernel, runs, survived, program_errors, baseline_runs, baseline_killed, unlimited_runs,
    unlimited_survived, median_time_ratio, worst_cell_time_ratio, wrong_runs, wrong_right,
    wrong_grants, wrong_holds, denied_kill_delay_ms, residue, layers, holds, faults, cells, ok)

// `complete`: the driver wrote its closing line, so no run is missing.
Summary summarize(const std::vector<RunRecord>& runs, const std::string& kernel, bool complete);
std::string table_of(const Summary& summary);

}  // namespace plimsoll::storm
