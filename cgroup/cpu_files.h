// SPDX-License-Identifier: Apache-2.0
//
// CpuFiles: cpu.max, cpu.max.burst and cpu.stat of one cgroup, kept open, so that the CPU thread
// reads and writes them with one system call each, nothing logged; nothing allocated but by
// read_stat() for a file that makes no sense.
#pragma once

#include <chrono>
#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/cpu_max.h"
#include "cgroup/cpu_stat.h"
#include "cgroup/group.h"

namespace plimsoll::cgroup {

// A write takes a mutex of the kernel and walks all cgroups. It refills the quota of the period and
// lets what was throttled go on, whatever value it has.
class CpuFiles {
 public:
  // kUnsupported: the cgroup does not have the cpu controller.
  static Result<CpuFiles> open(const Group& group);

  // 0, or the errno. EINVAL: a quota or a period that the kernel does not take, such as a quota
  // below the burst. ENODEV: the cgroup was removed.
  int write_max(const CpuMax& max) const noexcept;
  // EINVAL: above the quota. ENOTSUP: the kernel has no such file (before 5.14).
  int write_burst(std::chrono::microseconds burst) const noexcept;

  // nullopt when the read failed or made no sense.
  std::optional<CpuMax> read_max() const noexcept;
  // Also nullopt where the kernel has no such file.
  std::optional<std::chrono::microseconds> read_burst() const noexcept;
  // The kernel sums up the times of all CPUs for it.
  std::optional<CpuStat> read_stat() const noexcept;

 private:
  CpuFiles(Fd max, Fd burst, Fd stat);

  Fd max_;
  Fd burst_;  // may be empty
  Fd stat_;
};

}  // namespace plimsoll::cgroup
