// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/decide_cpu.h"

#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <random>

namespace plimsoll::agent::decide_cpu_test {
namespace {

using std::chrono::seconds;

constexpr CpuPolicy kPolicy;

class DecideCpu : public testing::Test {
 protected:
  DecideCpu() {
    snapshot_.now = MonotonicTime(seconds(100));
    snapshot_.node.cpu = {.capacity = {8000}, .use = {2000}};
  }
  ContainerSnapshot& add(Slot slot, MilliCpu limit) {
    ContainerSnapshot container{.slot = slot, .id = CgroupId{slot + 1000ULL}};
    container.cpu = {
        .bounds = {.floor = {500}, .ceiling = {4000}}, .promised = {200}, .limit = limit};
    snapshot_.containers.push_back(container);
    return snapshot_.containers.back();
  }
  CpuPlan decide() {
    CpuDecision decision = decide_cpu(snapshot_, kPolicy, history_);
    history_ = decision.history;
    snapshot_.now += seconds(1);
    return decision.plan;
  }

  Snapshot snapshot_;
  std::map<CgroupId, CpuHistory> history_;
};

TEST_F(DecideCpu, TheBudgetIsWhatNobodyUsesAndNobodyWasPromised) {
  // 8 CPUs, 5 % of it kept; 2 are in use, none by tracked containers.
  EXPECT_EQ(cpu_budget_of(snapshot_, kPolicy), MilliCpu{8000 - 400 - 2000});
  EXPECT_EQ(decide(), CpuPlan{}) << "there is nobody to give to";
  add(0, {500}).cpu->use = {700};
  add(1, {500}).cpu->use = {50};
  // 700 of the 2000 are a container's, as are 50; the other was promised 200.
  EXPECT_EQ(decide().budget, MilliCpu{8000 - 400 - 700 - 200 - (2000 - 750)});
}

TEST_F(DecideCpu, APodsUseIsItsContainersUse) {
  add(0, {500}).cpu->use = {700};
  const MilliCpu alone = decide().budget;
  add(1, {500}).cpu->use = {700};
  snapshot_.containers[1].parent = 0;
  EXPECT_EQ(decide().budget, alone);
}

TEST_F(DecideCpu, WithoutTheNodesNumbersNothingIsGiven) {
  snapshot_.node.cpu.reset();
  add(0, {500});
  EXPECT_EQ(decide().budget, MilliCpu{});
}

TEST_F(DecideCpu, AFullNodeGivesNothing) {
  snapshot_.node.cpu->use = {8000};
  add(0, {500});
  EXPECT_EQ(decide().budget, MilliCpu{});
}

TEST_F(DecideCpu, ArmsEachWithItsBoundsAndItsAverage) {
  ContainerSnapshot& container = add(3, {500});
  container.cpu->bounds.direct_ceiling = {900};
  container.cpu->burst = std::chrono::milliseconds(50);
  container.cpu->use = {321};  // rounded, so that not every tick says something new
  const CpuPlan plan = decide();
  ASSERT_EQ(plan.arming.size(), 1u);
  EXPECT_EQ(
      plan.arming.front(),
      (CpuArming{3, CgroupId{1003},
                 CpuArmed{.bounds = {.floor = {500}, .ceiling = {4000}, .direct_ceiling = {{900}}},
                          .burst = std::chrono::milliseconds(50),
                          .average = {330}}}));
  EXPECT_TRUE(plan.lowers.empty());
  EXPECT_TRUE(plan.wishes.empty());
}

TEST_F(DecideCpu, WithoutALimitThereIsNothingToRaise) {
  add(0, {500}).cpu->limit.reset();
  EXPECT_EQ(decide().arming.front().armed.denial, Reason::kEnoughHeadroom);
}

TEST_F(DecideCpu, OnlyACpuThatIsBusyMakesPressureAGate) {
  add(0, {500});
  // A throttled container on an idle node: its own tasks wait.
  snapshot_.node.cpu->pressure = 1;
  EXPECT_EQ(decide().arming.front().armed.denial, std::nullopt);
  snapshot_.node.cpu->use = {7500};
  EXPECT_EQ(decide().arming.front().armed.denial, Reason::kNodeBusy);
  snapshot_.node.cpu->pressure = 0.1;
  EXPECT_EQ(decide().arming.front().armed.denial, std::nullopt);
}

TEST_F(DecideCpu, WhatComesFirstIsKeptFromTheOthers) {
  add(0, {500}).rank = {.priority = 10};
  add(1, {500}).rank = {.priority = 1};
  EXPECT_EQ(decide().arming[1].armed.kept, MilliCpu{}) << "nobody asks";
  snapshot_.containers[0].cpu->throttled = 3;
  CpuPlan plan = decide();
  EXPECT_EQ(plan.arming[1].armed.kept, MilliCpu{100}) << "a step of 20 %";
  EXPECT_EQ(plan.arming[0].armed.kept, MilliCpu{});
  snapshot_.containers[0].cpu->starved = {700};
  EXPECT_EQ(decide().arming[1].armed.kept, MilliCpu{700});
  snapshot_.containers[0].cpu->limit = MilliCpu{4000};  // may not grow
  EXPECT_EQ(decide().arming[1].armed.kept, MilliCpu{});
}

TEST_F(DecideCpu, WhatTheLastUseAboveTheirsIsTakenBackForTheFirst) {
  snapshot_.node.cpu->use = {8000};
  add(0, {500}).rank = {.priority = 10};
  snapshot_.containers[0].cpu->starved = {1000};
  snapshot_.containers[0].cpu->use = {500};
  add(1, {3000}).rank = {.priority = 1};
  snapshot_.containers[1].cpu->use = {2900};
  const CpuPlan plan = decide();
  ASSERT_EQ(plan.lowers.size(), 1u);
  EXPECT_EQ(plan.lowers.front(),
            (CpuAction{1, CgroupId{1001}, {3000}, {1900}, Reason::kTakenBack}));
}

TEST_F(DecideCpu, NothingIsTakenFromAnEqualNorBelowWhatWasPromised) {
  snapshot_.node.cpu->use = {8000};
  add(0, {500}).cpu->starved = {1000};
  add(1, {3000}).cpu->use = {2900};
  EXPECT_TRUE(decide().lowers.empty());
  snapshot_.containers[0].rank = {.priority = 10};
  snapshot_.containers[1].cpu->promised = {2900};
  EXPECT_TRUE(decide().lowers.empty());
  snapshot_.containers[1].cpu->promised = {200};
  snapshot_.containers[1].cpu->use = {400};  // its room is not used: taking it frees nothing
  EXPECT_TRUE(decide().lowers.empty());
}

TEST_F(DecideCpu, NothingIsTakenBackWhileTheBudgetHasIt) {
  add(0, {500}).cpu->starved = {1000};
  snapshot_.containers[0].rank = {.priority = 10};
  add(1, {3000}).cpu->use = {1900};
  EXPECT_TRUE(decide().lowers.empty());
}

TEST_F(DecideCpu, WhatTheApiKnowsIsAskedBackAfterAWhile) {
  add(0, {2000}).cpu->bounds.direct_floor = {2000};
  snapshot_.containers[0].cpu->use = {800};
  for (int tick = 0; tick < 30; ++tick) EXPECT_TRUE(decide().wishes.empty()) << tick;
  const CpuPlan plan = decide();
  ASSERT_EQ(plan.wishes.size(), 1u);
  EXPECT_EQ(plan.wishes.front(),
            (CpuAction{0, CgroupId{1000}, {2000}, {880}, Reason::kLeaseEnded}));
  EXPECT_TRUE(decide().wishes.empty()) << "not again at once";
  // What is used is not asked for.
  snapshot_.containers[0].cpu->use = {1900};
  for (int tick = 0; tick < 70; ++tick) EXPECT_TRUE(decide().wishes.empty()) << tick;
}

TEST_F(DecideCpu, WhatVanishesIsForgotten) {
  add(0, {500});
  decide();
  EXPECT_EQ(history_.size(), 1u);
  snapshot_.containers.clear();
  decide();
  EXPECT_TRUE(history_.empty());
}

// Random nodes: no lowering below what was declared or promised, none that is no lowering, and the
// budget never above what the node has.
TEST_F(DecideCpu, HoldsItsBoundsOnRandomNodes) {
  std::mt19937 random(7);
  const auto below = [&](std::uint64_t end) { return MilliCpu{random() % end}; };
  std::size_t lowers = 0;
  for (int round = 0; round < 3000; ++round) {
    snapshot_.containers.clear();
    snapshot_.node.cpu = {.capacity = {8000},
                          .use = below(9000),
                          .pressure = static_cast<double>(below(10).value) / 9};
    for (Slot slot = 0; slot < 6; ++slot) {
      ContainerSnapshot& container = add(slot, below(5000));
      container.rank.priority = static_cast<std::int32_t>(random() % 3);
      container.cpu->use = below(3000);
      container.cpu->promised = below(1000);
      container.cpu->starved = random() % 2 == 0 ? below(2000) : MilliCpu{};
      container.cpu->throttled = random() % 3;
    }
    const CpuPlan plan = decide();
    EXPECT_LE(plan.budget, MilliCpu{7600});
    EXPECT_EQ(plan.arming.size(), 6u);
    for (const CpuAction& action : plan.lowers) {
      const CpuSnapshot& cpu = *snapshot_.containers[action.slot].cpu;
      EXPECT_LT(action.to, action.from);
      EXPECT_GE(action.to, cpu.bounds.floor);
      EXPECT_GE(action.to, cpu.promised);
      ++lowers;
    }
  }
  EXPECT_GT(lowers, 100u);
}

}  // namespace
}  // namespace plimsoll::agent::decide_cpu_test
