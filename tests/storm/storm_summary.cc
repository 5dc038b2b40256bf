// SPDX-License-Identifier: Apache-2.0
#include "tests/storm/storm_summary.h"

#include <algorithm>
#include <cstdio>

#include "tests/storm/storm_judge.h"

namespace plimsoll::storm {
namespace {

// The samples behind one cell's medians.
struct Samples {
  std::vector<double> with;
  std::vector<double> unlimited;
  std::vector<double> stall;
  std::vector<double> baseline_stall;
};

bool kills_without(const std::string& expect) { return expect == "survive"; }

void add_counts(Counts& to, const Counts& from) {
  for (const auto& [name, count] : from) to[name] += count;
}

void add_with(CellSummary& cell, Samples& samples, const RunRecord& run) {
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

void add(CellSummary& cell, Samples& samples, const RunRecord& run) {
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

void close_cell(CellSummary& cell, const Samples& samples, std::vector<double>& ratios) {
  cell.median_seconds = median(samples.with);
  cell.unlimited_median_seconds = median(samples.unlimited);
  cell.median_stall_ms = median(samples.stall);
  cell.baseline_median_stall_ms = median(samples.baseline_stall);
  if (!cell.unlimited_median_seconds || *cell.unlimited_median_seconds <= 0) return;
  std::vector<double> own;
  for (const double seconds : samples.with) own.push_back(seconds / *cell.unlimited_median_seconds);
  cell.median_time_ratio = median(own);
  ratios.insert(ratios.end(), own.begin(), own.end());
}

void add_totals(Summary& summary, const RunRecord& run) {
  summary.residue += run.residue.size();
  for (const std::string& fault : run.faults) {
    summary.faults.push_back("run " + std::to_string(run.run) + " " + run.cell + " " + run.mode +
                             ": " + fault);
  }
  if (!run.report || run.mode != "plimsoll") return;
  if (kills_without(run.expect)) add_counts(summary.layers, run.report->layers);
  if (kills_without(run.expect)) add_counts(summary.holds, run.report->holds);
  const bool denied = run.expect.rfind("denied", 0) == 0;
  if (denied || run.expect == "no-grant") summary.wrong_grants += run.report->grants;
  if (denied) summary.wrong_holds += count_of(run.report->holds, "held");
}

void add_cell(Summary& summary, const CellSummary& cell) {
  if (!kills_without(cell.expect)) {
    summary.wrong_runs += cell.runs;
    summary.wrong_right += cell.right;
    if (cell.median_stall_ms && cell.baseline_median_stall_ms && cell.expect != "leak-rule") {
      const double delay = *cell.median_stall_ms - *cell.baseline_median_stall_ms;
      summary.denied_kill_delay_ms = std::max(summary.denied_kill_delay_ms.value_or(delay), delay);
    }
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

std::string figure(const std::optional<double>& value, const char* format) {
  if (!value) return "-";
  char text[32];
  snprintf(text, sizeof(text), format, *value);
  return text;
}

std::string layers_of(const Counts& layers) {
  std::string text;
  for (const auto& [name, count] : layers) {
    text += (text.empty() ? "" : ", ") + name + " " + std::to_string(count);
  }
  return text.empty() ? "-" : text;
}

std::string share(uint64_t part, uint64_t all) {
  return all == 0 ? "-" : std::to_string(part) + "/" + std::to_string(all);
}

}  // namespace

Summary summarize(const std::vector<RunRecord>& runs, const std::string& kernel, bool complete) {
  Summary summary;
  summary.kernel = kernel;
  std::map<std::string, CellSummary> cells;
  std::map<std::string, Samples> samples;
  for (const RunRecord& run : runs) {
    add(cells[run.cell], samples[run.cell], run);
    add_totals(summary, run);
  }
  std::vector<double> ratios;
  for (auto& [name, cell] : cells) {
    close_cell(cell, samples[name], ratios);
    add_cell(summary, cell);
    summary.cells.push_back(cell);
  }
  summary.median_time_ratio = median(ratios);
  if (!complete) summary.faults.push_back("the driver did not finish: runs are missing");
  if (runs.empty()) summary.faults.push_back("no runs");
  if (summary.median_time_ratio.value_or(0) > kMaxTimeRatio) {
    summary.faults.push_back("the median run takes more than 1.25 times as long as without limit");
  }
  if (summary.denied_kill_delay_ms.value_or(0) > kMaxKillDelayMs) {
    summary.faults.push_back("the kill of a denied program is put off by more than 10 ms");
  }
  summary.ok = summary.faults.empty();
  return summary;
}

std::string table_of(const Summary& summary) {
  std::string text;
  char line[256];
  const auto row = [&](const char* cell, const std::string& lived, const std::string& without,
                       const std::string& ratio, const std::string& grants,
                       const std::string& held, const std::string& stall,
                       const std::string& layers) {
    snprintf(line, sizeof(line), "%-24s %9s %9s %7s %7s %6s %13s  %s\n", cell, lived.c_str(),
             without.c_str(), ratio.c_str(), grants.c_str(), held.c_str(), stall.c_str(),
             layers.c_str());
    text += line;
  };
  row("program/THP/limit MiB", "right", "killed", "time", "grants", "held", "kill ms", "caught by");
  row("", "with", "without", "ratio", "per run", "", "with/without", "");
  for (const CellSummary& cell : summary.cells) {
    const std::optional<double> grants =
        cell.runs == 0 ? std::nullopt
                       : std::optional(static_cast<double>(cell.grants) /
                                       static_cast<double>(cell.runs));
    const std::string stall = !cell.median_stall_ms && !cell.baseline_median_stall_ms
                                  ? "-"
                                  : figure(cell.median_stall_ms, "%.0f") + "/" +
                                        figure(cell.baseline_median_stall_ms, "%.0f");
    row(cell.cell.c_str(), share(cell.right, cell.runs),
        share(cell.baseline_killed, cell.baseline_runs), figure(cell.median_time_ratio, "%.2f"),
        figure(grants, "%.1f"), std::to_string(cell.held), stall, layers_of(cell.layers));
  }
  text += "\nsurvived " + share(summary.survived, summary.runs) + ", without Plimsoll killed " +
          share(summary.baseline_killed, summary.baseline_runs) + ", without limit survived " +
          share(summary.unlimited_survived, summary.unlimited_runs) + "\nerrors seen by programs " +
          std::to_string(summary.program_errors) + ", median time ratio " +
          figure(summary.median_time_ratio, "%.3f") + ", worst cell " +
          figure(summary.worst_cell_time_ratio, "%.2f") + "\nwrong cells right " +
          share(summary.wrong_right, summary.wrong_runs) + ", wrong grants " +
          std::to_string(summary.wrong_grants) + ", wrong holds " +
          std::to_string(summary.wrong_holds) + ", delay of a denied kill " +
          figure(summary.denied_kill_delay_ms, "%.1f ms") + "\ncaught by: " +
          layers_of(summary.layers) + "; holds: " + layers_of(summary.holds) + "\n";
  for (size_t index = 0; index < summary.faults.size() && index < 30; ++index) {
    text += "FAULT " + summary.faults[index] + "\n";
  }
  if (summary.faults.size() > 30) {
    text += "FAULT and " + std::to_string(summary.faults.size() - 30) + " more\n";
  }
  return text;
}

}  // namespace plimsoll::storm
