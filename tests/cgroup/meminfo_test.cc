// SPDX-License-Identifier: Apache-2.0
#include "cgroup/meminfo.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::meminfo_test {
namespace {

const std::string kSample =
    "MemTotal:       24576000 kB\nMemFree:         1000000 kB\nMemAvailable:   20480000 kB\n"
    "HugePages_Total:       0\n";

TEST(Meminfo, KibibytesBecomeBytes) {
  EXPECT_EQ(parse_meminfo(kSample), (Meminfo{{24576000 * kKiB}, {20480000 * kKiB}}));
}

TEST(Meminfo, AnythingElseIsMalformed) {
  for (const char* const text :
       {"", "MemTotal: 1 kB\n", "MemAvailable: 1 kB\n", "MemTotal: 1\nMemAvailable: 1 kB\n",
        "MemTotal: 1 MB\nMemAvailable: 1 kB\n", "MemTotal: -1 kB\nMemAvailable: 1 kB\n",
        "MemTotal: 18446744073709551615 kB\nMemAvailable: 1 kB\n"}) {
    const auto meminfo = parse_meminfo(text);
    ASSERT_FALSE(meminfo) << text;
    EXPECT_EQ(meminfo.error().code, Code::kMalformed);
  }
}

TEST(Meminfo, ThisMachineHasMemoryAndSomeOfItIsFree) {
  const auto meminfo = read_meminfo();
  ASSERT_TRUE(meminfo) << meminfo.error().message;
  EXPECT_GT(meminfo->available, Bytes{0});
  EXPECT_LT(meminfo->available, meminfo->total);
}

TEST(Meminfo, SurvivesGarbage) { test::survives_garbage(kSample, parse_meminfo); }

}  // namespace
}  // namespace plimsoll::cgroup::meminfo_test
