// SPDX-License-Identifier: Apache-2.0
#include <cstdio>

#include "tests/storm/storm_summary.h"

namespace plimsoll::storm {
namespace {

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

std::string table_of(const Summary& summary) {
  std::string text;
  char line[256];
  const auto row = [&](const char* cell, const std::string& lived, const std::string& without,
                       const std::string& ratio, const std::string& grants, const std::string& held,
                       const std::string& stall, const std::string& layers) {
    snprintf(line, sizeof(line), "%-24s %9s %9s %7s %7s %6s %13s  %s\n", cell, lived.c_str(),
             without.c_str(), ratio.c_str(), grants.c_str(), held.c_str(), stall.c_str(),
             layers.c_str());
    text += line;
  };
  row("program/THP/limit MiB", "right", "killed", "time", "grants", "held", "kill ms", "caught by");
  row("", "with", "without", "ratio", "per run", "", "with/without", "");
  for (const CellSummary& cell : summary.cells) {
    const std::optional<double> grants =
        cell.runs == 0
            ? std::nullopt
            : std::optional(static_cast<double>(cell.grants) / static_cast<double>(cell.runs));
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
          figure(summary.denied_kill_delay_ms, "%.1f ms") +
          "\ncaught by: " + layers_of(summary.layers) + "; holds: " + layers_of(summary.holds) +
          "\n";
  for (size_t index = 0; index < summary.faults.size() && index < 30; ++index) {
    text += "FAULT " + summary.faults[index] + "\n";
  }
  if (summary.faults.size() > 30) {
    text += "FAULT and " + std::to_string(summary.faults.size() - 30) + " more\n";
  }
  return text;
}

}  // namespace plimsoll::storm
