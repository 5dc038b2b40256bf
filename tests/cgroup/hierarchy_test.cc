// SPDX-License-Identifier: Apache-2.0
#include "cgroup/hierarchy.h"

#include <gtest/gtest.h>

#include "tests/support/cgroup_tree.h"

namespace plimsoll::cgroup::hierarchy_test {
namespace {

Level level(Limit max, std::uint64_t current) {
  return {.max = max, .high = kNoLimit, .current = Bytes{current}};
}

TEST(BindingLimit, IsTheSmallestMarginNotTheSmallestLimit) {
  EXPECT_EQ(binding_limit({level(Limit{100}, 10), level(Limit{200}, 150)}), 1U);
  EXPECT_EQ(binding_limit({level(Limit{100}, 60), level(Limit{200}, 150)}), 0U);
}

TEST(BindingLimit, ANearerLevelWinsATie) {
  EXPECT_EQ(binding_limit({level(Limit{100}, 50), level(Limit{200}, 150)}), 0U);
}

TEST(BindingLimit, NoLimitNeverBinds) {
  EXPECT_EQ(binding_limit({}), std::nullopt);
  EXPECT_EQ(binding_limit({level(kNoLimit, 10), level(kNoLimit, 20)}), std::nullopt);
  EXPECT_EQ(binding_limit({level(kNoLimit, 10), level(Limit{100}, 20)}), 1U);
}

TEST(BindingLimit, UsageAboveTheLimitLeavesNoMargin) {
  EXPECT_EQ(margin_of(level(Limit{100}, 150)), Bytes{0});
  EXPECT_EQ(margin_of(level(kNoLimit, 150)), std::nullopt);
  EXPECT_EQ(binding_limit({level(Limit{100}, 99), level(Limit{100}, 150)}), 1U);
}

TEST(Levels, AreTheGroupAndWhatIsAboveIt) {
  const test::CgroupTree tree{
      {"pod", {{"memory.max", "200\n"}, {"memory.current", "150\n"}}},
      {"pod/app", {{"memory.max", "100\n"}, {"memory.high", "90\n"}, {"memory.current", "10\n"}}},
      {"pod/other", {}}};
  const Group pod = tree.group("pod");
  const Group app = tree.group("pod/app");
  const auto levels = read_levels(tree.root(), app);
  ASSERT_TRUE(levels) << levels.error().message;
  EXPECT_EQ(*levels, (std::vector<Level>{{app.id(), "pod/app", Limit{100}, Limit{90}, Bytes{10}},
                                         {pod.id(), "pod", Limit{200}, kNoLimit, Bytes{150}}}));
}

TEST(Levels, AnAncestorWithoutTheControllerIsLeftOut) {
  test::CgroupTree tree{{"slice/pod", {}}};
  tree.drop("slice", "memory.max");
  const auto levels = read_levels(tree.root(), tree.group("slice/pod"));
  ASSERT_TRUE(levels) << levels.error().message;
  EXPECT_EQ(levels->size(), 1U);
  // A broken one is not taken for one without a limit.
  tree.set("slice", "memory.max", "?\n");
  const auto broken = read_levels(tree.root(), tree.group("slice/pod"));
  ASSERT_FALSE(broken);
  EXPECT_EQ(broken.error().code, Code::kMalformed);
}

}  // namespace
}  // namespace plimsoll::cgroup::hierarchy_test
