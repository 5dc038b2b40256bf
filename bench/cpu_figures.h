// SPDX-License-Identifier: Apache-2.0
//
// What a run of bench-cpu comes to, from the samples of the cgroup. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "bench/cpu_subject.h"

namespace plimsoll::bench {

// The share of throttled periods that counts as none, over so long a time from a moment on.
inline constexpr double kCalmShare = 0.05;
inline constexpr double kCalmNs = 2e9;

struct CpuFigures {
  // From the begin of the load to the first moment from which on it was calm; absent: there is none
  // within the load.
  std::optional<double> settled_ms;
  std::uint64_t periods = 0;  // from the begin of the load to its end
  std::uint64_t throttled = 0;
  double granted_seconds = 0;  // the limit above the floor over time, until it was back there
  double used_seconds = 0;     // CPU time of the load
  // From the end of the load to the limit's return; absent: it did not come back.
  std::optional<double> back_ms;
};

CpuFigures figures_of(const std::vector<CpuSample>& samples, const Work& load, double floor);

}  // namespace plimsoll::bench
