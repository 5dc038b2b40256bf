// SPDX-License-Identifier: Apache-2.0
#include "agent/decide.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <ostream>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "agent/budget.h"
#include "agent/shrink.h"
#include "agent/tree.h"

namespace plimsoll::agent {

void PrintTo(const Action& action, std::ostream* out) {
  *out << to_string(action.kind) << " slot=" << action.slot << " from=" << to_string(action.from)
       << " to=" << to_string(action.to) << " reason=" << to_string(action.reason);
}

namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
constexpr std::uint64_t pages(Bytes bytes) { return bytes.value / 4096; }

ContainerSnapshot container(Slot slot, Bytes limit, Bytes usage, Bytes reclaimable = {}) {
  ContainerSnapshot result;
  result.slot = slot;
  result.id = CgroupId{1000 + slot};
  result.floor = mib(64);
  result.ceiling = mib(4096);
  result.facts = {limit, usage, reclaimable, {}};
  result.refaults = 0;
  result.activations = 0;
  result.stall_ratio = 0;
  return result;
}

// Ticks a second apart over one decide(), keeping its history.
class Loop {
 public:
  Policy policy;
  Snapshot snapshot;
  History history;
  Plan plan;

  Loop() {
    snapshot.now = MonotonicTime{seconds(1000)};
    snapshot.node = {Bytes{16 * kGiB}, Bytes{8 * kGiB}};
  }
  Loop& with(std::vector<ContainerSnapshot> containers) {
    snapshot.containers = std::move(containers);
    return *this;
  }
  ContainerSnapshot& only() { return snapshot.containers.at(0); }

  const Plan& tick() {
    snapshot.now += seconds(1);
    Decision decision = decide(snapshot, policy, std::move(history));
    history = std::move(decision.history);
    plan = std::move(decision.plan);
    return plan;
  }
  // Ticks until a plan has an action or `most` ticks went by; returns how many it took.
  int until_action(int most) {
    for (int i = 1; i <= most; ++i) {
      if (!tick().actions.empty()) return i;
    }
    return most + 1;
  }
  ContainerHistory& past() { return history.containers.begin()->second; }
};

Armed armed(const Plan& plan, Slot slot) {
  for (const Arming& each : plan.arming) {
    if (each.slot == slot) return each.armed;
  }
  ADD_FAILURE() << "slot " << slot << " has no arming";
  return {};
}

// --- budget

Bytes budget_with(std::vector<ContainerSnapshot> containers, BudgetPolicy policy = {},
                  NodeSnapshot node = {mib(10000), mib(5000)}) {
  Snapshot snapshot;
  snapshot.node = node;
  snapshot.containers = std::move(containers);
  return budget_of(snapshot, policy);
}

TEST(Budget, IsWhatIsAvailableLessTheReserve) {
  EXPECT_EQ(budget_with({}), mib(4500));
  EXPECT_EQ(budget_with({}, {.reserve = mib(1000)}), mib(4000));
  EXPECT_EQ(budget_with({}, {.reserve = mib(9000)}), Bytes{});
  EXPECT_EQ(budget_with({}, {}, {mib(512), mib(300)}), mib(300 - 64)) << "at least 64 MiB reserve";
}

TEST(Budget, FailsClosed) {
  EXPECT_EQ(budget_with({}, {}, {mib(10000), std::nullopt}), Bytes{});
  EXPECT_EQ(budget_with({}, {.reserve = mib(1)}, {mib(10000), std::nullopt}), Bytes{});
  EXPECT_EQ(budget_with({}, {}, {std::nullopt, mib(5000)}), Bytes{}) << "reserve not known";
  EXPECT_EQ(budget_with({}, {.reserve = mib(1)}, {std::nullopt, mib(5000)}), mib(4999));
}

TEST(Budget, KeepsWhatWasPromisedAndIsNotUsedYet) {
  // Floor 64, limit 1064: 1000 promised, of which 300 are used beyond the floor.
  EXPECT_EQ(budget_with({container(0, mib(1064), mib(364))}), mib(4500 - 700));
  EXPECT_EQ(budget_with({container(0, mib(1064), mib(1064))}), mib(4500));
  EXPECT_EQ(budget_with({container(0, mib(1064), mib(1064), mib(700))}), mib(4500 - 700))
      << "cache is available memory, so it does not use up a promise";
  EXPECT_EQ(budget_with({container(0, mib(64), mib(1))}), mib(4500)) << "a floor is its own";
  EXPECT_EQ(budget_with({container(0, {~std::uint64_t{0}}, mib(1))}), mib(4500));
  EXPECT_EQ(budget_with({container(0, mib(9000), mib(1))}), Bytes{});
}

TEST(Budget, TheConfiguredLimitBoundsAllGrantsTogether) {
  const BudgetPolicy policy{.reserve = {}, .limit = mib(1000)};
  EXPECT_EQ(budget_with({}, policy), mib(1000));
  EXPECT_EQ(
      budget_with({container(0, mib(364), mib(364)), container(1, mib(264), mib(264))}, policy),
      mib(1000 - 300 - 200));
  EXPECT_EQ(budget_with({container(0, mib(2064), mib(2064))}, policy), Bytes{});
}

TEST(Budget, AParentsPromiseContainsItsChildrens) {
  ContainerSnapshot slice = container(0, mib(1064), mib(64));
  ContainerSnapshot first = container(1, mib(464), mib(64));
  ContainerSnapshot second = container(2, mib(264), mib(64));
  first.parent = 0;
  second.parent = 0;
  EXPECT_EQ(budget_with({slice, first, second}), mib(4500 - 1000)) << "parent 1000, children 600";
  slice.facts.limit = mib(164);
  EXPECT_EQ(budget_with({first, second, slice}), mib(4500 - 600)) << "parent 100, children 600";
  first.parent = 77;
  EXPECT_EQ(budget_with({first, second, slice}), mib(4500 - 400 - 200)) << "a lost parent";
}

TEST(Budget, ACircleOfParentsIsCut) {
  ContainerSnapshot a = container(0, mib(164), mib(64));
  ContainerSnapshot b = container(1, mib(264), mib(64));
  ContainerSnapshot c = container(2, mib(364), mib(64));
  a.parent = 1;
  b.parent = 0;
  c.parent = 0;
  Snapshot snapshot;
  snapshot.containers = {a, b, c};
  const Tree tree(snapshot);
  std::vector<std::size_t> order = tree.children_first();
  for (const std::size_t index : order) {
    if (const auto parent = tree.parent(index)) {
      EXPECT_LT(std::find(order.begin(), order.end(), index),
                std::find(order.begin(), order.end(), *parent));
    }
  }
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2}));
  ContainerSnapshot self = container(3, mib(164), mib(64));
  self.parent = 3;
  EXPECT_EQ(budget_with({self}), mib(4500 - 100));
}

// --- arming

TEST(Arming, SaysWhyAContainerMayNotGrow) {
  Loop loop;
  ContainerSnapshot at_ceiling = container(1, mib(4096), mib(10));
  ContainerSnapshot unlimited = container(2, {~std::uint64_t{0}}, mib(10));
  loop.with({container(0, mib(64), mib(10)), at_ceiling, unlimited}).tick();
  ASSERT_EQ(loop.plan.arming.size(), 3U);
  EXPECT_EQ(armed(loop.plan, 0).denial, std::nullopt);
  EXPECT_EQ(armed(loop.plan, 0).floor, mib(64));
  EXPECT_EQ(armed(loop.plan, 0).ceiling, mib(4096));
  EXPECT_EQ(armed(loop.plan, 1).denial, Reason::kCeiling);
  EXPECT_EQ(armed(loop.plan, 2).denial, std::nullopt);

  loop.snapshot.node.available.reset();
  loop.tick();
  EXPECT_EQ(loop.plan.budget, Bytes{});
  EXPECT_EQ(armed(loop.plan, 0).denial, Reason::kBudget);
  EXPECT_EQ(armed(loop.plan, 1).denial, Reason::kCeiling) << "the nearer reason stays";
}

// --- growth at a tick

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
    each.floor = mib(100);
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

// --- shrink

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
  loop.only().floor = mib(4);
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

// --- the probe

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

// --- backoff

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

// --- leak

// Climbs 1 % a second, granted whenever it is at its limit; returns the seconds until denied.
int seconds_to_leak(Loop& loop, int most, auto disturb) {
  double working = 50;
  loop.with({container(0, mib(64), mib(50))});
  loop.only().ceiling = {1024 * kGiB};
  loop.snapshot.node = {Bytes{4096 * kGiB}, Bytes{4096 * kGiB}};
  for (int second = 1; second <= most; ++second) {
    working *= 1.01;
    disturb(second, working, loop.only());
    ContainerSnapshot& c = loop.only();
    c.facts.usage = {static_cast<std::uint64_t>(working * static_cast<double>(kMiB))};
    c.grants = 0;
    while (c.facts.usage > scaled_to_fit(c.facts.limit, 0.95)) {
      c.facts.limit += c.facts.limit;
      ++c.grants;
    }
    if (armed(loop.tick(), 0).denial == Reason::kLeak) return second;
  }
  return most + 1;
}
constexpr auto kUndisturbed = [](int, double&, ContainerSnapshot&) {};

TEST(Leak, AClimbThroughManyGrantsIsNotFedAnyMore) {
  Loop loop;
  const int at = seconds_to_leak(loop, 2000, kUndisturbed);
  EXPECT_GE(at, 600);
  EXPECT_LE(at, 700);
  const Verdict verdict = grow_on_event(loop.policy.memory, armed(loop.plan, 0), loop.only().facts,
                                        Layer::kAtTheDoor, loop.plan.budget);
  EXPECT_EQ(verdict, (Verdict{std::nullopt, Reason::kLeak}));
}

TEST(Leak, NotBeforeTheGrantsAndTheWindow) {
  Loop loop;
  loop.policy.memory.leak_grants = 20;
  EXPECT_GT(seconds_to_leak(loop, 1200, kUndisturbed), 1200) << "a doubling limit: 17 grants";
  Loop longer;
  longer.policy.memory.leak_window = minutes(15);
  EXPECT_GE(seconds_to_leak(longer, 1200, kUndisturbed), 900);
}

TEST(Leak, ADipAPlateauOrRefaultsMakeItABurst) {
  Loop dips;
  EXPECT_GT(seconds_to_leak(dips, 1200,
                            [](int second, double& working, ContainerSnapshot&) {
                              if (second % 300 == 0) working *= 0.9;
                            }),
            1200);
  Loop flat;
  EXPECT_GT(seconds_to_leak(flat, 1200,
                            [](int second, double& working, ContainerSnapshot&) {
                              if (second % 500 >= 340) working /= 1.01;
                            }),
            1200);
  Loop refaults;
  EXPECT_GT(seconds_to_leak(refaults, 1200,
                            [](int, double& working, ContainerSnapshot& c) {
                              c.refaults = static_cast<std::uint64_t>(working / 100 * 256);
                            }),
            1200);
}

TEST(Leak, IsForgivenWhenItFalls) {
  Loop loop;
  ASSERT_LE(seconds_to_leak(loop, 2000, kUndisturbed), 700);
  loop.tick();
  EXPECT_EQ(armed(loop.plan, 0).denial, Reason::kLeak);
  loop.only().facts.usage = scaled_to_fit(loop.only().facts.usage, 0.9);
  loop.tick();
  EXPECT_EQ(armed(loop.plan, 0).denial, std::nullopt);
}

// --- all of it, on random histories

// Random but possible: usage within the limit, cache within usage, time forward.
class RandomNode {
 public:
  explicit RandomNode(std::uint64_t seed) : random_(seed) {
    policy.memory.shrink_after = seconds(1 + below(40));
    policy.memory.leak_window = seconds(10 + below(60));
    policy.memory.leak_grants = 1 + static_cast<std::uint32_t>(below(6));
    if (below(2) == 0) policy.budget.limit = mib(below(8192));
    if (below(2) == 0) policy.budget.reserve = mib(below(512));
    snapshot.now = MonotonicTime{seconds(below(1000000))};
  }

  Policy policy;
  Snapshot snapshot;

  // The next tick; `plan` is what the last one said, applied now and then only.
  void step(const Plan& plan) {
    snapshot.now += milliseconds(below(10) == 0 ? 0 : 1 + below(3000));
    snapshot.lost_events = below(20) == 0 ? 1 + below(5) : 0;
    snapshot.node.total = below(50) == 0 ? std::nullopt : std::optional(mib(16384));
    snapshot.node.available = below(20) == 0 ? std::nullopt : std::optional(mib(below(16384)));
    for (const Action& action : plan.actions) {
      if (action.kind == ActionKind::kReclaim || below(5) == 0) continue;
      for (ContainerSnapshot& c : snapshot.containers) {
        if (c.id == action.id) c.facts.limit = action.to;
      }
    }
    if (snapshot.containers.size() < 12 && below(4) == 0) add();
    if (!snapshot.containers.empty() && below(40) == 0) {
      snapshot.containers.erase(snapshot.containers.begin() +
                                static_cast<std::ptrdiff_t>(below(snapshot.containers.size())));
    }
    for (ContainerSnapshot& c : snapshot.containers) change(c);
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  void add() {
    ContainerSnapshot c = container(next_ % 16, mib(16 + below(256)), {});
    c.id = CgroupId{++next_};
    c.floor = c.facts.limit;
    c.ceiling = c.floor + mib(below(4096));
    if (below(3) == 0) c.parent = static_cast<Slot>(below(16));
    c.can_reclaim = below(8) != 0;
    snapshot.containers.push_back(c);
  }
  // Every fourth slot only ever climbs.
  void climb(ContainerSnapshot& c) {
    c.facts.usage =
        std::min(c.facts.limit, c.facts.usage + mib(1) + scaled_to_fit(c.facts.usage, 0.02));
    c.facts.reclaimable = {};
    c.refaults = 0;
    c.peak.reset();
    c.grants = 0;
    while (c.facts.usage > scaled_to_fit(c.facts.limit, 0.9) && c.facts.limit < c.ceiling) {
      c.facts.limit = std::min(c.ceiling, c.facts.limit + mib(16));
      ++c.grants;
    }
  }
  void change(ContainerSnapshot& c) {
    if (c.slot % 4 == 0) return climb(c);
    c.grants = 0;
    if (below(10) == 0 && c.facts.limit < c.ceiling) {
      c.facts.limit = std::min(c.ceiling, c.facts.limit + mib(64));
      c.grants = 1;
    }
    if (below(6) == 0 || c.facts.usage > c.facts.limit) {
      c.facts.usage = {below(c.facts.limit.value + 1)};
    }
    c.facts.reclaimable = {below(3) == 0 ? below(c.facts.usage.value + 1) : 0};
    c.facts.rate_per_second = mib(below(3) == 0 ? below(500) : 0);
    c.refaults = below(10) == 0 ? std::nullopt : std::optional(below(3) == 0 ? below(100000) : 0);
    c.activations = below(10) == 0 ? std::nullopt : std::optional(below(3) == 0 ? below(50000) : 0);
    c.stall_ratio =
        below(10) == 0 ? std::nullopt : std::optional(static_cast<double>(below(100)) / 250);
    c.peak = below(2) == 0 ? std::nullopt : std::optional(unreclaimable(c.facts) + mib(below(64)));
    c.oom_kills += below(100) == 0 ? 1U : 0U;
  }

  std::mt19937_64 random_;
  std::uint32_t next_ = 0;
};

void check(const RandomNode& node, const Decision& decision) {
  const Snapshot& snapshot = node.snapshot;
  const Plan& plan = decision.plan;
  ASSERT_EQ(plan.arming.size(), snapshot.containers.size());
  ASSERT_EQ(decision.history.containers.size(), snapshot.containers.size());
  const Bytes whole = budget_of(snapshot, node.policy.budget);
  Bytes spent;
  std::vector<CgroupId> acted;
  for (const Action& action : plan.actions) {
    const auto found = std::find_if(snapshot.containers.begin(), snapshot.containers.end(),
                                    [&](const ContainerSnapshot& c) { return c.id == action.id; });
    ASSERT_NE(found, snapshot.containers.end());
    const ContainerSnapshot& c = *found;
    ASSERT_EQ(std::count(acted.begin(), acted.end(), c.id), 0) << "two actions for one container";
    acted.push_back(c.id);
    switch (action.kind) {
      case ActionKind::kGrow:
        ASSERT_EQ(action.from, c.facts.limit);
        ASSERT_GT(action.to, c.facts.limit);
        ASSERT_LE(action.to, c.ceiling);
        ASSERT_TRUE(snapshot.node.available) << "a grant without knowing what is available";
        ASSERT_LT(action.reason, Reason::kEnoughHeadroom);
        spent += action.to - action.from;
        break;
      case ActionKind::kReclaim:
        ASSERT_TRUE(c.can_reclaim);
        ASSERT_LT(action.to, c.facts.usage);
        ASSERT_GE(action.to, unreclaimable(c.facts));
        break;
      case ActionKind::kShrink:
        ASSERT_EQ(snapshot.lost_events, 0U);
        ASSERT_EQ(action.from, c.facts.limit);
        ASSERT_LT(action.to, c.facts.limit);
        ASSERT_GE(action.to, c.floor);
        ASSERT_LE(unreclaimable(c.facts), action.to);
        ASSERT_EQ(action.reason, Reason::kLeaseEnded);
        break;
    }
  }
  ASSERT_LE(spent, whole);
  ASSERT_EQ(plan.budget, whole - spent) << "what the slow loop spent is not handed out again";
  for (const Arming& arming : plan.arming) {
    if (plan.budget == Bytes{}) {
      ASSERT_TRUE(arming.armed.denial) << "nothing to give, but armed";
    }
  }
}

TEST(DecideProperties, HoldOnRandomHistories) {
  int grows = 0;
  int shrinks = 0;
  int probes = 0;
  int leaks = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    RandomNode node(seed);
    History history;
    Plan plan;
    for (int i = 0; i < 300; ++i) {
      node.step(plan);
      const Decision decision = decide(node.snapshot, node.policy, history);
      ASSERT_EQ(decision, decide(node.snapshot, node.policy, history)) << "not a pure function";
      check(node, decision);
      if (HasFatalFailure()) FAIL() << "seed " << seed << " step " << i;
      history = decision.history;
      plan = decision.plan;
      for (const Action& action : plan.actions) {
        grows += action.kind == ActionKind::kGrow;
        probes += action.kind == ActionKind::kReclaim;
        shrinks += action.kind == ActionKind::kShrink;
      }
      for (const Arming& arming : plan.arming) leaks += arming.armed.denial == Reason::kLeak;
    }
  }
  // A property of nothing proves nothing.
  EXPECT_GT(grows, 200);
  EXPECT_GT(shrinks, 200);
  EXPECT_GT(probes, 200);
  EXPECT_GT(leaks, 200);
}

TEST(DecideProperties, WithoutAvailableMemoryNothingIsEverGranted) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    RandomNode node(seed);
    History history;
    Plan plan;
    for (int i = 0; i < 100; ++i) {
      node.step(plan);
      node.snapshot.node.available.reset();
      Decision decision = decide(node.snapshot, node.policy, std::move(history));
      for (const Action& action : decision.plan.actions) {
        ASSERT_NE(action.kind, ActionKind::kGrow);
      }
      ASSERT_EQ(decision.plan.budget, Bytes{});
      for (const Arming& arming : decision.plan.arming) ASSERT_TRUE(arming.armed.denial);
      history = std::move(decision.history);
      plan = std::move(decision.plan);
    }
  }
}

TEST(DecideProperties, ATickThatIsRepeatedOrGoesBackwardsIsHarmless) {
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

TEST(PeakWindow, SeesThePeakOfTheWindowAndForgetsItInTime) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    const Nanoseconds window = seconds(1 + random() % 100);
    PeakWindow peaks;
    std::vector<std::pair<MonotonicTime, Bytes>> all;
    MonotonicTime now{seconds(1)};
    for (int i = 0; i < 300; ++i) {
      now += milliseconds(random() % 2000);
      const Bytes value{random() % 1000000};
      peaks.add(now, value, window);
      all.emplace_back(now, value);
      Bytes within;    // must count
      Bytes anything;  // may count
      for (const auto& [time, bytes] : all) {
        if (now - time < window - window / 16) within = std::max(within, bytes);
        if (now - time < window || time == now) anything = std::max(anything, bytes);
      }
      ASSERT_GE(peaks.peak(now, window), within);
      ASSERT_LE(peaks.peak(now, window), anything);
    }
  }
}

}  // namespace
}  // namespace plimsoll::agent
