// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"

#include <gtest/gtest.h>
#include <poll.h>

namespace plimsoll::clock_test {
namespace {

bool readable(const Timer& timer, int wait_ms) {
  pollfd wait{.fd = timer.fd(), .events = POLLIN, .revents = 0};
  return ::poll(&wait, 1, wait_ms) == 1;
}

TEST(Timer, IsReadableOnceItsTimeHasCome) {
  const auto timer = Timer::make();
  ASSERT_TRUE(timer) << timer.error().message;
  EXPECT_FALSE(readable(*timer, 0));
  timer->set(Nanoseconds{1});
  EXPECT_TRUE(readable(*timer, -1));
  EXPECT_TRUE(timer->clear());
  EXPECT_FALSE(readable(*timer, 0));
  EXPECT_FALSE(timer->clear());
}

TEST(Timer, ComesAgainEveryPeriod) {
  const auto timer = Timer::make();
  ASSERT_TRUE(timer) << timer.error().message;
  timer->set(Nanoseconds{1}, std::chrono::milliseconds(1));
  for (int i = 0; i < 3; ++i) {
    EXPECT_TRUE(readable(*timer, -1));
    EXPECT_TRUE(timer->clear());
  }
}

TEST(Timer, AWaitOfNothingOrLessStopsIt) {
  const auto timer = Timer::make();
  ASSERT_TRUE(timer) << timer.error().message;
  for (const Nanoseconds none : {Nanoseconds{0}, Nanoseconds{-5}}) {
    timer->set(Nanoseconds{1});
    ASSERT_TRUE(readable(*timer, -1));
    timer->set(none);
    EXPECT_FALSE(readable(*timer, 0));
  }
}

}  // namespace
}  // namespace plimsoll::clock_test
