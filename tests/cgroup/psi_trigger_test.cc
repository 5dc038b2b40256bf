// SPDX-License-Identifier: Apache-2.0
#include "cgroup/psi_trigger.h"

#include <gtest/gtest.h>

#include <chrono>

#include "tests/support/cgroup_tree.h"

namespace plimsoll::cgroup::psi_trigger_test {
namespace {

using std::chrono::milliseconds;

TEST(PsiTrigger, AsksInMicroseconds) {
  test::CgroupTree tree{{"a", {}}};
  tree.set("a", "memory.pressure", "");
  const auto trigger = PsiTrigger::open(tree.group("a"), milliseconds(150), milliseconds(1000));
  ASSERT_TRUE(trigger) << trigger.error().message;
  EXPECT_EQ(trigger->id(), tree.group("a").id());
  EXPECT_EQ(tree.get("a", "memory.pressure"), "some 150000 1000000");
}

TEST(PsiTrigger, IsUnsupportedWithoutPsi) {
  test::CgroupTree tree{{"a", {}}};
  tree.drop("a", "memory.pressure");
  const auto trigger = PsiTrigger::open(tree.group("a"), milliseconds(150), milliseconds(1000));
  ASSERT_FALSE(trigger);
  EXPECT_EQ(trigger.error().code, Code::kUnsupported);
}

TEST(PsiTrigger, AGroupThatIsGoneDidNotFire) {
  EXPECT_TRUE(PsiTrigger::fired(EPOLLPRI));
  EXPECT_FALSE(PsiTrigger::fired(EPOLLPRI | EPOLLERR));
  EXPECT_TRUE(PsiTrigger::gone(EPOLLPRI | EPOLLERR));
  EXPECT_FALSE(PsiTrigger::fired(0));
}

}  // namespace
}  // namespace plimsoll::cgroup::psi_trigger_test
