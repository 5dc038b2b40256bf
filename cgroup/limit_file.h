// SPDX-License-Identifier: Apache-2.0
//
// LimitFile and UsageFile: files of one cgroup that are kept open, so that the reaction thread
// reads and writes them with one system call, nothing allocated, nothing logged.
#pragma once

#include <cstdint>
#include <optional>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"

namespace plimsoll::cgroup {

// memory.max or memory.high. O_NONBLOCK: since Linux 6.16 a write that lowers the limit then
// neither reclaims nor kills inside the call; older kernels take the flag and ignore it. A write
// that raises never waits for reclaim.
class LimitFile {
 public:
  static Result<LimitFile> open_max(const Group& group);
  static Result<LimitFile> open_high(const Group& group);

  CgroupId id() const { return id_; }

  // One pwrite of the number; 0, or the errno (ENODEV: the cgroup was removed). The kernel rounds
  // down to whole pages. UINT64_MAX is "max".
  int write(std::uint64_t bytes) const noexcept;
  // One pread; nullopt when it failed or made no sense.
  std::optional<Limit> read() const noexcept;

 private:
  LimitFile(Fd fd, CgroupId id);
  static Result<LimitFile> open(const Group& group, const char* name);

  Fd fd_;
  CgroupId id_;
};

// memory.current.
class UsageFile {
 public:
  static Result<UsageFile> open(const Group& group);

  CgroupId id() const { return id_; }

  // One pread; nullopt when it failed or made no sense.
  std::optional<Bytes> read() const noexcept;

 private:
  UsageFile(Fd fd, CgroupId id);

  Fd fd_;
  CgroupId id_;
};

}  // namespace plimsoll::cgroup
