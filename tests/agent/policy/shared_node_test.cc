// SPDX-License-Identifier: Apache-2.0
//
// decide() where limits are others' to apply, budgets are shared and some come first.
#include <gtest/gtest.h>

#include <chrono>
#include <optional>
#include <vector>

#include "agent/policy/budget.h"
#include "tests/support/policy_loop.h"

namespace plimsoll::agent::shared_node_test {
namespace {

using policy_test::armed;
using policy_test::container;
using policy_test::Loop;
using policy_test::mib;
using std::chrono::seconds;

constexpr Rank kLow{.priority = 0, .qos = QosRank::kBurstable};
constexpr Rank kHigh{.priority = 1000, .qos = QosRank::kBurstable};

// At its limit of 100 MiB and stalled: it needs 64 MiB more.
ContainerSnapshot needy(Slot slot, Rank rank = {}, BudgetGroup group = kNoGroup) {
  ContainerSnapshot result = container(slot, mib(100), mib(95));
  result.bounds.floor = mib(100);
  result.stall_ratio = 0.5;
  result.rank = rank;
  result.group = group;
  return result;
}
Action grow(Slot slot, Bytes to, Reason reason = Reason::kReclaimFailing) {
  return {ActionKind::kGrow, slot, CgroupId{1000 + slot}, mib(100), to, reason};
}
Loop with_budget(std::optional<Bytes> limit) {
  Loop loop;
  loop.policy.budget = {.reserve = Bytes{}, .limit = limit};
  return loop;
}

TEST(Groups, WithoutALimitNothingGrows) {
  Loop loop;
  loop.with({needy(0, {}, 7)}).tick();
  EXPECT_TRUE(loop.plan.actions.empty());
  EXPECT_EQ(armed(loop.plan, 0).denial, Reason::kGroupBudget);
  loop.snapshot.groups[7] = kNoLimit;
  loop.tick();
  EXPECT_EQ(loop.plan.actions, (std::vector<Action>{grow(0, mib(164))}));
  EXPECT_EQ(armed(loop.plan, 0).denial, std::nullopt);
}

TEST(Groups, GrantsStayWithinTheGroupsLimit) {
  Loop loop;
  ContainerSnapshot grown = container(2, mib(130), mib(20));
  grown.bounds.floor = mib(100);
  grown.group = 1;
  loop.snapshot.groups = {{1, limit_of(mib(110))}, {2, limit_of(mib(1000))}};
  loop.with({needy(0, {}, 1), needy(1, {}, 1), grown, needy(3, {}, 2)}).tick();
  EXPECT_EQ(loop.plan.actions,
            (std::vector<Action>{grow(0, mib(164)), grow(1, mib(116)), grow(3, mib(164))}));
  EXPECT_EQ(loop.plan.groups.at(1), (GroupBudget{mib(110), Bytes{}}));
  EXPECT_EQ(loop.plan.groups.at(2), (GroupBudget{mib(64), mib(936)}));
  EXPECT_EQ(armed(loop.plan, 2).denial, Reason::kGroupBudget);
  EXPECT_EQ(armed(loop.plan, 3).denial, std::nullopt);
}

TEST(Groups, ASliceContainsItsContainersAlsoInTheGroup) {
  ContainerSnapshot slice = container(0, mib(300), mib(10));
  ContainerSnapshot inner = container(1, mib(200), mib(10));
  slice.group = inner.group = 3;
  inner.parent = 0;
  Snapshot snapshot;
  snapshot.node = {mib(10000), mib(5000)};
  snapshot.groups[3] = limit_of(mib(1000));
  snapshot.containers = {slice, inner};
  EXPECT_EQ(remaining_budget(snapshot, {}).groups.at(3).left, mib(1000 - (300 - 64)));
  snapshot.containers[0].covers_children = true;
  EXPECT_EQ(remaining_budget(snapshot, {}).groups.at(3).left, mib(1000 - (200 - 64)))
      << "what a slice has above its containers' limits, nobody can use";
  snapshot.containers[1].facts.limit = {~std::uint64_t{0}};
  EXPECT_EQ(remaining_budget(snapshot, {}).groups.at(3).left, mib(1000 - (300 - 64)))
      << "a container without a limit can";
}

TEST(Priority, TheHigherIsServedFirst) {
  Loop loop = with_budget(mib(100));
  loop.with({needy(0, kLow), needy(1, kHigh)}).tick();
  EXPECT_EQ(loop.plan.actions, (std::vector<Action>{grow(0, mib(136)), grow(1, mib(164))}));
}

TEST(Priority, ThenQosThenTheTimeToTheLimit) {
  Loop loop = with_budget(mib(100));
  loop.with({needy(0, {0, QosRank::kBestEffort}), needy(1, {0, QosRank::kGuaranteed})}).tick();
  EXPECT_EQ(loop.plan.actions, (std::vector<Action>{grow(0, mib(136)), grow(1, mib(164))}));

  Loop equal = with_budget(mib(100));
  equal.with({needy(0), needy(1)});
  equal.snapshot.containers[0].facts.usage = equal.snapshot.containers[1].facts.usage = mib(80);
  for (ContainerSnapshot& each : equal.snapshot.containers) each.stall_ratio = 0;
  equal.tick();
  ASSERT_TRUE(equal.plan.actions.empty());
  equal.snapshot.containers[0].facts.usage = mib(90);
  equal.snapshot.containers[1].facts.usage = mib(95);  // faster, and nearer
  equal.tick();
  EXPECT_EQ(equal.plan.actions, (std::vector<Action>{grow(0, mib(136), Reason::kTimeToLimit),
                                                     grow(1, mib(164), Reason::kTimeToLimit)}));
}

TEST(Priority, EventsOfTheLowerLeaveTheHigherItsNextGrant) {
  Loop loop = with_budget(mib(1000));
  ContainerSnapshot low = container(0, mib(100), mib(10));
  ContainerSnapshot high = container(1, mib(200), mib(10));
  low.bounds.floor = mib(100);
  high.bounds.floor = mib(200);
  low.rank = kLow;
  high.rank = kHigh;
  loop.with({low, high}).tick();
  EXPECT_EQ(armed(loop.plan, 0).kept, mib(100)) << "half of the limit of 200 MiB";
  EXPECT_EQ(armed(loop.plan, 1).kept, Bytes{});
  EXPECT_EQ(armed(loop.plan, 0).denial, std::nullopt);

  loop.policy.budget.limit = mib(100);
  loop.tick();
  EXPECT_EQ(armed(loop.plan, 0).denial, Reason::kPriority);
  EXPECT_EQ(armed(loop.plan, 1).denial, std::nullopt);
}

TEST(Node, AllocatableBoundsTheBudget) {
  Snapshot snapshot;
  snapshot.node = {mib(10000), mib(5000), mib(3000)};
  // 500 needed and 564 promised and not used.
  snapshot.containers = {container(0, mib(1064), mib(500))};
  EXPECT_EQ(remaining_budget(snapshot, {}).node, mib(3000 - 500 - 564));
  snapshot.node.allocatable.reset();
  EXPECT_EQ(remaining_budget(snapshot, {}).node, mib(4500 - 564));
}

TEST(Node, ACgroupThatIsNeverChangedBoundsWhatIsBelowIt) {
  ContainerSnapshot kubepods = container(0, mib(3000), mib(1200), mib(200));
  kubepods.bounds.floor = mib(2000);  // what it was when it was first seen
  kubepods.bounds.ceiling = {};
  ContainerSnapshot inner = container(1, mib(1064), mib(500));
  inner.parent = 0;
  Loop loop;
  loop.policy.budget.reserve = Bytes{};
  loop.with({kubepods, inner}).tick();
  EXPECT_EQ(loop.plan.budget, mib(3000 - 1000 - 564));
  EXPECT_EQ(armed(loop.plan, 0).denial, Reason::kCeiling);
  for (int i = 0; i < 100; ++i) {
    loop.tick();
    for (const Action& action : loop.plan.actions) EXPECT_NE(action.slot, 0U);
  }
  loop.snapshot.containers[0].facts.limit = {~std::uint64_t{0}};
  loop.tick();
  EXPECT_GT(loop.plan.budget, mib(3000)) << "without a limit it bounds nothing";
}

TEST(Wishes, AGrowIsWishedAndCountsAsPromisedUntilItIsThere) {
  Loop loop = with_budget(mib(200));
  ContainerSnapshot far = needy(0);
  far.bounds.direct_ceiling = Bytes{};
  loop.with({far}).tick();
  EXPECT_TRUE(loop.plan.actions.empty());
  ASSERT_EQ(loop.plan.wishes, (std::vector<Action>{grow(0, mib(164))}));
  EXPECT_EQ(loop.plan.budget, mib(136));
  EXPECT_EQ(armed(loop.plan, 0).denial, std::nullopt);

  loop.only().wished = mib(164);  // as the engine remembers it
  EXPECT_EQ(remaining_budget(loop.snapshot, loop.policy.budget).node, mib(136));
  loop.tick();
  EXPECT_EQ(loop.plan.wishes.size(), 1U) << "a second later it is still needed";
  EXPECT_EQ(loop.plan.budget, mib(136)) << "and not paid for twice";
  loop.snapshot.now -= std::chrono::milliseconds(900);
  loop.tick();
  EXPECT_TRUE(loop.plan.wishes.empty()) << "it has just been said";
}

TEST(Wishes, ThatWereGrantedCountForALeak) {
  Loop loop;
  loop.policy.memory.leak_grants = 3;
  loop.policy.memory.leak_window = seconds(10);
  ContainerSnapshot leaking = container(0, mib(100), mib(90));
  leaking.bounds.direct_ceiling = Bytes{};
  loop.with({leaking}).tick();
  for (int i = 0; i < 20 && armed(loop.plan, 0).denial != Reason::kLeak; ++i) {
    loop.only().facts.usage += mib(10);
    if (i % 4 == 0) {
      loop.only().facts.limit += mib(50);
      loop.only().wished = loop.only().facts.limit + mib(50);
    }
    loop.tick();
  }
  EXPECT_EQ(armed(loop.plan, 0).denial, Reason::kLeak);
}

TEST(Wishes, ALowerLimitBelowTheDirectFloorIsWished) {
  Loop loop;
  ContainerSnapshot quiet = container(0, mib(1000), mib(100));
  quiet.bounds.direct_floor = mib(1000);
  loop.with({quiet});
  int ticks = 0;
  while (ticks < 100 && loop.tick().wishes.empty()) {
    EXPECT_TRUE(loop.plan.actions.empty());
    ++ticks;
  }
  ASSERT_EQ(loop.plan.wishes.size(), 1U);
  EXPECT_TRUE(loop.plan.actions.empty());
  const Action wish = loop.plan.wishes[0];
  EXPECT_EQ(wish.kind, ActionKind::kShrink);
  EXPECT_EQ(wish.from, mib(1000));
  EXPECT_EQ(wish.to, mib(105));
  EXPECT_EQ(armed(loop.plan, 0).settled, Bytes{}) << "nothing has been lowered yet";
  int again = 1;
  while (again < 100 && loop.tick().wishes.empty()) ++again;
  EXPECT_EQ(again, 15) << "half a window later";

  loop.only().facts.limit = mib(105);  // applied
  loop.tick();
  EXPECT_EQ(armed(loop.plan, 0).settled, mib(100));
}

TEST(Wishes, ALeaseEndsDirectlyAtWhatTheOtherSideKnows) {
  Loop loop;
  ContainerSnapshot lease = container(0, mib(1000), mib(100));
  lease.bounds.direct_floor = mib(400);
  loop.with({lease}).until_action(100);
  ASSERT_EQ(loop.plan.actions.size(), 1U);
  EXPECT_EQ(loop.plan.actions[0].to, mib(400));
  ASSERT_EQ(loop.plan.wishes.size(), 1U);
  EXPECT_EQ(loop.plan.wishes[0].to, mib(105));
}

TEST(Slices, AreRepairedToWhatTheirContainersHave) {
  ContainerSnapshot slice = container(0, mib(175), mib(60));
  slice.bounds.floor = mib(300);
  slice.covers_children = true;
  ContainerSnapshot first = container(1, mib(264), mib(30));
  ContainerSnapshot second = container(2, mib(64), mib(30));
  first.parent = second.parent = 0;
  Loop loop = with_budget(Bytes{});
  loop.with({slice, first, second}).tick();
  ASSERT_EQ(loop.plan.actions.size(), 1U);
  EXPECT_EQ(loop.plan.actions[0], (Action{ActionKind::kGrow, 0, CgroupId{1000}, mib(175), mib(500),
                                          Reason::kBelowChildren}))
      << "its floor of 300 and the 200 that the first was given; it costs no budget";

  for (const Bytes limit : {Bytes{~std::uint64_t{0}}, mib(500), mib(500) - Bytes{4096}}) {
    loop.snapshot.containers[0].facts.limit = limit;
    loop.tick();
    EXPECT_TRUE(loop.plan.actions.empty()) << to_string(limit);
  }
  loop.snapshot.containers[0].facts.limit = mib(175);
  loop.snapshot.containers[0].bounds.direct_ceiling = mib(400);
  loop.tick();
  ASSERT_EQ(loop.plan.actions.size(), 1U);
  EXPECT_EQ(loop.plan.actions[0].to, mib(400));
  loop.snapshot.containers[0].covers_children = false;
  loop.tick();
  EXPECT_TRUE(loop.plan.actions.empty()) << "a parent that is a unit of its own";
}

TEST(Slices, AreNotShrunkBelowTheirContainers) {
  ContainerSnapshot slice = container(0, mib(900), mib(60));
  slice.bounds.floor = mib(64);
  slice.covers_children = true;
  ContainerSnapshot inner = container(1, mib(500), mib(60));
  inner.parent = 0;
  inner.oom_kills = 0;
  Loop loop;
  loop.with({slice, inner});
  std::optional<Bytes> slice_to;
  for (int i = 0; i < 200 && !slice_to; ++i) {
    loop.tick();
    for (const Action& action : loop.plan.actions) {
      if (action.slot == 0) slice_to = action.to;
    }
    // The container keeps what it has.
    loop.history.containers.erase(CgroupId{1001});
  }
  EXPECT_EQ(slice_to, mib(500));
}

class IdleRoom : public ::testing::Test {
 protected:
  // Two idle ones that stand above their floors, and nothing is left.
  IdleRoom() : loop(with_budget(mib(900))) {
    loop.policy.budget.take_back = true;
    ContainerSnapshot idle = container(0, mib(500), mib(40));
    idle.bounds.floor = mib(50);
    idle.rank = kLow;
    ContainerSnapshot other = idle;
    other.slot = 1;
    other.id = CgroupId{1001};
    ContainerSnapshot high = container(2, mib(100), mib(20));
    high.bounds.floor = mib(100);
    high.rank = kHigh;
    loop.with({idle, other, high});
    for (int i = 0; i < 12; ++i) {
      loop.tick();
      EXPECT_TRUE(loop.plan.actions.empty());
    }
  }
  void need() {
    ContainerSnapshot& high = loop.snapshot.containers[2];
    high.facts.usage = mib(95);
    high.stall_ratio = 0.5;
    loop.history.containers.at(high.id).working = mib(95);  // no rate: just one step
  }
  Loop loop;
};

TEST_F(IdleRoom, IdleRoomGoesToWhoComesFirst) {
  need();
  loop.tick();
  ASSERT_EQ(loop.plan.actions.size(), 1U) << "as much as is needed, not all";
  const Action taken = loop.plan.actions[0];
  EXPECT_EQ(taken, (Action{ActionKind::kShrink, 0, CgroupId{1000}, mib(500), mib(500 - 64),
                           Reason::kTakenBack}));
  loop.snapshot.containers[0].facts.limit = taken.to;
  loop.tick();
  ASSERT_EQ(loop.plan.actions.size(), 1U);
  EXPECT_EQ(loop.plan.actions[0].slot, 2U);
  EXPECT_EQ(loop.plan.actions[0].to, mib(164));
}

TEST_F(IdleRoom, NeverFromWhoComesBefore) {
  for (int i = 0; i < 2; ++i) loop.snapshot.containers[static_cast<std::size_t>(i)].rank = {2000};
  need();
  EXPECT_TRUE(loop.tick().actions.empty());
}

TEST_F(IdleRoom, OnlyIfConfigured) {
  loop.policy.budget.take_back = false;
  need();
  EXPECT_TRUE(loop.tick().actions.empty());
}

TEST_F(IdleRoom, NotWhatIsUsedOrHasJustGrown) {
  loop.snapshot.containers[0].facts.usage = mib(495);
  loop.snapshot.containers[0].facts.reclaimable = mib(450);
  loop.snapshot.containers[1].grants = 1;
  need();
  EXPECT_TRUE(loop.tick().actions.empty()) << "cache, and a grant of this second";
}

TEST_F(IdleRoom, NotAfterLosses) {
  loop.snapshot.lost_events = 1;
  need();
  for (const Action& action : loop.tick().actions) EXPECT_NE(action.kind, ActionKind::kShrink);
}

TEST_F(IdleRoom, BelowTheDirectFloorItIsWished) {
  loop.snapshot.containers[0].bounds.direct_floor = mib(500);
  need();
  loop.tick();
  EXPECT_TRUE(loop.plan.actions.empty());
  ASSERT_EQ(loop.plan.wishes.size(), 1U);
  EXPECT_EQ(loop.plan.wishes[0].reason, Reason::kTakenBack);
}

}  // namespace
}  // namespace plimsoll::agent::shared_node_test
