// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/leak.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <optional>

#include "tests/support/policy_loop.h"

namespace plimsoll::agent::leak_test {
namespace {

using policy_test::armed;
using policy_test::container;
using policy_test::Loop;
using policy_test::mib;
using std::chrono::minutes;

// Climbs 1 % a second, granted whenever it is at its limit; returns the seconds until denied.
int seconds_to_leak(Loop& loop, int most, auto disturb) {
  double working = 50;
  loop.with({container(0, mib(64), mib(50))});
  loop.only().bounds.ceiling = {1024 * kGiB};
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

}  // namespace
}  // namespace plimsoll::agent::leak_test
