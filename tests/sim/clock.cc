// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/clock.h"

#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace plimsoll::sim {
namespace {

Nanoseconds current{};  // 0: that of the machine

}  // namespace

void set_now(MonotonicTime now) { current = now.time_since_epoch(); }

}  // namespace plimsoll::sim

extern "C" int clock_gettime(clockid_t clock, timespec* time) noexcept {
  const auto now = plimsoll::sim::current;
  if (now.count() == 0 || (clock != CLOCK_MONOTONIC && clock != CLOCK_REALTIME)) {
    return static_cast<int>(::syscall(SYS_clock_gettime, clock, time));
  }
  const auto seconds = std::chrono::floor<std::chrono::seconds>(now);
  // Both clocks are one: 1970 is when the machine was switched on.
  time->tv_sec = seconds.count();
  time->tv_nsec = (now - seconds).count();
  return 0;
}
