// SPDX-License-Identifier: Apache-2.0
#include "kube/backoff.h"

#include <gtest/gtest.h>

#include <chrono>

namespace plimsoll::kube::backoff_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

TEST(Backoff, DoublesUpToTheLargest) {
  Backoff backoff;
  for (const Nanoseconds expected :
       {Nanoseconds(milliseconds(800)), Nanoseconds(milliseconds(1600)),
        Nanoseconds(milliseconds(3200)), Nanoseconds(milliseconds(6400)),
        Nanoseconds(milliseconds(12800)), Nanoseconds(milliseconds(25600)),
        Nanoseconds(seconds(30)), Nanoseconds(seconds(30))}) {
    EXPECT_EQ(backoff.next(kStart, 1.0), expected);
  }
}

TEST(Backoff, JitterIsFull) {
  EXPECT_EQ(Backoff().next(kStart, 0.0), Nanoseconds(0));
  EXPECT_EQ(Backoff().next(kStart, 0.25), milliseconds(200));
  // What is no share of anything is clamped.
  EXPECT_EQ(Backoff().next(kStart, 7.0), milliseconds(800));
  EXPECT_EQ(Backoff().next(kStart, -1.0), Nanoseconds(0));
}

TEST(Backoff, RetryAfterIsTheLeast) {
  Backoff backoff;
  EXPECT_EQ(backoff.next(kStart, 0.0, seconds(5)), seconds(5));
  EXPECT_EQ(backoff.next(kStart, 0.5, seconds(5)), seconds(5) + milliseconds(800));
}

TEST(Backoff, StartsAnewAfterAQuietTime) {
  Backoff backoff;
  backoff.next(kStart, 1.0);
  backoff.next(kStart, 1.0);
  EXPECT_EQ(backoff.next(kStart + minutes(2) - Nanoseconds(1), 1.0), milliseconds(3200));
  EXPECT_EQ(backoff.next(kStart + minutes(5), 1.0), milliseconds(800));
}

TEST(Backoff, ResetStartsAnew) {
  Backoff backoff;
  backoff.next(kStart, 1.0);
  backoff.next(kStart, 1.0);
  backoff.reset();
  EXPECT_EQ(backoff.next(kStart, 1.0), milliseconds(800));
}

}  // namespace
}  // namespace plimsoll::kube::backoff_test
