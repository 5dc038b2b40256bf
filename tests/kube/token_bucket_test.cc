// SPDX-License-Identifier: Apache-2.0
#include "kube/token_bucket.h"

#include <gtest/gtest.h>

#include <chrono>
#include <random>

namespace plimsoll::kube::token_bucket_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kStart{std::chrono::hours(1)};

TEST(TokenBucket, GivesABurstAndThenTheRate) {
  TokenBucket bucket(2, 3);
  EXPECT_TRUE(bucket.take(kStart));
  EXPECT_TRUE(bucket.take(kStart));
  EXPECT_TRUE(bucket.take(kStart));
  EXPECT_FALSE(bucket.take(kStart));
  EXPECT_FALSE(bucket.take(kStart + milliseconds(499)));
  EXPECT_TRUE(bucket.take(kStart + milliseconds(500)));
  EXPECT_FALSE(bucket.take(kStart + milliseconds(501)));
}

TEST(TokenBucket, KeepsNoMoreThanTheBurst) {
  TokenBucket bucket(1000, 2);
  ASSERT_TRUE(bucket.take(kStart));
  const MonotonicTime later = kStart + std::chrono::hours(10);
  EXPECT_TRUE(bucket.take(later));
  EXPECT_TRUE(bucket.take(later));
  EXPECT_FALSE(bucket.take(later));
}

TEST(TokenBucket, AClockThatGoesBackAddsNothing) {
  TokenBucket bucket(1, 1);
  ASSERT_TRUE(bucket.take(kStart));
  EXPECT_FALSE(bucket.take(kStart - seconds(100)));
  EXPECT_FALSE(bucket.take(kStart));
  EXPECT_TRUE(bucket.take(kStart + seconds(1)));
}

TEST(TokenBucket, AfterItsWaitThereIsAToken) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> rate(0.01, 500);
  std::uniform_int_distribution<int> pause_us(0, 5000);
  for (int i = 0; i < 200; ++i) {
    TokenBucket bucket(rate(random), 1);
    MonotonicTime now = kStart;
    ASSERT_EQ(bucket.wait(now), Nanoseconds(0));
    for (int turn = 0; turn < 20; ++turn) {
      while (bucket.take(now)) {
      }
      const Nanoseconds wait = bucket.wait(now);
      ASSERT_GT(wait, Nanoseconds(0));
      now += wait;
      ASSERT_EQ(bucket.wait(now), Nanoseconds(0));
      ASSERT_TRUE(bucket.take(now));
      now += std::chrono::microseconds(pause_us(random));
    }
  }
}

}  // namespace
}  // namespace plimsoll::kube::token_bucket_test
