// SPDX-License-Identifier: Apache-2.0
//
// Root: the top of the cgroup v2 tree that we may look at. Groups are opened from it; nothing that
// is asked for can lead out of it.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"

namespace plimsoll::cgroup {

// What Root::open takes for a cgroup tree: kAny is for a tree of ordinary files in a test.
enum class Filesystem { kCgroup2, kAny };

class Root {
 public:
  // `path` may be a mount point or a cgroup below one; links in `path` itself are followed, since
  // the caller chose it. kUnsupported: it is no cgroup2 file system, or the kernel has no openat2
  // (before 5.6).
  static Result<Root> open(std::string path = "/sys/fs/cgroup",
                           Filesystem filesystem = Filesystem::kCgroup2);

  const std::string& path() const { return path_; }
  // The root's own cgroup, whose path() is empty.
  const Group& top() const { return top_; }

  // `relative` as "/a/b" or "a/b". kGone: no such cgroup. kDenied: a link is in the way.
  Result<Group> open_group(std::string_view relative) const;

 private:
  Root(std::string path, Group top);

  std::string path_;
  Group top_;
};

}  // namespace plimsoll::cgroup
