// SPDX-License-Identifier: Apache-2.0
//
// Wakeup: an eventfd by which one thread wakes another that waits in poll() or epoll.
#pragma once

#include <utility>

#include "base/fd.h"
#include "base/result.h"

namespace plimsoll {

class Wakeup {
 public:
  // An error is the kernel's: no descriptors, no memory.
  static Result<Wakeup> make();

  // From any thread; never blocks. Readable until clear(), however often it rang.
  void ring() const noexcept;
  // Before what it tells of is looked at, so that what comes later rings again.
  void clear() const noexcept;
  int fd() const { return fd_.get(); }

  Wakeup() = default;  // wakes nobody; fd() is -1, which poll() passes over

 private:
  explicit Wakeup(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace plimsoll
