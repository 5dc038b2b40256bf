// SPDX-License-Identifier: Apache-2.0
//
// What the contract leaves open: that nothing is allocated, and what odd files do.
#include "cgroup/limit_file.h"

#include <gtest/gtest.h>

#include <cstddef>
#include <utility>

#include "tests/cgroup/allocation_count.h"
#include "tests/support/cgroup_tree.h"

namespace plimsoll::cgroup::limit_file_test {
namespace {

static_assert(noexcept(std::declval<const LimitFile&>().write(0)));
static_assert(noexcept(std::declval<const LimitFile&>().read()));
static_assert(noexcept(std::declval<const UsageFile&>().read()));

TEST(LimitFile, NeitherReadsNorWritesAllocate) {
  const test::CgroupTree tree{{"a", {{"memory.current", "12345678901234567890\n"}}}};
  const auto max = LimitFile::open_max(tree.group("a"));
  const auto usage = UsageFile::open(tree.group("a"));
  ASSERT_TRUE(max && usage);
  const std::size_t before = test::allocation_count();
  const int wrote = max->write(12345678901234567890U);
  const auto limit = max->read();
  const auto bytes = usage->read();
  const std::size_t after = test::allocation_count();
  EXPECT_EQ(after, before);
  EXPECT_EQ(wrote, 0);
  EXPECT_EQ(limit, Limit{12345678901234567890U});
  EXPECT_EQ(bytes, Bytes{12345678901234567890U});
  EXPECT_GT(before, 0U) << "the counter counts nothing";
}

TEST(LimitFile, WhatMakesNoSenseIsNoValue) {
  test::CgroupTree tree{{"a", {}}};
  const auto max = LimitFile::open_max(tree.group("a"));
  const auto usage = UsageFile::open(tree.group("a"));
  ASSERT_TRUE(max && usage);
  for (const char* const text :
       {"", "x\n", "-1\n", "1 2\n", "123456789012345678901234567890123456\n"}) {
    tree.set("a", "memory.max", text);
    tree.set("a", "memory.current", text);
    EXPECT_EQ(max->read(), std::nullopt) << text;
    EXPECT_EQ(usage->read(), std::nullopt) << text;
  }
  tree.set("a", "memory.current", "max\n");
  EXPECT_EQ(usage->read(), std::nullopt);
}

}  // namespace
}  // namespace plimsoll::cgroup::limit_file_test
