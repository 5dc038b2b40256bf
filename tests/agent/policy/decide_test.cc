// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/decide.h"

#include <gtest/gtest.h>

#include <optional>
#include <vector>

#include "tests/support/policy_loop.h"

namespace plimsoll::agent::decide_test {
namespace {

using policy_test::armed;
using policy_test::container;
using policy_test::Loop;
using policy_test::mib;
using policy_test::pages;
using std::chrono::seconds;

TEST(Arming, SaysWhyAContainerMayNotGrow) {
  Loop loop;
  ContainerSnapshot at_ceiling = container(1, mib(4096), mib(10));
  ContainerSnapshot unlimited = container(2, {~std::uint64_t{0}}, mib(10));
  loop.with({container(0, mib(64), mib(10)), at_ceiling, unlimited}).tick();
  ASSERT_EQ(loop.plan.arming.size(), 3U);
  EXPECT_EQ(armed(loop.plan, 0).denial, std::nullopt);
  EXPECT_EQ(armed(loop.plan, 0).bounds.floor, mib(64));
  EXPECT_EQ(armed(loop.plan, 0).bounds.ceiling, mib(4096));
  EXPECT_EQ(armed(loop.plan, 1).denial, Reason::kCeiling);
  EXPECT_EQ(armed(loop.plan, 2).denial, std::nullopt);

  loop.snapshot.node.available.reset();
  loop.tick();
  EXPECT_EQ(loop.plan.budget, Bytes{});
  EXPECT_EQ(armed(loop.plan, 0).denial, Reason::kBudget);
  EXPECT_EQ(armed(loop.plan, 1).denial, Reason::kCeiling) << "the nearer reason stays";
}

TEST(GrowAtTick, ARiseThatNoEventCaughtIsCaughtWhenEventsWereLost) {
  for (const std::uint64_t lost : {0U, 1U}) {
    Loop loop;
    loop.with({container(0, mib(100), mib(20))}).tick();
    loop.only().facts.usage = mib(55);  // 35 MiB/s, 45 MiB to go: 1.3 s
    loop.snapshot.lost_events = lost;
    loop.tick();
    if (lost == 0) {
      EXPECT_TRUE(loop.plan.actions.empty());
      continue;
    }
    ASSERT_EQ(loop.plan.actions.size(), 1U);
    EXPECT_EQ(loop.plan.actions[0], (Action{ActionKind::kGrow, 0, CgroupId{1000}, mib(100),
                                            mib(164), Reason::kTimeToLimit}));
  }
}

TEST(GrowAtTick, OverTheWatermarkARiseIsAnsweredWithoutLossesToo) {
  Loop loop;
  loop.with({container(0, mib(100), mib(80))}).tick();
  loop.only().facts.usage = mib(90);
  ASSERT_EQ(loop.tick().actions.size(), 1U);
  EXPECT_EQ(loop.plan.actions[0].to, mib(164));

  Loop slow;
  slow.with({container(0, mib(100), mib(89))}).tick();
  slow.only().facts.usage = mib(90);  // 10 s to go
  EXPECT_TRUE(slow.tick().actions.empty());
}

TEST(GrowAtTick, ThrashingNeedsStallAndActivationsThatDoNotFit) {
  const auto grows = [](double stall, Bytes activated, Bytes working) {
    Loop loop;
    loop.with({container(0, mib(100), mib(100), mib(100) - working)});
    loop.only().stall_ratio = stall;
    loop.only().refaults = pages(activated) + 10000;
    loop.only().activations = pages(activated);
    return loop.tick().actions.size() == 1 && loop.plan.actions[0].reason == Reason::kThrashing;
  };
  EXPECT_TRUE(grows(0.3, mib(45), mib(60)));
  EXPECT_FALSE(grows(0.1, mib(45), mib(60))) << "no stall";
  EXPECT_FALSE(grows(0.3, mib(0), mib(60))) << "a stream: refaults, but nothing worth keeping";
  EXPECT_FALSE(grows(0.3, mib(30), mib(60))) << "would fit";
}

TEST(GrowAtTick, SlowThrashingAddsUpWhileItStalls) {
  Loop loop;
  loop.with({container(0, mib(100), mib(100), mib(40))});
  loop.only().stall_ratio = 0.5;
  loop.only().activations = pages(mib(15));
  EXPECT_EQ(loop.until_action(10), 3);
  loop = Loop();
  loop.with({container(0, mib(100), mib(100), mib(40))});
  for (int i = 0; i < 20; ++i) {
    loop.only().stall_ratio = i % 2 == 0 ? 0.5 : 0.0;
    loop.only().activations = pages(mib(15));
    EXPECT_TRUE(loop.tick().actions.empty()) << i;
  }
}

TEST(GrowAtTick, AStalledContainerOverItsWatermarkGrows) {
  Loop loop;
  loop.with({container(0, mib(100), mib(95))});
  loop.only().stall_ratio = 0.5;
  ASSERT_EQ(loop.tick().actions.size(), 1U);
  EXPECT_EQ(loop.plan.actions[0].reason, Reason::kReclaimFailing);
}

TEST(GrowAtTick, ItsGrowsComeOutOfTheBudgetThatIsHandedOut) {
  Loop loop;
  loop.policy.budget = {.reserve = Bytes{}, .limit = mib(100)};
  loop.with({container(0, mib(100), mib(95)), container(1, mib(100), mib(95)),
             container(2, mib(100), mib(20))});
  for (ContainerSnapshot& each : loop.snapshot.containers) {
    each.bounds.floor = mib(100);
    each.stall_ratio = 0.5;
  }
  loop.tick();
  ASSERT_EQ(loop.plan.actions.size(), 2U);
  EXPECT_EQ(loop.plan.actions[0].to, mib(164));
  EXPECT_EQ(loop.plan.actions[1].to, mib(136)) << "what was left";
  EXPECT_EQ(loop.plan.budget, Bytes{});
  EXPECT_EQ(armed(loop.plan, 2).denial, Reason::kBudget);
}

TEST(Plan, ParentsGrowFirstAndShrinkLast) {
  Loop loop;
  ContainerSnapshot child = container(0, mib(100), mib(95));
  ContainerSnapshot parent = container(1, mib(100), mib(96));
  child.parent = 1;
  child.stall_ratio = parent.stall_ratio = 0.5;
  loop.with({child, parent}).tick();
  ASSERT_EQ(loop.plan.actions.size(), 2U);
  EXPECT_EQ(loop.plan.actions[0].slot, 1U);
  EXPECT_EQ(loop.plan.actions[1].slot, 0U);

  Loop quiet;
  child = container(1, mib(1000), mib(10));
  parent = container(0, mib(1000), mib(10));
  child.parent = 0;
  quiet.with({parent, child}).until_action(40);
  ASSERT_EQ(quiet.plan.actions.size(), 2U);
  EXPECT_EQ(quiet.plan.actions[0].slot, 1U);
  EXPECT_EQ(quiet.plan.actions[1].slot, 0U);
}

TEST(DecideHistory, ATickThatIsRepeatedOrGoesBackwardsIsHarmless) {
  Loop loop;
  loop.with({container(0, mib(100), mib(20))}).tick();
  loop.only().facts.usage = mib(90);
  loop.snapshot.lost_events = 1;
  loop.snapshot.now -= seconds(1);  // tick() adds it: the same moment again
  EXPECT_TRUE(loop.tick().actions.empty()) << "no time has passed: no rate";
  loop.snapshot.now -= seconds(100);
  EXPECT_TRUE(loop.tick().actions.empty());
}

TEST(DecideHistory, ForgetsWhatIsGoneAndStartsAnewForAReusedSlot) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))});
  for (int i = 0; i < 25; ++i) loop.tick();
  loop.only().id = CgroupId{77};
  loop.tick();
  EXPECT_EQ(loop.history.containers.size(), 1U);
  EXPECT_TRUE(loop.history.containers.contains(CgroupId{77}));
  EXPECT_EQ(loop.until_action(100), 30);
  loop.with({}).tick();
  EXPECT_TRUE(loop.history.containers.empty());
}

}  // namespace
}  // namespace plimsoll::agent::decide_test
