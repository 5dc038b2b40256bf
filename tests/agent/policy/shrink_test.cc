// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/shrink.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "tests/support/policy_loop.h"

namespace plimsoll::agent::shrink_test {
namespace {

using policy_test::armed;
using policy_test::container;
using policy_test::Loop;
using policy_test::mib;
using policy_test::pages;

TEST(Shrink, AfterAQuietWindowToThePeakAndItsMargin) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(500))});
  EXPECT_EQ(loop.until_action(60), 31) << "first seen at tick 1, a window of 30 s later";
  ASSERT_EQ(loop.plan.actions.size(), 1U);
  EXPECT_EQ(loop.plan.actions[0], (Action{ActionKind::kShrink, 0, CgroupId{1000}, mib(1000),
                                          mib(525), Reason::kLeaseEnded}));
  EXPECT_EQ(armed(loop.plan, 0).settled, mib(500));
}

TEST(Shrink, ToTheFloorAndNotBelow) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(5))});
  EXPECT_EQ(loop.until_action(60), 31);
  EXPECT_EQ(loop.plan.actions.at(0).to, mib(64));
  loop.only().facts.limit = mib(64);
  EXPECT_EQ(loop.until_action(600), 601) << "at the floor there is nothing left to do";
  loop.only().facts.limit = mib(60);
  EXPECT_EQ(loop.until_action(600), 601) << "and below it even less";
}

TEST(Shrink, ASmallProgramKeepsRoomForChargeBatches) {
  Loop loop;
  loop.with({container(0, mib(64), {5 * kMiB + 800 * kKiB})});
  loop.only().bounds.floor = mib(4);
  loop.until_action(60);
  EXPECT_EQ(loop.plan.actions.at(0).to, mib(7));
}

TEST(Shrink, ThePeakWithinTheWindowCounts) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))});
  for (int i = 0; i < 15; ++i) loop.tick();
  loop.only().peak = mib(950);  // between two ticks, seen by the kernel only
  loop.tick();
  loop.only().peak.reset();
  const int ticks = loop.until_action(60);
  EXPECT_GE(ticks, 28);
  EXPECT_LE(ticks, 30) << "within the configured time after the peak";
  EXPECT_EQ(loop.plan.actions.at(0).to, mib(105));
}

TEST(Shrink, NotWhileThePeakIsNearTheLimitOrTheGainSmall) {
  for (const std::uint64_t usage : {920U, 930U, 1000U}) {
    Loop loop;
    loop.with({container(0, mib(1000), mib(usage))});
    EXPECT_EQ(loop.until_action(100), 101) << usage;
  }
  Loop gain;  // 915 * 1.07 is above 97 % of 1000
  gain.policy.memory.shrink_margin = 0.07;
  gain.with({container(0, mib(1000), mib(915))});
  EXPECT_EQ(gain.until_action(100), 101);
}

TEST(Shrink, GrantsAndKillsStartTheWindowAgain) {
  const auto delayed = [](auto change) {
    Loop loop;
    loop.with({container(0, mib(1000), mib(100))});
    for (int i = 0; i < 20; ++i) loop.tick();
    change(loop.only());
    loop.tick();
    loop.only().grants = 0;
    return loop.until_action(100);
  };
  EXPECT_EQ(delayed([](ContainerSnapshot&) {}), 10);
  EXPECT_EQ(delayed([](ContainerSnapshot& c) { c.grants = 1; }), 30);
  EXPECT_EQ(delayed([](ContainerSnapshot& c) { c.facts.limit += mib(64); }), 30);
  EXPECT_EQ(delayed([](ContainerSnapshot& c) { ++c.oom_kills; }), 30);
}

TEST(Shrink, NeverInAWindowThatLostEvents) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))});
  for (int i = 0; i < 300; ++i) {
    loop.snapshot.lost_events = i % 25 == 0 ? 1 : 0;
    EXPECT_TRUE(loop.tick().actions.empty()) << i;
  }
  loop.snapshot.lost_events = 0;  // last loss at i = 275, 24 ticks ago
  EXPECT_EQ(loop.until_action(60), 6);
}

TEST(Shrink, NotWhileItStalls) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))});
  loop.only().stall_ratio = 0.15;
  EXPECT_EQ(loop.until_action(100), 101);
  loop.only().stall_ratio = 0.05;
  EXPECT_EQ(loop.until_action(100), 1);
}

TEST(Shrink, NotWhenTheNewLimitWouldBeGrownAtOnce) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(480))});
  for (int i = 0; i < 29; ++i) loop.tick();
  loop.only().facts.usage = mib(80);
  loop.tick();
  // A sawtooth, on its way up at 400 MiB/s: 24 MiB of headroom would be 60 ms.
  loop.only().facts.usage = mib(480);
  EXPECT_TRUE(loop.tick().actions.empty());
  EXPECT_EQ(loop.until_action(10), 1) << "and flat a tick later";
}

TEST(Shrink, AClimbIsLeftRoomToGoOn) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))});
  while (loop.tick().actions.empty()) loop.only().facts.usage += mib(2);
  EXPECT_EQ(loop.plan.actions.at(0).kind, ActionKind::kShrink);
  // 2 MiB a second for at least three windows more, not to the peak of 160 MiB.
  EXPECT_GE(loop.plan.actions.at(0).to, mib(160 + 3 * 60));
}

TEST(Shrink, AnUnlimitedContainerIsLeftAlone) {
  Loop loop;
  loop.with({container(0, {~std::uint64_t{0}}, mib(100))});
  EXPECT_EQ(loop.until_action(100), 101);
}

// 100 MiB of working memory in a limit that cache fills.
Loop cached() {
  Loop loop;
  loop.with({container(0, mib(1000), mib(1000), mib(900))});
  return loop;
}

TEST(Probe, CacheIsReclaimedBeforeTheLimitGoesDown) {
  Loop loop = cached();
  EXPECT_EQ(loop.until_action(60), 31);
  ASSERT_EQ(loop.plan.actions.size(), 1U);
  const Action probe = loop.plan.actions[0];
  EXPECT_EQ(probe.kind, ActionKind::kReclaim);
  EXPECT_EQ(probe.from, mib(1000));
  EXPECT_LT(probe.to, mib(105));
  EXPECT_GE(probe.to, mib(100)) << "never below what cannot be reclaimed";
  loop.only().facts = {mib(1000), probe.to, probe.to - mib(100), {}};
  ASSERT_EQ(loop.tick().actions.size(), 1U);
  EXPECT_EQ(loop.plan.actions[0].kind, ActionKind::kShrink);
  EXPECT_EQ(loop.plan.actions[0].to, mib(105));
}

TEST(Probe, AStreamThatRefillsItsCacheLosesItAnyway) {
  Loop loop = cached();
  loop.until_action(60);
  EXPECT_EQ(loop.plan.actions.at(0).kind, ActionKind::kReclaim);
  EXPECT_EQ(loop.tick().actions.at(0).kind, ActionKind::kReclaim);
  EXPECT_EQ(loop.tick().actions.at(0).kind, ActionKind::kShrink);
}

TEST(Probe, AStreamThatRefaultedBeforeIsNotAJump) {
  Loop loop = cached();
  loop.only().refaults = pages(mib(400));
  EXPECT_EQ(loop.until_action(60), 31);
  loop.only().refaults = pages(mib(500));
  loop.tick();
  EXPECT_EQ(loop.tick().actions.at(0).kind, ActionKind::kShrink);
}

TEST(Probe, CacheThatComesBackOrStallsKeepsTheLimitAndWaitsTwiceAsLong) {
  for (const bool stalls : {false, true}) {
    Loop loop = cached();
    EXPECT_EQ(loop.until_action(60), 31);
    loop.only().refaults = stalls ? 0 : pages(mib(300));
    loop.only().stall_ratio = stalls ? 0.15 : 0;
    EXPECT_TRUE(loop.tick().actions.empty());
    loop.only().refaults = 0;
    loop.only().stall_ratio = 0;
    EXPECT_EQ(loop.until_action(200), 60);
    ASSERT_EQ(loop.plan.actions.at(0).kind, ActionKind::kReclaim);
    EXPECT_GT(loop.plan.actions.at(0).to, mib(500)) << "half of the cache is left this time";
  }
}

TEST(Probe, WithoutRefaultsNobodyCanSayWhatItCost) {
  Loop loop = cached();
  loop.only().refaults.reset();
  int reclaims = 0;
  for (int i = 0; i < 300; ++i) {
    for (const Action& action : loop.tick().actions) {
      EXPECT_EQ(action.kind, ActionKind::kReclaim);
      ++reclaims;
    }
  }
  EXPECT_GT(reclaims, 0);
  EXPECT_LE(reclaims, 2 * 300 / 30) << "two per window";
}

TEST(Probe, WhereThereIsNoReclaimOnlyWhatIsUnusedGoes) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(600), mib(500))});
  loop.only().can_reclaim = false;
  EXPECT_EQ(loop.until_action(60), 31);
  EXPECT_EQ(loop.plan.actions.at(0).kind, ActionKind::kShrink);
  EXPECT_EQ(loop.plan.actions.at(0).to, mib(601));
}

// Applies the shrink of the current plan and lets it grow `after` ticks later.
void regret(Loop& loop, int after) {
  ASSERT_EQ(loop.plan.actions.at(0).kind, ActionKind::kShrink);
  loop.only().facts.limit = loop.plan.actions.at(0).to;
  for (int i = 1; i < after; ++i) loop.tick();
  loop.only().facts.limit = mib(1000);
  loop.only().grants = 1;
  loop.tick();
  loop.only().grants = 0;
}

TEST(Backoff, AShrinkThatIsRegrettedDoublesTheWaitUpToTheFactor) {
  Loop loop;
  loop.policy.memory.shrink_backoff_max = 8;
  loop.with({container(0, mib(1000), mib(100))}).until_action(100);
  for (const int wait : {60, 120, 240, 240, 240}) {
    regret(loop, 10);
    EXPECT_EQ(loop.until_action(1000), wait);
  }
}

TEST(Backoff, GrowthLongAfterTheShrinkIsNotRegret) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))}).until_action(100);
  regret(loop, 40);
  EXPECT_EQ(loop.until_action(1000), 30);
}

TEST(Backoff, LeavesMoreRoomAndDecaysWhenCalm) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))}).until_action(100);
  EXPECT_EQ(loop.plan.actions.at(0).to, mib(105));
  regret(loop, 10);
  EXPECT_EQ(loop.until_action(100), 60);
  EXPECT_EQ(loop.plan.actions.at(0).to, mib(110)) << "twice the margin";
  EXPECT_EQ(loop.past().backoff, 2);
  loop.only().facts.limit = mib(110);
  for (int i = 0; i < 119; ++i) loop.tick();
  EXPECT_EQ(loop.past().backoff, 2);
  loop.tick();
  EXPECT_EQ(loop.past().backoff, 1);
}

TEST(Backoff, AShrinkThatWasNotAppliedIsNotRegretted) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))}).until_action(100);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(loop.until_action(100), 15) << "a dry run says the same again half a window later";
    EXPECT_EQ(loop.past().backoff, 1);
  }
}

}  // namespace
}  // namespace plimsoll::agent::shrink_test
