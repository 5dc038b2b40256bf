// SPDX-License-Identifier: Apache-2.0
//
// What decide() makes of announced work.
#include <gtest/gtest.h>

#include "agent/policy/shrink.h"
#include "tests/support/policy_loop.h"

namespace plimsoll::agent::announced_test {
namespace {

using policy_test::container;
using policy_test::Loop;
using policy_test::mib;

TEST(Announced, IsGrownToAtATickWhereTheEventWasNotGranted) {
  Loop loop;
  loop.with({container(0, mib(100), mib(20))}).tick();
  EXPECT_TRUE(loop.plan.actions.empty());
  loop.only().announced = mib(300);
  loop.tick();
  ASSERT_EQ(loop.plan.actions.size(), 1u);
  EXPECT_EQ(loop.plan.actions[0],
            (Action{ActionKind::kGrow, 0, CgroupId{1000}, mib(100), mib(300), Reason::kAnnounced}));
  loop.only().facts.limit = mib(300);
  EXPECT_TRUE(loop.tick().actions.empty());
}

TEST(Announced, CeilingAndBudgetsHold) {
  Loop loop;
  loop.with({container(0, mib(100), mib(20))});
  loop.only().announced = mib(9000);
  loop.only().bounds.ceiling = mib(500);
  loop.tick();
  ASSERT_EQ(loop.plan.actions.size(), 1u);
  EXPECT_EQ(loop.plan.actions[0].to, mib(500));
  EXPECT_GE(loop.plan.budget, mib(1)) << "what it did not get is not paid for";

  Loop poor;
  poor.policy.budget.limit = mib(150);  // of which 36 are given already
  poor.with({container(0, mib(100), mib(20))});
  poor.only().announced = mib(900);
  poor.tick();
  ASSERT_EQ(poor.plan.actions.size(), 1u);
  EXPECT_EQ(poor.plan.actions[0].to, mib(214));

  Loop none;
  none.with({container(0, mib(100), mib(20))});
  none.only().announced = mib(900);
  none.snapshot.node.available.reset();
  EXPECT_TRUE(none.tick().actions.empty());
}

// Where the API raises limits there is time for it.
TEST(Announced, IsWishedWhereLimitsAreBridgedOnly) {
  Loop loop;
  loop.with({container(0, mib(100), mib(20))});
  loop.only().announced = mib(300);
  loop.only().bridge_within = std::chrono::seconds(1);
  loop.tick();
  EXPECT_TRUE(loop.plan.actions.empty());
  ASSERT_EQ(loop.plan.wishes.size(), 1u);
  EXPECT_EQ(loop.plan.wishes[0].to, mib(300));
  EXPECT_EQ(loop.plan.wishes[0].reason, Reason::kAnnounced);
}

TEST(Announced, IsNotTakenBackWhileItRuns) {
  Loop loop;
  loop.with({container(0, mib(1000), mib(100))});
  loop.only().announced = mib(600);
  EXPECT_EQ(loop.until_action(60), 31);
  EXPECT_EQ(loop.plan.actions[0].to, mib(600)) << "what was not announced is";
  loop.only().facts.limit = mib(600);
  EXPECT_EQ(loop.until_action(600), 601);
}

TEST(Announced, IsGivenBackSoonAfterItsEnd) {
  Loop loop;
  loop.with({container(0, mib(600), mib(500))});
  loop.only().announced = mib(600);
  for (int i = 0; i < 10; ++i) loop.tick();
  loop.only().announced.reset();
  loop.only().facts.usage = mib(70);
  EXPECT_LE(loop.until_action(60), 4) << "not a window of 30 s, and not for the peak of before";
  EXPECT_EQ(loop.plan.actions.at(0).kind, ActionKind::kShrink);
  EXPECT_LE(loop.plan.actions[0].to, mib(80));
}

TEST(Announced, WhatStillNeedsItKeepsIt) {
  Loop loop;
  loop.with({container(0, mib(600), mib(570))});
  loop.only().announced = mib(600);
  for (int i = 0; i < 10; ++i) loop.tick();
  loop.only().announced.reset();
  EXPECT_EQ(loop.until_action(60), 61);
}

// A build every few seconds is no limit that was lowered too far.
TEST(Announced, BuildsInARowDoNotWidenTheWindow) {
  Loop loop;
  loop.with({container(0, mib(100), mib(70))}).tick();
  for (int build = 0; build < 5; ++build) {
    loop.only().announced = mib(400);
    ASSERT_EQ(loop.until_action(1), 1) << build;
    loop.only().facts.limit = loop.plan.actions[0].to;
    for (int i = 0; i < 5; ++i) EXPECT_TRUE(loop.tick().actions.empty());
    loop.only().announced.reset();
    ASSERT_LE(loop.until_action(60), 4) << build;
    ASSERT_EQ(loop.plan.actions[0].kind, ActionKind::kShrink);
    loop.only().facts.limit = loop.plan.actions[0].to;
    loop.tick();
    EXPECT_EQ(loop.past().backoff, 1) << build;
  }
}

}  // namespace
}  // namespace plimsoll::agent::announced_test
