// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cpu_max.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::cpu_max_test {
namespace {

using std::chrono::microseconds;

constexpr CpuMax max_of(std::int64_t quota_us, std::int64_t period_us = 100'000) {
  return {microseconds(quota_us), microseconds(period_us)};
}

TEST(CpuMax, ReadsQuotaAndPeriod) {
  EXPECT_EQ(parse_cpu_max("50000 100000\n"), max_of(50'000));
  EXPECT_EQ(parse_cpu_max("max 100000\n"), CpuMax{});
  EXPECT_EQ(parse_cpu_max("max 5000"), (CpuMax{std::nullopt, microseconds(5'000)}));
}

TEST(CpuMax, WhatMakesNoSenseIsMalformed) {
  for (const char* const text : {"", "max", "50000", "50000 0\n", "-1 100000\n", "x 100000\n",
                                 "50000 max\n", "1 2 3\n", "99999999999999999 100000\n"}) {
    const auto max = parse_cpu_max(text);
    ASSERT_FALSE(max) << text;
    EXPECT_EQ(max.error().code, Code::kMalformed);
  }
}

TEST(CpuMax, SurvivesGarbage) {
  test::survives_garbage("50000 100000\n", parse_cpu_max);
  test::survives_garbage("50000\n", parse_cpu_burst);
}

TEST(CpuMax, IsWrittenAsItIsRead) {
  ValueBuffer buffer;
  for (const CpuMax max : {max_of(1'000), max_of(123'456'789, 1'000'000),
                           max_of(std::int64_t{1} << 50, 1'000'000), CpuMax{}}) {
    EXPECT_EQ(parse_cpu_max(format_cpu_max(max, buffer)), max);
  }
  EXPECT_EQ(format_cpu_max(CpuMax{}, buffer), "max 100000\n");
}

TEST(CpuMax, IsANumberOfCpus) {
  EXPECT_EQ(cpus_of(max_of(50'000)), MilliCpu{500});
  EXPECT_EQ(cpus_of(max_of(33'333)), MilliCpu{333});
  EXPECT_EQ(cpus_of(max_of(33'350)), MilliCpu{334});
  EXPECT_EQ(cpus_of(max_of(20'000, 10'000)), MilliCpu{2000});
  EXPECT_EQ(cpus_of(CpuMax{}), std::nullopt);
  EXPECT_EQ(cpu_max_of(MilliCpu{250}, microseconds(100'000)), max_of(25'000));
  EXPECT_EQ(cpu_max_of(MilliCpu{1}, microseconds(100'000)), max_of(1'000)) << "the kernel's least";
  EXPECT_EQ(cpu_max_of(MilliCpu{1500}, microseconds(20'000)), max_of(30'000, 20'000));
  // More than there can be is no overflow.
  EXPECT_GT(cpu_max_of(MilliCpu{~std::uint64_t{0}}, microseconds(100'000)).quota,
            microseconds(1'000'000'000));
}

TEST(CpuMax, TheBurstIsATime) {
  EXPECT_EQ(parse_cpu_burst("20000\n"), microseconds(20'000));
  EXPECT_EQ(parse_cpu_burst("0\n"), microseconds(0));
  EXPECT_FALSE(parse_cpu_burst("max\n"));
  EXPECT_FALSE(parse_cpu_burst("18446744073709551615\n"));
}

}  // namespace
}  // namespace plimsoll::cgroup::cpu_max_test
