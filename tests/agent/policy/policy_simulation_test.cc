// SPDX-License-Identifier: Apache-2.0
//
// Both entries of the memory policy together, for hours of simulated time: programs that burst,
// settle, leak, stream and build.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "tests/agent/policy/simulated_node.h"

namespace plimsoll::agent::simulation::policy_simulation_test {
namespace {

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
constexpr Bytes mib_of(double count) {
  return {static_cast<std::uint64_t>(count * static_cast<double>(kMiB))};
}
constexpr Bytes kMemory{64 * kGiB};
constexpr double kHour = 3600;
// shrink_after of 30 s and a few ticks for the probe.
constexpr double kShrinkTime = 30 + 4;

// From `low` up to `high` at `rate` MiB/s from `begin` on, and back down at once at `end`.
Program burst(double low, double high, double rate, double begin, double end) {
  return [=](double now) {
    if (now < begin || now >= end) return Demand{mib_of(low), {}, {}};
    return Demand{mib_of(std::min(high, low + (now - begin) * rate)), {}, {}};
  };
}

std::string told(const Container& c) {
  std::string text;
  for (const Change& change : c.changes) {
    text += std::to_string(change.seconds) + " " + std::string(to_string(change.kind)) + " " +
            to_string(change.from) + " -> " + to_string(change.to) + " " +
            std::string(to_string(change.layer)) + " " + std::string(to_string(change.reason)) +
            "\n";
  }
  return text;
}

TEST(Simulation, ABurstLivesAndTheLimitIsBackAtTheFloorInTime) {
  for (const double rate : {5.0, 50.0, 500.0, 5000.0}) {
    Node node(kMemory);
    node.add(mib(64), mib(8192), burst(50, 1500, rate, 20, 400));
    node.run_until(399);
    const Container& c = node.at(0);
    EXPECT_EQ(c.kills, 0U) << rate << "\n" << told(c);
    EXPECT_EQ(c.anon, mib(1500));
    EXPECT_LE(c.count(ActionKind::kGrow), 8U) << rate << "\n" << told(c);
    node.run_until(400 + kShrinkTime);
    EXPECT_EQ(c.state.facts.limit, mib(64)) << rate << "\n" << told(c);
    const std::size_t changes = c.changes.size();
    node.run_until(2 * kHour);
    EXPECT_EQ(c.changes.size(), changes) << "quiet for hours\n" << told(c);
  }
}

// However long before the end of the burst its last grant was.
TEST(Simulation, AShortBurstIsOverInTimeToo) {
  for (const double length : {1.0, 3.0, 5.0, 10.0, 20.0, 28.0, 35.0}) {
    Node node(kMemory);
    node.add(mib(64), mib(8192), burst(50, 1000, 5000, 20, 20 + length));
    node.run_until(20 + length + kShrinkTime);
    EXPECT_EQ(node.at(0).kills, 0U);
    EXPECT_EQ(node.at(0).state.facts.limit, mib(64)) << length << "\n" << told(node.at(0));
  }
}

TEST(Simulation, AfterABurstTheLimitIsWithinTenPercentOfTheNeed) {
  for (const double rest : {70.0, 100.0, 333.0, 1000.0, 1350.0, 1490.0}) {
    Node node(kMemory);
    node.add(mib(64), mib(8192), burst(rest, 1500, 300, 20, 100));
    node.run_until(100 + kShrinkTime);
    const Container& c = node.at(0);
    EXPECT_EQ(c.kills, 0U);
    EXPECT_LE(static_cast<double>(c.state.facts.limit.value),
              1.10 * static_cast<double>(mib_of(rest).value))
        << rest << "\n"
        << told(c);
    node.run_until(2 * kHour);
    EXPECT_EQ(c.kills, 0U);
    EXPECT_EQ(c.count(ActionKind::kGrow, 100), 0U) << "no growth after\n" << told(c);
  }
}

TEST(Simulation, ASteadyProgramThatWigglesIsLeftInPeace) {
  Node node(kMemory);
  node.add(mib(64), mib(8192), [](double now) {
    const double wiggle = 3 * std::sin(now * 1.7) + 2 * std::sin(now * 0.13);
    return Demand{mib_of(now < 20 ? 50 : now < 60 ? 1500 : 500 + wiggle), {}, {}};
  });
  node.run_until(4 * kHour);
  const Container& c = node.at(0);
  EXPECT_EQ(c.kills, 0U);
  EXPECT_LE(c.changes.size(), 10U) << told(c);
  EXPECT_LE(c.state.facts.limit, mib(560)) << told(c);
}

TEST(Simulation, SecondBurstRightAfterTheShrinkLivesAndTheNextShrinkWaitsLonger) {
  Node node(kMemory);
  node.add(mib(64), mib(8192), [](double now) {
    const bool bursting = (now >= 20 && now < 60) || (now >= 97 && now < 130);
    return Demand{mib_of(bursting ? 1000 : 50), {}, {}};
  });
  node.run_until(97);
  const Container& c = node.at(0);
  ASSERT_EQ(c.state.facts.limit, mib(64)) << told(c);
  node.run_until(130 + kShrinkTime);
  EXPECT_EQ(c.kills, 0U) << told(c);
  EXPECT_GT(c.state.facts.limit, mib(64)) << "not yet\n" << told(c);
  node.run_until(130 + 60 + 4);
  EXPECT_EQ(c.state.facts.limit, mib(64)) << told(c);
}

TEST(Simulation, AStreamOfPageCacheNeverGrows) {
  for (const std::uint64_t limit : {32U, 64U, 256U}) {
    Node node(kMemory);
    node.add(mib(limit), mib(8192), [](double) { return Demand{mib(5), mib(800), {}}; });
    node.run_until(kHour);
    EXPECT_TRUE(node.at(0).changes.empty()) << told(node.at(0));
    EXPECT_EQ(node.at(0).kills, 0U);
  }
}

TEST(Simulation, AStreamDoesNotKeepWhatABurstWasGranted) {
  Node node(kMemory);
  node.add(mib(64), mib(8192), [](double now) {
    return Demand{mib_of(now >= 20 && now < 60 ? 1000 : 40), mib(100), {}};
  });
  node.run_until(60 + kShrinkTime);
  const Container& c = node.at(0);
  EXPECT_EQ(c.kills, 0U);
  EXPECT_EQ(c.state.facts.limit, mib(64)) << told(c);
  node.run_until(kHour);
  EXPECT_EQ(c.count(ActionKind::kGrow, 60), 0U) << told(c);
}

TEST(Simulation, CacheThatIsUsedIsKept) {
  Node node(kMemory);
  node.add(mib(64), mib(8192), [](double now) {
    return Demand{mib_of(now >= 20 && now < 60 ? 2000 : 100), {}, mib(now < 30 ? 0 : 600)};
  });
  node.run_until(2 * kHour);
  const Container& c = node.at(0);
  EXPECT_EQ(c.kills, 0U);
  EXPECT_GE(c.state.facts.limit, mib(650)) << told(c);
  EXPECT_LE(c.state.facts.limit, mib(1400)) << told(c);
  EXPECT_LE(c.count(ActionKind::kReclaim, kHour), 8U) << "probes become rare\n" << told(c);
  EXPECT_LE(c.count(ActionKind::kGrow, kHour), 3U) << told(c);
}

TEST(Simulation, AWorkingSetThatDoesNotFitGrowsUntilItDoes) {
  Node node(kMemory);
  node.add(mib(256), mib(8192), [](double) { return Demand{mib(100), {}, mib(400)}; });
  node.run_until(60);
  const Container& c = node.at(0);
  EXPECT_EQ(c.hot, mib(400)) << told(c);
  EXPECT_LE(c.state.facts.limit, mib(1000)) << told(c);
  ASSERT_FALSE(c.changes.empty());
  EXPECT_EQ(c.changes.front().reason, Reason::kThrashing);
}

TEST(Simulation, ALeakIsFedUntilItIsKnownAndThenDies) {
  for (const double rate : {1.0, 2.0, 5.0}) {
    Node node(kMemory);
    node.add(mib(64), {60 * kGiB}, [=](double now) {
      return Demand{mib_of(50 + rate * now), {}, {}};
    });
    Container& c = node.at(0);
    while (c.kills == 0 && node.seconds() < 4 * kHour) node.run_until(node.seconds() + 1);
    ASSERT_EQ(c.kills, 1U) << rate << "\n" << told(c);
    EXPECT_EQ(c.denials.back(), Reason::kLeak);
    EXPECT_GE(node.seconds(), 600);
    // The next window after the kill begins with a clean slate.
    c.program = burst(50, 500, 50, 0, 1e9);
    node.run_until(node.seconds() + 60);
    EXPECT_EQ(c.kills, 1U) << told(c);
  }
}

TEST(Simulation, AFastLeakDiesAtItsCeiling) {
  Node node(kMemory);
  node.add(mib(64), mib(2048), [](double now) { return Demand{mib_of(50 + 100 * now), {}, {}}; });
  node.run_until(60);
  const Container& c = node.at(0);
  EXPECT_GE(c.kills, 1U);
  EXPECT_EQ(c.denials.back(), Reason::kCeiling);
  EXPECT_LE(c.state.facts.limit, mib(2048));
}

TEST(Simulation, ALongBuildDoesNotFlap) {
  // An edit and a build each minute or so: twenty seconds of compilers, one link, a pause.
  Node node(kMemory);
  node.add(mib(256), {16 * kGiB}, [](double now) {
    const double phase = std::fmod(now, 75);
    if (phase < 5) return Demand{mib_of(200 + phase * 150), mib(50), {}};
    if (phase < 20) {
      return Demand{mib_of(900 + 300 * std::fabs(std::sin(now * 3))), mib(50), {}};
    }
    if (phase < 25) return Demand{mib_of(900 + (phase - 20) * 400), mib(50), {}};
    return Demand{mib_of(200), mib(5), {}};
  });
  node.run_until(4 * kHour);
  const Container& c = node.at(0);
  EXPECT_EQ(c.kills, 0U);
  EXPECT_LE(c.count(ActionKind::kShrink, kHour), 2U) << "it learns the rhythm\n" << told(c);
  EXPECT_LE(c.count(ActionKind::kGrow, kHour), 4U) << told(c);
}

TEST(Simulation, LostEventsNeverShrinkAndASlowRiseIsStillCaught) {
  Node node(kMemory);
  node.events_are_lost = true;
  node.add(mib(256), mib(8192), [](double now) {
    return Demand{mib_of(std::fmod(now, 200) < 100 ? 50 + std::fmod(now, 200) * 20 : 50), {}, {}};
  });
  node.run_until(kHour);
  const Container& c = node.at(0);
  EXPECT_EQ(c.kills, 0U) << told(c);
  for (const Change& change : c.changes) EXPECT_EQ(change.layer, Layer::kSlowLoop);
  EXPECT_GT(c.count(ActionKind::kGrow), 0U);
}

TEST(Simulation, ASpentBudgetDeniesAndIsNeverExceeded) {
  Node node(kMemory);
  node.policy.budget.limit = mib(1000);
  for (int i = 0; i < 4; ++i) {
    node.add(mib(64), mib(8192), burst(50, 600, 20 + 30 * i, 20, 200));
  }
  node.run_until(190);
  std::uint64_t kills = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    kills += node.at(i).kills;
    for (const Reason denial : node.at(i).denials) EXPECT_EQ(denial, Reason::kBudget);
  }
  EXPECT_GT(kills, 0U);
  EXPECT_LE(node.most_granted(), mib(1000));
  for (std::size_t i = 0; i < 4; ++i) node.at(i).program = [](double) { return Demand{mib(50)}; };
  node.run_until(kHour);
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(node.at(i).state.facts.limit, mib(64));
}

TEST(Simulation, TheNodeKeepsItsReserve) {
  Node node(mib(4096));
  for (int i = 0; i < 4; ++i) {
    node.add(mib(64), mib(8192), burst(50, 1500, 40 + 10 * i, 20, 1e9));
  }
  for (int second = 0; second < 300; ++second) {
    node.run_until(second);
    Bytes used;
    for (std::size_t i = 0; i < 4; ++i) used += node.at(i).anon;
    ASSERT_LE(used + Bytes{4096 * kMiB / 20}, mib(4096));
  }
}

}  // namespace
}  // namespace plimsoll::agent::simulation::policy_simulation_test
