// SPDX-License-Identifier: Apache-2.0
// Many runs as one answer: totals, medians, one row per cell. Pure; storm-driver --summarize reads
// the JSON lines that it wrote in the guest and prints what this makes of them.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "tests/storm/storm_judge.h"
#include "tests/storm/storm_record.h"

namespace plimsoll::storm {

// Median of with minus median of without: the longest that Plimsoll may put off the kill of a
// container that it gives nothing.
inline constexpr double kMaxKillDelayMs = 10.0;
// A median of few samples is noise of that size; what a hold would cost is still more than this.
inline constexpr size_t kEnoughKills = 9;
inline constexpr double kMaxKillDelayOfFewMs = 40.0;
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
  uint64_t timed_kills = 0;  // on the side that has fewer
  std::optional<double> median_stall_ms;
  std::optional<double> baseline_median_stall_ms;
};
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(CellSummary, cell, expect, runs, right, survived,
                                                baseline_runs, baseline_killed, unlimited_runs,
                                                unlimited_survived, grants, held, expired,
                                                program_errors, layers, median_seconds,
                                                unlimited_median_seconds, median_time_ratio,
                                                worst_gap_ms, timed_kills, median_stall_ms,
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
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE_WITH_DEFAULT(Summary, kernel, runs, survived, program_errors,
                                                baseline_runs, baseline_killed, unlimited_runs,
                                                unlimited_survived, median_time_ratio,
                                                worst_cell_time_ratio, wrong_runs, wrong_right,
                                                wrong_grants, wrong_holds, denied_kill_delay_ms,
                                                residue, layers, holds, faults, cells, ok)

namespace summing {

// The samples behind one cell's medians.
struct Samples {
  std::vector<double> with;
  std::vector<double> unlimited;
  std::vector<double> stall;
  std::vector<double> baseline_stall;
};

inline bool kills_without(const std::string& expect) { return expect == "survive"; }

inline void add_counts(Counts& to, const Counts& from) {
  for (const auto& [name, count] : from) to[name] += count;
}

inline void add_with(CellSummary& cell, Samples& samples, const RunRecord& run) {
  ++cell.runs;
  if (run.faults.empty()) ++cell.right;
  if (survived(run)) ++cell.survived;
  cell.program_errors += run.errors;
  if (survived(run) && run.seconds) samples.with.push_back(*run.seconds);
  if (run.stall_ms) samples.stall.push_back(*run.stall_ms);
  if (run.max_gap_ms) {
    cell.worst_gap_ms = std::max(cell.worst_gap_ms.value_or(0), *run.max_gap_ms);
  }
  if (!run.report) return;
  cell.grants += run.report->grants;
  cell.held += count_of(run.report->holds, "held");
  cell.expired += count_of(run.report->holds, "expired");
  add_counts(cell.layers, run.report->layers);
}

inline void add(CellSummary& cell, Samples& samples, const RunRecord& run) {
  cell.cell = run.cell;
  cell.expect = run.expect;
  if (run.mode == "plimsoll") {
    add_with(cell, samples, run);
  } else if (run.mode == "baseline") {
    ++cell.baseline_runs;
    if (run.killed) ++cell.baseline_killed;
    if (run.stall_ms) samples.baseline_stall.push_back(*run.stall_ms);
  } else {
    ++cell.unlimited_runs;
    if (survived(run)) ++cell.unlimited_survived;
    if (survived(run) && run.seconds) samples.unlimited.push_back(*run.seconds);
  }
}

inline void close_cell(CellSummary& cell, const Samples& samples, std::vector<double>& ratios) {
  cell.median_seconds = median(samples.with);
  cell.unlimited_median_seconds = median(samples.unlimited);
  cell.timed_kills = std::min(samples.stall.size(), samples.baseline_stall.size());
  cell.median_stall_ms = median(samples.stall);
  cell.baseline_median_stall_ms = median(samples.baseline_stall);
  if (!cell.unlimited_median_seconds || *cell.unlimited_median_seconds <= 0) return;
  std::vector<double> own;
  for (const double seconds : samples.with) own.push_back(seconds / *cell.unlimited_median_seconds);
  cell.median_time_ratio = median(own);
  ratios.insert(ratios.end(), own.begin(), own.end());
}

inline void add_totals(Summary& summary, const RunRecord& run) {
  summary.residue += run.residue.size();
  for (const std::string& fault : run.faults) {
    summary.faults.push_back("run " + std::to_string(run.run) + " " + run.cell + " " + run.mode +
                             ": " + fault);
  }
  if (!run.report || run.mode != "plimsoll") return;
  if (kills_without(run.expect)) add_counts(summary.layers, run.report->layers);
  if (kills_without(run.expect)) add_counts(summary.holds, run.report->holds);
  const bool denied = run.expect.rfind("denied", 0) == 0;
  if (denied || run.expect == "no-grant" || run.expect == "door-only") {
    summary.wrong_grants += judging::wrong_grants(run);
  }
  if (denied) summary.wrong_holds += count_of(run.report->holds, "held");
}

// A leak pauses by itself: when it stopped says nothing about when it was stopped.
inline void add_kill_delay(Summary& summary, const CellSummary& cell) {
  if (cell.timed_kills == 0 || cell.expect.rfind("leak", 0) == 0) return;
  const double delay = *cell.median_stall_ms - *cell.baseline_median_stall_ms;
  summary.denied_kill_delay_ms = std::max(summary.denied_kill_delay_ms.value_or(delay), delay);
  const bool enough = cell.timed_kills >= kEnoughKills;
  if (delay > (enough ? kMaxKillDelayMs : kMaxKillDelayOfFewMs)) {
    summary.faults.push_back(cell.cell + ": the kill is put off by " + std::to_string(delay) +
                             " ms (median of " + std::to_string(cell.timed_kills) + ")");
  }
}

inline void add_cell(Summary& summary, const CellSummary& cell) {
  if (!kills_without(cell.expect)) {
    summary.wrong_runs += cell.runs;
    summary.wrong_right += cell.right;
    add_kill_delay(summary, cell);
    return;
  }
  summary.runs += cell.runs;
  summary.survived += cell.survived;
  summary.program_errors += cell.program_errors;
  summary.baseline_runs += cell.baseline_runs;
  summary.baseline_killed += cell.baseline_killed;
  summary.unlimited_runs += cell.unlimited_runs;
  summary.unlimited_survived += cell.unlimited_survived;
  if (cell.median_time_ratio) {
    summary.worst_cell_time_ratio =
        std::max(summary.worst_cell_time_ratio.value_or(0), *cell.median_time_ratio);
  }
}

}  // namespace summing

// `complete`: the driver wrote its closing line, so no run is missing.
inline Summary summarize(const std::vector<RunRecord>& runs, const std::string& kernel,
                         bool complete) {
  Summary summary;
  summary.kernel = kernel;
  std::map<std::string, CellSummary> cells;
  std::map<std::string, summing::Samples> samples;
  for (const RunRecord& run : runs) {
    summing::add(cells[run.cell], samples[run.cell], run);
    summing::add_totals(summary, run);
  }
  std::vector<double> ratios;
  for (auto& [name, cell] : cells) {
    summing::close_cell(cell, samples[name], ratios);
    summing::add_cell(summary, cell);
    summary.cells.push_back(cell);
  }
  summary.median_time_ratio = median(ratios);
  if (!complete) summary.faults.push_back("the driver did not finish: runs are missing");
  if (runs.empty()) summary.faults.push_back("no runs");
  if (summary.median_time_ratio.value_or(0) > kMaxTimeRatio) {
    summary.faults.push_back("the median run takes more than 1.25 times as long as without limit");
  }
  summary.ok = summary.faults.empty();
  return summary;
}

// For people: a row per cell, the totals, the first faults. In storm_driver_table.cc.
std::string table_of(const Summary& summary);

}  // namespace plimsoll::storm
