// SPDX-License-Identifier: Apache-2.0
//
// Group: one opened cgroup directory and the values of its files. It stays bound to that very
// cgroup: when it is removed, every call says kGone, also when a new one has the same name.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/cgroup_events.h"
#include "cgroup/controllers.h"
#include "cgroup/cpu_max.h"
#include "cgroup/cpu_stat.h"
#include "cgroup/memory_events.h"
#include "cgroup/memory_stat.h"
#include "cgroup/pressure.h"
#include "cgroup/procs.h"

namespace plimsoll::cgroup {

// Const calls may come from several threads at once. Each read opens, reads and closes one file and
// allocates; the reaction thread uses LimitFile and UsageFile instead. Codes of all reads:
// kGone: the cgroup was removed. kUnsupported: the cgroup lives but has no such file (an older
// kernel, a controller that is not enabled, or the root, which has no limits).
class Group {
 public:
  // Opens `relative` below `base`, whose own path below the root is `base_path`.
  static Result<Group> open(const Fd& base, std::string_view base_path, std::string_view relative);

  CgroupId id() const { return id_; }
  // Below the root it was opened from, without a leading slash; empty for the root itself.
  const std::string& path() const { return path_; }
  // An O_PATH descriptor of the directory, good for CLONE_INTO_CGROUP and for *at() calls.
  const Fd& fd() const { return fd_; }

  Result<Bytes> read_memory_current() const;
  Result<Bytes> read_memory_peak() const;  // since 5.19
  Result<Limit> read_memory_max() const;
  Result<Limit> read_memory_high() const;
  Result<MemoryStat> read_memory_stat() const;
  Result<MemoryEvents> read_memory_events() const;
  Result<MemoryEvents> read_memory_events_local() const;
  Result<Pressure> read_memory_pressure() const;
  Result<CpuMax> read_cpu_max() const;
  Result<std::chrono::microseconds> read_cpu_max_burst() const;  // since 5.14
  Result<CpuStat> read_cpu_stat() const;
  Result<Pressure> read_cpu_pressure() const;
  Result<Procs> read_procs() const;
  Result<ControllerSet> read_controllers() const;
  Result<ControllerSet> read_subtree_control() const;
  Result<CgroupEvents> read_cgroup_events() const;

  // Opens one of its files; `name` is a plain file name.
  Result<Fd> open_file(const std::string& name, int flags) const;
  // False once the cgroup was removed.
  bool alive() const;
  // "memory.max of a/b", for error texts.
  std::string name_of(std::string_view file) const;

 private:
  Group(Fd fd, CgroupId id, std::string path);

  Result<std::string> read(const std::string& name) const;

  Fd fd_;
  CgroupId id_;
  std::string path_;
};

}  // namespace plimsoll::cgroup
