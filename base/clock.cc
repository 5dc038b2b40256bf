// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>

namespace plimsoll {

Result<Timer> Timer::make() {
  Fd fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  if (!fd) return errno_error(errno, "make a timer");
  return Timer(std::move(fd));
}

void Timer::set(Nanoseconds first, Nanoseconds period) const noexcept {
  const auto spec_of = [](Nanoseconds time) {
    const Nanoseconds wait = std::max(time, Nanoseconds{});
    return timespec{.tv_sec = wait.count() / 1'000'000'000,
                    .tv_nsec = wait.count() % 1'000'000'000};
  };
  const itimerspec spec{.it_interval = spec_of(period), .it_value = spec_of(first)};
  ::timerfd_settime(fd_.get(), 0, &spec, nullptr);
}

bool Timer::clear() const noexcept {
  std::uint64_t expirations = 0;
  return ::read(fd_.get(), &expirations, sizeof(expirations)) == ssize_t{sizeof(expirations)};
}

}  // namespace plimsoll
