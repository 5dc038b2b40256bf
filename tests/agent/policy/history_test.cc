// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace plimsoll::agent::history_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

TEST(PeakWindow, SeesThePeakOfTheWindowAndForgetsItInTime) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    const Nanoseconds window = seconds(1 + random() % 100);
    PeakWindow peaks;
    std::vector<std::pair<MonotonicTime, Bytes>> all;
    MonotonicTime now{seconds(1)};
    for (int i = 0; i < 300; ++i) {
      now += milliseconds(random() % 2000);
      const Bytes value{random() % 1000000};
      peaks.add(now, value, window);
      all.emplace_back(now, value);
      Bytes within;    // must count
      Bytes anything;  // may count
      for (const auto& [time, bytes] : all) {
        if (now - time < window - window / 16) within = std::max(within, bytes);
        if (now - time < window || time == now) anything = std::max(anything, bytes);
      }
      ASSERT_GE(peaks.peak(now, window), within);
      ASSERT_LE(peaks.peak(now, window), anything);
    }
  }
}

TEST(PeakWindow, ComesBackFromItsBuckets) {
  PeakWindow peaks;
  EXPECT_TRUE(peaks.buckets().empty());
  EXPECT_EQ(PeakWindow::of({}), peaks);
  for (std::uint64_t i = 0; i < 100; ++i) {
    peaks.add(MonotonicTime{seconds(i)}, Bytes{1000 + i}, seconds(16));
    const std::vector<PeakWindow::Bucket> buckets = peaks.buckets();
    PeakWindow back = PeakWindow::of(buckets);
    ASSERT_EQ(back, peaks);
    // They go on alike.
    const MonotonicTime next{seconds(i + 1)};
    PeakWindow copy = peaks;
    copy.add(next, Bytes{7}, seconds(16));
    back.add(next, Bytes{7}, seconds(16));
    ASSERT_EQ(back, copy);
    ASSERT_EQ(back.earliest(next, seconds(16)), copy.earliest(next, seconds(16)));
    ASSERT_FALSE(back == peaks);
    std::vector<PeakWindow::Bucket> other = buckets;
    other.front().peak += Bytes{1};
    ASSERT_FALSE(PeakWindow::of(other) == peaks);
  }
  const std::vector<PeakWindow::Bucket> many(40, {MonotonicTime{seconds(1)}, Bytes{1}});
  EXPECT_EQ(PeakWindow::of(many).buckets().size(), peaks.buckets().size());
}

}  // namespace
}  // namespace plimsoll::agent::history_test
