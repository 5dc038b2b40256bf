// SPDX-License-Identifier: Apache-2.0
//
// The CPU policy over whole loads, against a static limit, cpu.max.burst alone, and a loop that
// raises by a fifth each second, as others do.
#include <gtest/gtest.h>

#include <cstdio>
#include <functional>
#include <memory>
#include <string>

#include "tests/agent/policy/simulated_cpu.h"

namespace plimsoll::test::cpu_simulation_test {
namespace {

struct Compared {
  CpuRun fixed;
  CpuRun burst;
  CpuRun loop;
  CpuRun ours;
};

template <typename Make>
Compared compare(const std::string& name, const CpuScene& scene, Make make) {
  const auto run = [&](CpuController controller, const char* who) {
    auto load = make();
    CpuRun result = run_cpu(controller, scene, load);
    std::printf("%-8s %-7s periods %4lu throttled %4lu quota-s %6.2f used %6.2f p99 %5ld ms\n",
                name.c_str(), who, result.periods, result.throttled, result.quota_seconds,
                result.used_seconds, result.percentile_ms(0.99));
    return result;
  };
  return {run(CpuController::kStatic, "static"), run(CpuController::kBurstOnly, "burst"),
          run(CpuController::kLoop, "loop"), run(CpuController::kOurs, "ours")};
}

// What must hold for every load that the ceiling has room for.
void expect_hardly_throttled(const Compared& runs) {
  EXPECT_LE(runs.ours.throttled * 10, runs.fixed.throttled);
  EXPECT_LE(runs.ours.throttled * 10, runs.loop.throttled);
  EXPECT_LE(runs.ours.settled_ms.value_or(0), 200);
  EXPECT_GE(runs.ours.used_seconds, runs.loop.used_seconds * 0.99);
}

TEST(CpuSimulation, AStepOfOneThreadAtAnyMomentOfAPeriod) {
  for (std::int64_t shift = 0; shift < 100; shift += 9) {
    const std::int64_t begin = 2000 + shift;
    const CpuScene scene{.load_at_ms = begin};
    const Compared runs =
        compare("step", scene, [&] { return StepLoad(1, begin, begin + 20'000); });
    expect_hardly_throttled(runs);
    // For the same work: what was granted above the floor, per second of use above the floor.
    const double floor = 0.5 * 30;
    const auto cost = [&](const CpuRun& run) {
      return (run.quota_seconds - floor) / (run.used_seconds - 0.5 * 20);
    };
    EXPECT_LT(cost(runs.ours), cost(runs.loop));
  }
}

TEST(CpuSimulation, AStepOfTwiceAsManyThreadsAsCpus) {
  const CpuScene scene{.floor = {1000}, .ceiling = {4000}};
  expect_hardly_throttled(compare("threads", scene, [] { return StepLoad(8, 2000, 22'000); }));
}

TEST(CpuSimulation, AboveItsCeilingNobodyGets) {
  const CpuScene scene{.floor = {500}, .ceiling = {1500}};
  const Compared runs = compare("ceiling", scene, [] { return StepLoad(8, 2000, 22'000); });
  EXPECT_LE(runs.ours.used_seconds, 1.5 * 20.2);
  EXPECT_GE(runs.ours.used_seconds, 1.5 * 19.5);
  EXPECT_LE(runs.ours.quota_seconds, 1.5 * 20 + 0.5 * 10 + 1);
}

BurstLoad::Shape bursts(std::int64_t every_ms, std::uint32_t count, double work_ms) {
  return {.end_ms = 58'000, .every_ms = every_ms, .count = count, .work_ms = work_ms};
}

TEST(CpuSimulation, LongBursts) {
  const CpuScene scene{.floor = {300}, .ceiling = {2000}, .length_ms = 60'000};
  for (const double work : {6.0, 10.0}) {
    const Compared runs =
        compare("5 s/20 s", scene, [&] { return BurstLoad(bursts(20'000, 500, work)); });
    expect_hardly_throttled(runs);
    EXPECT_LE(runs.ours.quota_seconds, runs.loop.quota_seconds);
    EXPECT_LE(runs.ours.percentile_ms(0.99) * 10, runs.loop.percentile_ms(0.99));
  }
}

// The loop does not get to what is needed before the burst is over, so that it grants less.
TEST(CpuSimulation, ShortBursts) {
  const CpuScene scene{.floor = {300}, .ceiling = {2000}, .length_ms = 60'000};
  const Compared seconds =
      compare("1 s/5 s", scene, [&] { return BurstLoad(bursts(5'000, 100, 10)); });
  expect_hardly_throttled(seconds);
  EXPECT_LE(seconds.ours.quota_seconds, seconds.loop.quota_seconds * 1.15);
  EXPECT_LE(seconds.ours.percentile_ms(0.99) * 10, seconds.loop.percentile_ms(0.99));
  const Compared shorter =
      compare("0.2 s/2 s", scene, [&] { return BurstLoad(bursts(2'000, 20, 15)); });
  expect_hardly_throttled(shorter);
  EXPECT_LE(shorter.ours.percentile_ms(0.99) * 5, shorter.loop.percentile_ms(0.99));
}

TEST(CpuSimulation, WhereABurstIsEnoughTheLimitStays) {
  const CpuScene scene{.floor = {300}, .ceiling = {2000}, .length_ms = 60'000};
  const Compared runs =
      compare("50 ms/1 s", scene, [&] { return BurstLoad(bursts(1'000, 5, 10)); });
  EXPECT_LE(runs.ours.throttled, 1u);
  EXPECT_EQ(runs.ours.writes, 1u);
  EXPECT_NEAR(runs.ours.quota_seconds, 0.3 * 60, 0.01);
  EXPECT_LT(runs.ours.quota_seconds, runs.loop.quota_seconds);
}

// What cannot be carried over: the case in which a burst alone does not help.
TEST(CpuSimulation, ABurstAloneDoesNotHelpAgainstALoadThatLasts) {
  const Compared runs = compare("steady", {}, [] { return StepLoad(1, 2000, 22'000); });
  EXPECT_GE(runs.burst.throttled * 10, runs.fixed.throttled * 9);
}

}  // namespace
}  // namespace plimsoll::test::cpu_simulation_test
