// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/cpu.h"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <vector>

namespace plimsoll::agent::cpu_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MilliCpu kNode{64'000};

CpuArmed armed() { return {.bounds = {.floor = {500}, .ceiling = {4000}}, .average = {480}}; }
CpuFacts facts() { return {.limit = {500}, .use = {1000}, .runnable = 8}; }

MonotonicTime at(milliseconds time) { return MonotonicTime(seconds(100) + time); }

TEST(CpuPolicy, ItsDefaultsAreValidAndEachMemberIsChecked) {
  EXPECT_TRUE(validate(CpuPolicy{}));
  const std::vector<std::function<void(CpuPolicy&)>> breaks = {
      [](CpuPolicy& p) { p.throttle_target = 1; }, [](CpuPolicy& p) { p.throttle_target = -0.1; },
      [](CpuPolicy& p) { p.window = 0; },          [](CpuPolicy& p) { p.window = 65; },
      [](CpuPolicy& p) { p.burst = 1.5; },         [](CpuPolicy& p) { p.margin = -1; },
      [](CpuPolicy& p) { p.step_ratio = 0; },      [](CpuPolicy& p) { p.round_to = {}; },
      [](CpuPolicy& p) { p.hold = {}; },           [](CpuPolicy& p) { p.lower_below = 0; },
      [](CpuPolicy& p) { p.lower_below = 1.1; },   [](CpuPolicy& p) { p.hold_backoff_max = 0.5; },
      [](CpuPolicy& p) { p.lower_after = {}; },    [](CpuPolicy& p) { p.node_pressure = 0; },
  };
  for (std::size_t i = 0; i < breaks.size(); ++i) {
    CpuPolicy policy;
    breaks[i](policy);
    EXPECT_FALSE(validate(policy)) << i;
  }
}

TEST(Tolerance, IsTheTargetsShareOfTheWindow) {
  EXPECT_EQ(tolerated_periods({.throttle_target = 0.05, .window = 20}, false), 1u);
  EXPECT_EQ(tolerated_periods({.throttle_target = 0.049, .window = 20}, false), 0u);
  EXPECT_EQ(tolerated_periods({.throttle_target = 0.3, .window = 64}, false), 19u);
  EXPECT_EQ(tolerated_periods({.throttle_target = 0, .window = 64}, false), 0u);
  EXPECT_EQ(tolerated_periods({.throttle_target = 0.3, .window = 64}, true), 0u);
}

TEST(Use, IsCpuTimeOverTimeButNotOverLessThanASlice) {
  EXPECT_EQ(use_of(milliseconds(10), milliseconds(20)), MilliCpu{500});
  EXPECT_EQ(use_of(milliseconds(40), milliseconds(10)), MilliCpu{4000});
  EXPECT_EQ(use_of(milliseconds(10), milliseconds(1)), MilliCpu{2000});
  EXPECT_EQ(use_of(milliseconds(10), milliseconds(-3)), MilliCpu{2000});
  EXPECT_EQ(use_of(milliseconds(0), milliseconds(10)), MilliCpu{0});
}

TEST(Wanted, IsTheMeasuredUseAndAMargin) {
  EXPECT_EQ(wanted_cpu({}, facts()), MilliCpu{1100});
  CpuFacts more = facts();
  more.use = {1003};
  EXPECT_EQ(wanted_cpu({}, more), MilliCpu{1110}) << "rounded up to tens";
}

TEST(Wanted, IsAtLeastAStepWhateverWasMeasured) {
  CpuFacts late = facts();
  late.use = {510};  // the period began long before the load
  EXPECT_EQ(wanted_cpu({}, late), MilliCpu{600});
  late.limit = {10};
  late.use = {};
  EXPECT_EQ(wanted_cpu({}, late), MilliCpu{20}) << "a unit of limits is the least";
}

TEST(Wanted, IsNoMoreThanItsThreadsCanUse) {
  CpuFacts one = facts();
  one.use = {8000};  // slices that were handed out
  one.runnable = 1;
  EXPECT_EQ(wanted_cpu({}, one), MilliCpu{1050});
  one.runnable = 3;
  EXPECT_EQ(wanted_cpu({}, one), MilliCpu{3150});
  one.runnable = 0;  // not known
  EXPECT_EQ(wanted_cpu({}, one), MilliCpu{8800});
  // Some of its threads slept just now: a step all the same.
  one.runnable = 1;
  one.limit = {2000};
  EXPECT_EQ(wanted_cpu({}, one), MilliCpu{2400});
}

TEST(Wanted, WhatItUsedBeforeIsGivenAtOnce) {
  CpuFacts again = facts();
  again.remembered = {3000};
  EXPECT_EQ(wanted_cpu({}, again), MilliCpu{3300});
}

TEST(Throttle, IsAnsweredWithWhatIsWanted) {
  const CpuVerdict verdict = grow_on_throttle({}, armed(), facts(), kNode);
  EXPECT_EQ(verdict, (CpuVerdict{.limit = MilliCpu{1100}, .reason = Reason::kThrottled}));
}

TEST(Throttle, StopsAtTheCeilingAndTheBudget) {
  CpuArmed low = armed();
  low.bounds.ceiling = {800};
  EXPECT_EQ(grow_on_throttle({}, low, facts(), kNode).limit, MilliCpu{800});
  low.bounds.ceiling = {500};
  EXPECT_EQ(grow_on_throttle({}, low, facts(), kNode), (CpuVerdict{.reason = Reason::kCeiling}));
  EXPECT_EQ(grow_on_throttle({}, armed(), facts(), {200}).limit, MilliCpu{700});
  EXPECT_EQ(grow_on_throttle({}, armed(), facts(), {9}), (CpuVerdict{.reason = Reason::kBudget}));
  EXPECT_EQ(grow_on_throttle({}, armed(), facts(), {}), (CpuVerdict{.reason = Reason::kBudget}));
  // The last of it, although it is less than a unit.
  low.bounds.ceiling = {505};
  EXPECT_EQ(grow_on_throttle({}, low, facts(), kNode).limit, MilliCpu{505});
}

TEST(Throttle, LeavesToOthersWhatIsKeptForThem) {
  CpuArmed last = armed();
  last.kept = {900};
  EXPECT_EQ(grow_on_throttle({}, last, facts(), {1000}).limit, MilliCpu{600});
  EXPECT_EQ(grow_on_throttle({}, last, facts(), {900}), (CpuVerdict{.reason = Reason::kPriority}));
}

TEST(Throttle, ADenialIsTheAnswer) {
  CpuArmed denied = armed();
  denied.denial = Reason::kNodeBusy;
  denied.burst = milliseconds(50);
  EXPECT_EQ(grow_on_throttle({}, denied, facts(), kNode),
            (CpuVerdict{.reason = Reason::kNodeBusy}));
}

TEST(Throttle, ABurstComesBeforeALimitWhereThereIsSomethingToCarryOver) {
  CpuArmed with = armed();
  with.burst = milliseconds(50);
  with.average = {100};
  CpuFacts idle = facts();
  EXPECT_EQ(grow_on_throttle({}, with, idle, {}),
            (CpuVerdict{.burst = milliseconds(50), .reason = Reason::kBurst}))
      << "it takes nothing from the budget";
  idle.burst = milliseconds(50);  // has it
  EXPECT_EQ(grow_on_throttle({}, with, idle, kNode).limit, MilliCpu{1100});
  idle.burst = {};
  with.average = {460};  // uses its limit up
  EXPECT_EQ(grow_on_throttle({}, with, idle, kNode).limit, MilliCpu{1100});
}

TEST(Throttle, WhatMayNotBeWrittenIsWished) {
  CpuArmed bound = armed();
  bound.bounds.direct_ceiling = {700};
  EXPECT_EQ(grow_on_throttle({}, bound, facts(), kNode),
            (CpuVerdict{.limit = MilliCpu{700}, .reason = Reason::kThrottled, .wish = {{1100}}}));
  bound.bounds.direct_ceiling = {0};
  EXPECT_EQ(grow_on_throttle({}, bound, facts(), kNode),
            (CpuVerdict{.reason = Reason::kThrottled, .wish = {{1100}}}));
  bound.bounds.direct_ceiling = {9000};
  EXPECT_EQ(direct_ceiling(bound.bounds), MilliCpu{4000}) << "never above the ceiling";
}

TEST(Scaled, StaysInItsRange) {
  EXPECT_EQ(scaled(MilliCpu{1000}, 0.3333), MilliCpu{333});
  EXPECT_EQ(scaled(MilliCpu{10}, -1), MilliCpu{});
  EXPECT_GT(scaled(MilliCpu{~std::uint64_t{0}}, 3), MilliCpu{1});
  EXPECT_EQ(round_up(MilliCpu{20}, {10}), MilliCpu{20});
  EXPECT_EQ(round_up(MilliCpu{21}, {10}), MilliCpu{30});
}

// A container that was raised to 2 CPUs, looked at every 100 ms.
class GiveBack : public testing::Test {
 protected:
  GiveBack() { note_raise(policy_, at(milliseconds(0)), hold_); }
  std::optional<MilliCpu> look(milliseconds time, MilliCpu use) {
    const auto to = give_back_cpu(policy_, {500}, limit_, use, at(time), hold_);
    if (to) limit_ = *to;
    return to;
  }
  // The time at which it went down when nothing is used from `from` on.
  milliseconds idle_from(milliseconds from) {
    for (milliseconds time = from;; time += milliseconds(100)) {
      if (look(time, {})) return time;
    }
  }
  void raise(milliseconds time) {
    limit_ = {2000};
    note_raise(policy_, at(time), hold_);
  }

  CpuPolicy policy_{.hold = milliseconds(400)};
  MilliCpu limit_{2000};
  CpuHold hold_;
};

TEST_F(GiveBack, WhatIsUsedStays) {
  for (int i = 1; i < 100; ++i) EXPECT_FALSE(look(milliseconds(100 * i), {1700})) << i;
}

TEST_F(GiveBack, OneHighPeriodInTheTimeIsEnoughToStay) {
  for (int i = 1; i < 100; ++i) {
    EXPECT_FALSE(look(milliseconds(100 * i), i % 3 == 0 ? MilliCpu{1700} : MilliCpu{})) << i;
  }
}

TEST_F(GiveBack, NotBeforeTheTimeAndThenToTheFloor) {
  EXPECT_FALSE(look(milliseconds(100), {}));
  EXPECT_FALSE(look(milliseconds(300), {}));
  EXPECT_EQ(look(milliseconds(400), {}), MilliCpu{500});
  EXPECT_FALSE(look(milliseconds(900), {})) << "never below the floor";
}

TEST_F(GiveBack, GoesToTheUseAndAMargin) {
  for (int i = 1; i < 4; ++i) EXPECT_FALSE(look(milliseconds(100 * i), {1000}));
  EXPECT_EQ(look(milliseconds(400), {1000}), MilliCpu{1100});
  // 90 % of 1100 is too near to be worth a write.
  for (int i = 5; i < 20; ++i) EXPECT_FALSE(look(milliseconds(100 * i), {900})) << i;
}

TEST_F(GiveBack, ANeedThatComesBackSoonIsHeldTwiceAsLong) {
  EXPECT_EQ(idle_from(milliseconds(100)), milliseconds(400));
  raise(milliseconds(900));
  EXPECT_EQ(idle_from(milliseconds(1000)), milliseconds(1700));
  raise(milliseconds(2500));
  EXPECT_EQ(idle_from(milliseconds(2600)), milliseconds(4100));
  // Long after: half of that again.
  raise(milliseconds(60'000));
  EXPECT_EQ(idle_from(milliseconds(60'100)), milliseconds(60'800));
  for (int i = 0; i < 20; ++i) {
    const milliseconds begin = milliseconds(100'000) + seconds(7 * i);
    raise(begin);
    EXPECT_LE(idle_from(begin + milliseconds(100)) - begin, 16 * policy_.hold) << i;
  }
}

TEST_F(GiveBack, WhatWasUsedAboveTheFloorIsRemembered) {
  look(milliseconds(100), {1800});
  idle_from(milliseconds(200));
  EXPECT_EQ(remembered_of(policy_, hold_, at(seconds(30))), MilliCpu{1800});
  EXPECT_EQ(remembered_of(policy_, hold_, at(seconds(61))), MilliCpu{});
  look(seconds(70), {600});
  EXPECT_EQ(remembered_of(policy_, hold_, at(seconds(71))), MilliCpu{600})
      << "the old is forgotten";
}

}  // namespace
}  // namespace plimsoll::agent::cpu_test
