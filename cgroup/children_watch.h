// SPDX-License-Identifier: Apache-2.0
//
// ChildrenWatch: says directly below which watched cgroups one was made or removed, by inotify. It
// names the place and not what happened there, since that may have changed again: look.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"

namespace plimsoll::cgroup {

class ChildrenWatch {
 public:
  // kUnavailable: the user's inotify instances are used up.
  static Result<ChildrenWatch> open();

  // For epoll with EPOLLIN.
  const Fd& fd() const { return fd_; }

  // From here on nothing that happens below `parent` is missed: add first, then list the children.
  // Adding one twice is adding it once. kUnavailable: the user's inotify watches are used up.
  Result<void> add(const Group& parent);
  // Forgets it; fine when it is not watched. Needed also for a cgroup that was removed: 6.1 and
  // 6.12 do not tell of that, and keep what the watch holds.
  void remove(CgroupId parent);
  std::size_t size() const { return ids_.size(); }

  struct Place {
    CgroupId parent{};
    std::string name;  // of the child

    bool operator==(const Place&) const = default;
  };
  struct Changes {
    std::vector<Place> places;  // each once, in the order of their first event
    bool lost = false;          // the queue ran over: anything may have changed
  };
  // What happened since the last call; never blocks.
  Result<Changes> drain();

 private:
  explicit ChildrenWatch(Fd fd);
  void note(int watch, std::uint32_t mask, std::string name, Changes& changes);

  Fd fd_;
  std::map<int, CgroupId> ids_;  // by watch descriptor
  std::map<CgroupId, int> watches_;
};

}  // namespace plimsoll::cgroup
