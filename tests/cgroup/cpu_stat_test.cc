// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cpu_stat.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::cpu_stat_test {
namespace {

using std::chrono::microseconds;

const std::string kSample =
    "usage_usec 100\nuser_usec 60\nsystem_usec 40\nnr_periods 7\nnr_throttled 3\n"
    "throttled_usec 250\nnr_bursts 0\nburst_usec 0\n";

TEST(CpuStat, ReadsTimesAndPeriods) {
  EXPECT_EQ(parse_cpu_stat(kSample), (CpuStat{microseconds(100), 7, 3, microseconds(250)}));
}

TEST(CpuStat, PeriodsAreAbsentNotZeroWithoutTheController) {
  EXPECT_EQ(parse_cpu_stat("usage_usec 5\nuser_usec 3\nsystem_usec 2\n"),
            (CpuStat{.usage = microseconds(5)}));
}

TEST(CpuStat, MissingOrBrokenLinesAreMalformed) {
  for (const char* const text :
       {"", "user_usec 60\n", "usage_usec\n", "usage_usec -1\n", "usage_usec 9999999999999999999\n",
        "usage_usec 1\nnr_periods 7\n", "usage_usec 1\nnr_periods 7\nnr_throttled 3\n",
        "usage_usec 1\nnr_periods x\nnr_throttled 3\nthrottled_usec 250\n"}) {
    const auto stat = parse_cpu_stat(text);
    ASSERT_FALSE(stat) << text;
    EXPECT_EQ(stat.error().code, Code::kMalformed);
  }
}

TEST(CpuStat, SurvivesGarbage) { test::survives_garbage(kSample, parse_cpu_stat); }

}  // namespace
}  // namespace plimsoll::cgroup::cpu_stat_test
