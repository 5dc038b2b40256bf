// SPDX-License-Identifier: Apache-2.0
//
// CpuMeter: what the cgroups that were raised use, looked at about once per CFS period, and,
// without BPF, whether they were throttled. The CPU thread's: nothing here allocates or waits.
#pragma once

#include <cstdint>
#include <optional>

#include "agent/reaction/cpu_tracked.h"
#include "base/clock.h"
#include "base/units.h"
#include "bpf/cpu_programs.h"

namespace plimsoll::agent {

class CpuMeter {
 public:
  // `programs` may be null: then cpu.stat is read.
  CpuMeter(const bpf::CpuPrograms* programs, Timer timer);

  // Readable when it is time to look, until clear(); never while nothing is watched.
  int fd() const { return timer_.fd(); }
  void clear() const noexcept { timer_.clear(); }
  void watch(CpuTracked& tracked, MonotonicTime now) noexcept;
  void leave(CpuTracked& tracked) noexcept;
  // It has not been throttled for a while.
  bool is_calm(const CpuTracked& tracked) const noexcept;

  struct Use {
    MilliCpu use;  // without BPF: what it would have been without throttling
    // Periods of the last `window`, where some have been throttled since the last look; without
    // BPF.
    std::optional<std::uint32_t> throttled;
  };
  // Since the last look. Nothing when no period has ended.
  std::optional<Use> measure(CpuTracked& tracked, std::uint32_t window, MonotonicTime now) noexcept;

 private:
  std::optional<Use> measure_by_file(CpuTracked& tracked, std::uint32_t window,
                                     MonotonicTime now) noexcept;

  const bpf::CpuPrograms* programs_;
  Timer timer_;
  std::uint32_t watched_ = 0;  // the timer runs while there are some
};

}  // namespace plimsoll::agent
