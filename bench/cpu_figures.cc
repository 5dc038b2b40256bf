// SPDX-License-Identifier: Apache-2.0
#include "bench/cpu_figures.h"

#include <algorithm>
#include <cstddef>

namespace plimsoll::bench {
namespace {

// The last sample that is not after `at_ns`, or the first.
std::size_t index_at(const std::vector<CpuSample>& samples, double at_ns) {
  const auto after =
      std::upper_bound(samples.begin(), samples.end(), at_ns,
                       [](double at, const CpuSample& sample) { return at < sample.at_ns; });
  return after == samples.begin() ? 0 : static_cast<std::size_t>(after - samples.begin()) - 1;
}

bool is_calm(const CpuSample& from, const CpuSample& to) {
  const auto periods = static_cast<double>(to.periods - from.periods);
  return periods > 0 && static_cast<double>(to.throttled - from.throttled) < kCalmShare * periods;
}

}  // namespace

CpuFigures figures_of(const std::vector<CpuSample>& samples, const Work& load, double floor) {
  CpuFigures figures;
  if (samples.empty()) return figures;
  const std::size_t begin = index_at(samples, load.begin_ns);
  const std::size_t end = index_at(samples, load.end_ns);
  figures.periods = samples[end].periods - samples[begin].periods;
  figures.throttled = samples[end].throttled - samples[begin].throttled;
  figures.used_seconds = samples.back().used_seconds - samples[begin].used_seconds;
  for (std::size_t i = begin; i <= end && !figures.settled_ms; ++i) {
    if (samples[i].at_ns + kCalmNs > load.end_ns) break;
    if (is_calm(samples[i], samples[index_at(samples, samples[i].at_ns + kCalmNs)])) {
      figures.settled_ms = std::max(samples[i].at_ns - load.begin_ns, 0.0) / 1e6;
    }
  }
  for (std::size_t i = begin; i + 1 < samples.size(); ++i) {
    const double above = std::max(samples[i].limit - floor, 0.0);
    figures.granted_seconds += above * (samples[i + 1].at_ns - samples[i].at_ns) / 1e9;
  }
  // From the last sample on that was above it.
  if (samples.back().limit <= floor + 1e-9) {
    std::size_t back = samples.size() - 1;
    while (back > end && samples[back - 1].limit <= floor + 1e-9) --back;
    figures.back_ms = std::max(samples[back].at_ns - load.end_ns, 0.0) / 1e6;
  }
  return figures;
}

}  // namespace plimsoll::bench
