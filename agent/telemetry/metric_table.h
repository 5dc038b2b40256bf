// SPDX-License-Identifier: Apache-2.0
//
// The table of metrics: name, type, help, labels, and where the number comes from. The exposition
// and docs/metrics.md are both written from it; a test compares the page with the table.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/telemetry/process_stats.h"
#include "agent/telemetry/stats.h"

namespace plimsoll::agent {

enum class MetricType : std::uint8_t { kCounter, kGauge, kHistogram };
std::string_view to_string(MetricType type);

// One line of a metric (for a histogram: its lines).
struct Sample {
  std::vector<std::string> label_values;  // in the order of Metric::labels
  double value = 0;
  const Distribution* distribution = nullptr;  // kHistogram
};

// What a scrape shows.
struct Scrape {
  const AgentStats& stats;
  const ProcessStats& process;
};

inline constexpr std::size_t kMostLabels = 3;

struct Metric {
  std::string_view name;
  MetricType type = MetricType::kGauge;
  std::string_view help;
  std::array<std::string_view, kMostLabels> labels;      // the rest are empty
  std::vector<Sample> (*read)(const Scrape&) = nullptr;  // none: not known now
};

std::span<const Metric> metric_table();

// The whole of docs/metrics.md.
std::string render_metrics_docs();

}  // namespace plimsoll::agent
