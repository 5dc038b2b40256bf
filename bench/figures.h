// SPDX-License-Identifier: Apache-2.0
//
// Figures of a series of measurements: percentiles and medians, nothing assumed of how they are
// distributed. Used by every measurement program.
#pragma once

#include <cstddef>
#include <vector>

namespace plimsoll::bench {

// The value below which `share` (0 to 1) of the values lie, by nearest rank: always one that was
// measured. 0 of nothing.
double percentile(std::vector<double> values, double share);
double median(std::vector<double> values);

// CLOCK_MONOTONIC in nanoseconds.
double now_ns();

struct Figures {
  double p50 = 0;
  double p90 = 0;
  double p99 = 0;
  double max = 0;
  std::size_t count = 0;
};
Figures figures_of(const std::vector<double>& values);

}  // namespace plimsoll::bench
