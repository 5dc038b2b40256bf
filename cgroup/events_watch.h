// SPDX-License-Identifier: Apache-2.0
//
// EventsWatch: says which cgroups' memory.events changed. The signal of the tier without BPF. The
// kernel sends at most one change per cgroup and 10 ms, so an event may come late or stand for
// many.
#pragma once

#include <map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"

namespace plimsoll::cgroup {

class EventsWatch {
 public:
  static Result<EventsWatch> open();

  // For epoll with EPOLLIN.
  const Fd& fd() const { return fd_; }

  // Watching one twice is watching it once. kUnavailable: the user's inotify watches are used up.
  Result<void> add(const Group& group);
  // Forgets it; fine when it is not watched. Needed also for a cgroup that was removed: Linux 6.12
  // does not tell of that here (7.2 does).
  void remove(CgroupId id);

  struct Changes {
    std::vector<CgroupId> changed;  // each once, in the order of their first event
    std::vector<CgroupId> gone;     // removed, and no longer watched
    bool lost = false;              // the queue ran over: any of the others may have changed too
  };
  // What happened since the last call; never blocks.
  Result<Changes> drain();

 private:
  explicit EventsWatch(Fd fd);

  Fd fd_;
  std::map<int, CgroupId> ids_;  // by watch descriptor
};

}  // namespace plimsoll::cgroup
