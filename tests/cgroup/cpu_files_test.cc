// SPDX-License-Identifier: Apache-2.0
//
// What the contract leaves open: that nothing is allocated, and what odd files do.
#include "cgroup/cpu_files.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstddef>

#include "tests/cgroup/allocation_count.h"
#include "tests/support/cgroup_tree.h"

namespace plimsoll::cgroup::cpu_files_test {
namespace {

using std::chrono::microseconds;

TEST(CpuFiles, NeitherReadsNorWritesAllocate) {
  const test::CgroupTree tree{{"a", {}}};
  const auto files = CpuFiles::open(tree.group("a"));
  ASSERT_TRUE(files);
  const std::size_t before = test::allocation_count();
  const int wrote = files->write_max({microseconds(40'000), microseconds(100'000)});
  const int burst = files->write_burst(microseconds(20'000));
  const auto max = files->read_max();
  const auto read = files->read_burst();
  const std::size_t after = test::allocation_count();
  EXPECT_EQ(after, before);
  EXPECT_EQ(wrote, 0);
  EXPECT_EQ(burst, 0);
  EXPECT_EQ(max, (CpuMax{microseconds(40'000), microseconds(100'000)}));
  EXPECT_EQ(read, microseconds(20'000));
  EXPECT_GT(before, 0U) << "the counter counts nothing";
}

TEST(CpuFiles, WithoutBurstTheLimitIsStillThere) {
  test::CgroupTree tree{{"a", {}}};
  tree.drop("a", "cpu.max.burst");
  const auto files = CpuFiles::open(tree.group("a"));
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->read_burst(), std::nullopt);
  EXPECT_EQ(files->write_burst(microseconds(1)), ENOTSUP);
  EXPECT_EQ(files->write_max({microseconds(40'000), microseconds(100'000)}), 0);
}

TEST(CpuFiles, WhatMakesNoSenseIsNoValue) {
  test::CgroupTree tree{{"a", {}}};
  const auto files = CpuFiles::open(tree.group("a"));
  ASSERT_TRUE(files);
  for (const char* const text : {"", "x\n", "-1\n", "1\n", "1 0\n"}) {
    tree.set("a", "cpu.max", text);
    EXPECT_EQ(files->read_max(), std::nullopt) << text;
  }
  tree.set("a", "cpu.max.burst", "max\n");
  EXPECT_EQ(files->read_burst(), std::nullopt);
}

}  // namespace
}  // namespace plimsoll::cgroup::cpu_files_test
