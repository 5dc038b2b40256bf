// SPDX-License-Identifier: Apache-2.0
//
// Where cgroup v2 is on this machine, and where in it we are ourselves. Used to find the root to
// work in, and by doctor.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace plimsoll::cgroup {

struct CgroupMounts {
  std::optional<std::string> v2;  // the mount point; "/sys/fs/cgroup" is preferred among several
  // The cgroup that is mounted there, as seen from our cgroup namespace: "/" but in containers.
  std::string v2_root = "/";
  bool has_v1 = false;        // with `v2`: a hybrid layout
  bool memory_on_v1 = false;  // the memory controller cannot be used from v2 then

  bool operator==(const CgroupMounts&) const = default;
};

// Lines that are no mounts are skipped.
CgroupMounts parse_mountinfo(std::string_view text);
Result<CgroupMounts> read_mounts();

// The v2 path ("0::" line) of a /proc/<pid>/cgroup, such as "/user.slice/a". kUnsupported: there is
// none, no v2 is mounted. kGone: that cgroup was removed.
Result<std::string> parse_own_cgroup(std::string_view text);
// Our own, as seen from our cgroup namespace; it may be outside of what is mounted ("/../..").
Result<std::string> own_cgroup();

}  // namespace plimsoll::cgroup
