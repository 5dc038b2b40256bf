// SPDX-License-Identifier: Apache-2.0
//
// PsiTrigger: wakes a poll when tasks of a cgroup stalled on memory for longer than allowed. A
// signal of the tiers that have no fentry programs; too late to stop a fast kill.
#pragma once

#include <sys/epoll.h>
#include <cstdint>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"

namespace plimsoll::cgroup {

class PsiTrigger {
 public:
  // Fires, at most once per `window`, when at least one task stalled for `stall` of it. The kernel
  // wants a window of at most 10 s (before 6.4 at least 500 ms; without CAP_SYS_RESOURCE a multiple
  // of 2 s) and a stall within it, and refuses others (kMalformed). kUnsupported: the kernel runs
  // without PSI, or it is off for this cgroup.
  static Result<PsiTrigger> open(const Group& group, Nanoseconds stall, Nanoseconds window);

  CgroupId id() const { return id_; }
  // For epoll with kEvents. Polling consumes the event; there is nothing to read.
  const Fd& fd() const { return fd_; }
  static constexpr std::uint32_t kEvents = EPOLLPRI;
  static bool fired(std::uint32_t events) { return (events & EPOLLPRI) != 0 && !gone(events); }
  // The cgroup was removed.
  static bool gone(std::uint32_t events) { return (events & EPOLLERR) != 0; }

 private:
  PsiTrigger(Fd fd, CgroupId id);

  Fd fd_;
  CgroupId id_;
};

}  // namespace plimsoll::cgroup
