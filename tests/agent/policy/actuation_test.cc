// SPDX-License-Identifier: Apache-2.0
//
// Which part of a grant is written and which is wished, and whose budget it is.
#include <gtest/gtest.h>

#include <chrono>
#include <random>

#include "agent/policy/memory.h"

namespace plimsoll::agent::actuation_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MemoryPolicy kPolicy;
constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
constexpr Bytes kPlenty = mib(100'000);

// 64 MiB, 60 of them needed, and rising by `rate`.
constexpr MemoryFacts rising(Bytes rate) { return {mib(64), mib(60), {}, rate}; }
// 64 MiB, full.
constexpr MemoryFacts kFull{mib(64), mib(64), {}, {}};

Armed armed(std::optional<Bytes> direct, std::optional<Nanoseconds> bridge = {}) {
  return {.bounds = {.floor = mib(64), .ceiling = mib(512), .direct_ceiling = direct},
          .bridge_within = bridge};
}
Verdict at(Layer layer, const Armed& armed, const MemoryFacts& facts, Budgets budgets = kPlenty) {
  return grow_on_event(kPolicy, armed, facts, layer, budgets);
}

TEST(DirectCeiling, AbsentOrHighEnoughAllIsWritten) {
  for (const std::optional<Bytes> direct : {std::optional<Bytes>(), std::optional(mib(128))}) {
    EXPECT_EQ(at(Layer::kAtTheLimit, armed(direct), kFull),
              (Verdict{mib(128), Reason::kReclaimFailing, {}}));
  }
}

TEST(DirectCeiling, BelowTheNeedTheRestIsWished) {
  EXPECT_EQ(at(Layer::kAtTheLimit, armed(mib(100)), kFull),
            (Verdict{mib(100), Reason::kReclaimFailing, mib(128)}));
  EXPECT_EQ(at(Layer::kAtTheLimit, armed(mib(65)), kFull),
            (Verdict{mib(65), Reason::kReclaimFailing, mib(128)}));
}

TEST(DirectCeiling, TooLowToHelpAllIsWished) {
  const Bytes almost = mib(65) - Bytes{4096};
  for (const Bytes direct : {Bytes{}, mib(10), mib(64), almost}) {
    EXPECT_EQ(at(Layer::kAtTheDoor, armed(direct), kFull),
              (Verdict{{}, Reason::kOomDoor, mib(192)}))
        << to_string(direct);
  }
}

// What is left below the ceiling may be less than the unit of limits; it is written all the same.
TEST(DirectCeiling, TheLastBytesBelowTheCeilingAreWritten) {
  Armed close = armed({});
  close.bounds.ceiling = mib(64) + Bytes{4096};
  EXPECT_EQ(at(Layer::kAtTheDoor, close, kFull),
            (Verdict{close.bounds.ceiling, Reason::kOomDoor, {}}));
}

TEST(BridgeWithin, ANeedThatIsFarAwayIsOnlyWished) {
  const Armed bridged = armed({}, seconds(1));
  // 4 MiB of headroom: 1.3 s at 3 MiB/s, 0.8 s at 5 MiB/s.
  EXPECT_EQ(at(Layer::kPredicted, bridged, rising(mib(3))),
            (Verdict{{}, Reason::kWatermark, mib(128)}));
  EXPECT_EQ(at(Layer::kPredicted, bridged, rising(mib(5))),
            (Verdict{mib(128), Reason::kWatermark, {}}));
  EXPECT_EQ(at(Layer::kPredicted, armed({}), rising(mib(3))),
            (Verdict{mib(128), Reason::kWatermark, {}}));
}

TEST(BridgeWithin, AtTheLimitThereIsNoTimeToWait) {
  const Armed bridged = armed({}, seconds(1));
  EXPECT_EQ(at(Layer::kAtTheLimit, bridged, kFull).limit, mib(128));
  EXPECT_EQ(at(Layer::kAtTheDoor, bridged, kFull).limit, mib(192));
  // A working set that does not fit is slow, but nobody is killed for it.
  const Verdict thrashing =
      grant(kPolicy, bridged, kFull, Layer::kSlowLoop, kPlenty, Reason::kThrashing);
  EXPECT_EQ(thrashing, (Verdict{{}, Reason::kThrashing, mib(128)}));
}

TEST(LookAhead, OfTheContainerReplacesThePolicys) {
  Armed longer = armed({});
  EXPECT_EQ(at(Layer::kPredicted, longer, rising(mib(80))).limit, mib(140));
  longer.look_ahead = seconds(2);
  EXPECT_EQ(at(Layer::kPredicted, longer, rising(mib(80))).limit, mib(220));
}

TEST(Shortage, SaysWhichBudgetIsSpent) {
  Armed last = armed({});
  last.kept = mib(100);
  last.kept_in_group = mib(50);
  const auto why = [&](Bytes node, Bytes group) {
    return at(Layer::kAtTheLimit, last, kFull, Budgets{node, group});
  };
  EXPECT_EQ(why(kPlenty, kPlenty).limit, mib(128));
  EXPECT_EQ(why(kPlenty, {}), (Verdict{{}, Reason::kGroupBudget, {}}));
  EXPECT_EQ(why({}, kPlenty), (Verdict{{}, Reason::kBudget, {}}));
  EXPECT_EQ(why(mib(100), kPlenty), (Verdict{{}, Reason::kPriority, {}}));
  EXPECT_EQ(why(kPlenty, mib(50)), (Verdict{{}, Reason::kPriority, {}}));
  EXPECT_EQ(why(mib(130), kPlenty).limit, mib(64 + 30)) << "what is not kept";
  EXPECT_EQ(why(kPlenty, mib(60)).limit, mib(64 + 10));
}

TEST(ActuationProperties, NothingIsWrittenAboveTheDirectCeilingOrWithoutBudget) {
  std::mt19937_64 random(11);
  int written = 0;
  int wished = 0;
  int both = 0;
  for (int i = 0; i < 400'000; ++i) {
    const auto up_to = [&](std::uint64_t most) { return mib(random() % most); };
    const Bytes limit = mib(16 + random() % 1024);
    const Bytes usage{random() % (limit.value + mib(2).value)};
    const MemoryFacts facts{limit, usage, {random() % (usage.value + 1)}, up_to(500)};
    Armed each{.bounds = {.floor = mib(16), .ceiling = limit + up_to(4096)}};
    if (random() % 2 == 0) each.bounds.direct_ceiling = up_to(2048);
    if (random() % 2 == 0) each.bridge_within = milliseconds(random() % 3000);
    if (random() % 2 == 0) each.kept = up_to(128);
    if (random() % 2 == 0) each.kept_in_group = up_to(128);
    const Budgets budgets{up_to(4096), up_to(4096)};
    const Verdict verdict =
        grow_on_event(kPolicy, each, facts, static_cast<Layer>(random() % 3), budgets);
    if (verdict.limit) {
      ASSERT_GT(*verdict.limit, facts.limit);
      ASSERT_LE(*verdict.limit, direct_ceiling(each.bounds));
    }
    if (verdict.wish) {
      ASSERT_GT(*verdict.wish, verdict.limit.value_or(facts.limit));
      ASSERT_LE(*verdict.wish, each.bounds.ceiling);
    }
    if (!verdict.limit && !verdict.wish) {
      ASSERT_GE(verdict.reason, Reason::kEnoughHeadroom);
      continue;
    }
    ASSERT_LT(verdict.reason, Reason::kEnoughHeadroom);
    const Bytes given = verdict.wish.value_or(verdict.limit.value_or(Bytes{})) - facts.limit;
    ASSERT_LE(given, budgets.node - each.kept);
    ASSERT_LE(given, budgets.group - each.kept_in_group);
    written += verdict.limit && !verdict.wish;
    wished += verdict.wish && !verdict.limit;
    both += verdict.wish && verdict.limit;
  }
  EXPECT_GT(written, 1000);
  EXPECT_GT(wished, 1000);
  EXPECT_GT(both, 500);
}

}  // namespace
}  // namespace plimsoll::agent::actuation_test
