// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/exposition.h"

#include <prometheus/text_serializer.h>

#include <limits>
#include <sstream>
#include <utility>

#include "agent/telemetry/metric_table.h"

namespace plimsoll::agent {
namespace {

prometheus::MetricType type_of(MetricType type) {
  switch (type) {
    case MetricType::kCounter:
      return prometheus::MetricType::Counter;
    case MetricType::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricType::kHistogram:
      return prometheus::MetricType::Histogram;
  }
  return prometheus::MetricType::Untyped;
}

prometheus::ClientMetric::Histogram histogram_of(const Distribution& distribution) {
  prometheus::ClientMetric::Histogram histogram{.sample_sum = distribution.sum()};
  const std::span<const double> bounds = distribution.bounds();
  const std::span<const std::uint64_t> counts = distribution.counts();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    histogram.sample_count += counts[i];
    const double bound = i < bounds.size() ? bounds[i] : std::numeric_limits<double>::infinity();
    histogram.bucket.push_back({.cumulative_count = histogram.sample_count, .upper_bound = bound});
  }
  return histogram;
}

prometheus::ClientMetric metric_of(const Metric& metric, const Sample& sample) {
  prometheus::ClientMetric line;
  for (std::size_t i = 0; i < sample.label_values.size(); ++i) {
    line.label.push_back({std::string(metric.labels[i]), sample.label_values[i]});
  }
  line.counter.value = sample.value;
  line.gauge.value = sample.value;
  if (sample.distribution != nullptr) line.histogram = histogram_of(*sample.distribution);
  return line;
}

}  // namespace

std::string metrics_text(const AgentStats& stats, const ProcessStats& process) {
  std::vector<prometheus::MetricFamily> families;
  const Scrape scrape{stats, process};
  for (const Metric& metric : metric_table()) {
    prometheus::MetricFamily family{.name = std::string(metric.name),
                                    .help = std::string(metric.help),
                                    .type = type_of(metric.type)};
    for (const Sample& sample : metric.read(scrape)) {
      family.metric.push_back(metric_of(metric, sample));
    }
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  std::ostringstream text;
  prometheus::TextSerializer().Serialize(text, families);
  return std::move(text).str();
}

}  // namespace plimsoll::agent
