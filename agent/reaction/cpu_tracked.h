// SPDX-License-Identifier: Apache-2.0
//
// One cgroup of the CPU thread: its files, what they said last, and what the thread has to remember
// of it. Made by the engine; from cpu_command::Track until CpuReport::kUntracked the thread's
// alone.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>

#include "agent/policy/cpu.h"
#include "agent/policy/memory.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"
#include "bpf/cpu_programs.h"
#include "cgroup/cpu_files.h"
#include "cgroup/cpu_max.h"
#include "cgroup/cpu_stat.h"

namespace plimsoll::agent {

// As of the last look at what it uses: see CpuMeter.
struct CpuMeasured {
  bool is_watched = false;
  std::optional<bpf::CpuUse> seen;
  // Without BPF: what cpu.stat said, the last periods as bits, and looks since the last throttle.
  cgroup::CpuStat stat;
  std::uint64_t history = 0;
  std::uint32_t calm = 0;
};

struct CpuTracked {
  cgroup::CpuFiles files;
  Slot slot = 0;
  std::uint32_t epoch = 0;
  CpuTracked* parent = nullptr;
  std::uint32_t children = 0;
  cgroup::CpuMax original;  // as it was found: what the floor is written as
  CpuArmed armed;

  cgroup::CpuMax max;  // as last written or observed
  microseconds burst{};
  MilliCpu written;  // the last limit that we wrote; 0: none
  MonotonicTime written_at;
  MilliCpu wished;  // what somebody else was asked for, and when
  MonotonicTime wished_at;
  CpuHold hold;
  MilliCpu kept;  // not given back below this; 0: nothing is kept
  CpuMeasured measured;

  bool has_limit() const { return max.quota.has_value(); }
  // Before every decision about it and every write: somebody else may have written it meanwhile,
  // and a raise must not lower that. An event brings what it saw.
  void read_limit() {
    max = files.read_max().value_or(max);
    burst = files.read_burst().value_or(burst);
  }
  MilliCpu limit() const { return cgroup::cpus_of(max).value_or(MilliCpu{}); }
  // The budget has paid for a limit up to this.
  MilliCpu promised(MonotonicTime time) const {
    return time - wished_at < kWishLife ? std::max(limit(), wished) : limit();
  }
};

}  // namespace plimsoll::agent
