// SPDX-License-Identifier: Apache-2.0
#include "cgroup/mounts.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::mounts_test {
namespace {

const std::string kHybrid =
    "25 30 0:23 / /sys rw,nosuid shared:7 - sysfs sysfs rw\n"
    "31 25 0:26 / /sys/fs/cgroup ro,nosuid shared:9 - tmpfs tmpfs ro,mode=755\n"
    "32 31 0:27 / /sys/fs/cgroup/unified rw,nosuid shared:10 master:4 - cgroup2 cgroup2 rw\n"
    "33 31 0:28 / /sys/fs/cgroup/systemd rw shared:11 - cgroup cgroup rw,xattr,name=systemd\n";
const std::string kMemoryOnV1 =
    "38 31 0:33 / /sys/fs/cgroup/memory rw shared:16 - cgroup cgroup rw,memory\n";

TEST(Mounts, Unified) {
  EXPECT_EQ(parse_mountinfo("29 23 0:26 / /sys/fs/cgroup rw,relatime - cgroup2 cgroup2 rw\n"),
            (CgroupMounts{.v2 = "/sys/fs/cgroup"}));
}

TEST(Mounts, Hybrid) {
  EXPECT_EQ(parse_mountinfo(kHybrid),
            (CgroupMounts{.v2 = "/sys/fs/cgroup/unified", .has_v1 = true, .memory_on_v1 = false}));
  EXPECT_EQ(parse_mountinfo(kHybrid + kMemoryOnV1),
            (CgroupMounts{.v2 = "/sys/fs/cgroup/unified", .has_v1 = true, .memory_on_v1 = true}));
}

TEST(Mounts, OnlyV1AndNone) {
  EXPECT_EQ(parse_mountinfo(kMemoryOnV1), (CgroupMounts{.has_v1 = true, .memory_on_v1 = true}));
  EXPECT_EQ(parse_mountinfo("22 1 0:20 / /proc rw - proc proc rw\n"), CgroupMounts{});
}

TEST(Mounts, TheUsualPlaceIsPreferred) {
  const std::string usual = "29 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
  const std::string other = "40 23 0:26 /pod /mnt/my\\040cgroup rw - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(parse_mountinfo(usual + other).v2, "/sys/fs/cgroup");
  EXPECT_EQ(parse_mountinfo(other + usual).v2, "/sys/fs/cgroup");
  EXPECT_EQ(parse_mountinfo(other + usual).v2_root, "/");
  EXPECT_EQ(parse_mountinfo(other), (CgroupMounts{.v2 = "/mnt/my cgroup", .v2_root = "/pod"}));
}

// "memory" is looked for among the options of a v1 mount, not anywhere in the line.
TEST(Mounts, SimilarNamesAreNotTheMemoryController) {
  for (const char* const line :
       {"38 31 0:33 / /sys/fs/cgroup/memory rw,memory - cgroup cgroup rw,name=memory\n",
        "38 31 0:33 / /memory rw - cgroup memory rw,memoryx\n",
        "38 31 0:33 / /memory rw - tmpfs memory rw,memory\n"}) {
    EXPECT_FALSE(parse_mountinfo(line).memory_on_v1) << line;
  }
}

TEST(Mounts, ThisMachineIsRead) {
  const auto mounts = read_mounts();
  ASSERT_TRUE(mounts) << mounts.error().message;
}

TEST(Mounts, SurvivesGarbage) {
  std::mt19937 random(3);
  std::size_t changed = 0;
  const CgroupMounts expected = parse_mountinfo(kHybrid + kMemoryOnV1);
  for (int round = 0; round < 20000; ++round) {
    const std::string damaged = test::damage(kHybrid + kMemoryOnV1, random);
    changed += parse_mountinfo(damaged) == expected ? 0U : 1U;
  }
  EXPECT_GT(changed, 1000U);
}

TEST(OwnCgroup, IsTheLineOfVersion2) {
  EXPECT_EQ(parse_own_cgroup("0::/user.slice/a b\n"), "/user.slice/a b");
  EXPECT_EQ(parse_own_cgroup("12:memory:/v1\n1:name=systemd:/s\n0::/\n"), "/");
}

TEST(OwnCgroup, SaysWhatIsWrong) {
  const auto code = [](const char* text) { return parse_own_cgroup(text).error().code; };
  EXPECT_EQ(code("12:memory:/v1\n"), Code::kUnsupported);
  EXPECT_EQ(code(""), Code::kUnsupported);
  EXPECT_EQ(code("0::\n"), Code::kMalformed);
  EXPECT_EQ(code("0::relative\n"), Code::kMalformed);
  EXPECT_EQ(code("0::/pod/app (deleted)\n"), Code::kGone);
}

}  // namespace
}  // namespace plimsoll::cgroup::mounts_test
