// SPDX-License-Identifier: Apache-2.0
//
// The monotonic clock, and timers on it that a poll loop waits for. Whatever decides is given the
// time; what is here is for those who turn a loop or serve a thread.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll {

inline MonotonicTime monotonic_now() {
  return std::chrono::time_point_cast<Nanoseconds>(std::chrono::steady_clock::now());
}

// A timerfd. Of one thread.
class Timer {
 public:
  // Stopped. An error is the kernel's: no descriptors, no memory.
  static Result<Timer> make();

  // Readable from `first` on, then every `period`; 0: once. A `first` of 0 or less stops it.
  void set(Nanoseconds first, Nanoseconds period = {}) const noexcept;
  // Not readable until the next time. False: it was not.
  bool clear() const noexcept;
  int fd() const { return fd_.get(); }

  Timer() = default;  // fd() is -1, which poll() passes over

 private:
  explicit Timer(Fd fd) : fd_(std::move(fd)) {}
  Fd fd_;
};

}  // namespace plimsoll
