// SPDX-License-Identifier: Apache-2.0
#include "agent/history.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

namespace plimsoll::agent {
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

}  // namespace
}  // namespace plimsoll::agent
