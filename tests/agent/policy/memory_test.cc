// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/memory.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <ostream>
#include <random>
#include <set>
#include <string>

namespace plimsoll::agent::memory_test {

void PrintTo(const Verdict& verdict, std::ostream* out) {
  *out << to_string(verdict.reason);
  if (verdict.limit) *out << " " << to_string(*verdict.limit);
}

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
constexpr std::uint64_t kTop = std::numeric_limits<std::uint64_t>::max();
constexpr Bytes kPlenty{64 * kGiB};

// Default policy: watermark 85 %, horizon 200 ms, look ahead 1 s, step 64 MiB and 50 %.
const MemoryPolicy kPolicy;
const Armed kArmed{.bounds = {.floor = mib(64), .ceiling = mib(4096)}};

Verdict no(Reason reason) { return {std::nullopt, reason}; }
Verdict to(std::uint64_t count, Reason reason) { return {mib(count), reason}; }

struct Candidate {
  const char* name;
  MemoryFacts facts;  // limit, usage, reclaimable, rate per second
  Layer layer;
  Verdict expected;
};

TEST(GrowOnEvent, Table) {
  using enum Layer;
  using enum Reason;
  const Candidate cases[] = {
      {"idle", {mib(100), mib(10), {}, {}}, kPredicted, no(kEnoughHeadroom)},
      {"slow growth far from the limit",
       {mib(100), mib(50), {}, mib(10)},
       kPredicted,
       no(kEnoughHeadroom)},
      // 50 MiB of headroom at 240 and 260 MiB/s is 208 and 192 ms.
      {"just outside the horizon",
       {mib(100), mib(50), {}, mib(240)},
       kPredicted,
       no(kEnoughHeadroom)},
      {"just inside the horizon",
       {mib(100), mib(50), {}, mib(260)},
       kPredicted,
       to(310, kTimeToLimit)},
      {"racing, but most of the limit is free",
       {mib(100), mib(49), {}, mib(5000)},
       kPredicted,
       no(kEnoughHeadroom)},
      {"racing: at most four times the limit",
       {mib(100), mib(50), {}, mib(5000)},
       kPredicted,
       to(350, kTimeToLimit)},
      {"at the watermark", {mib(100), mib(85), {}, mib(1)}, kPredicted, no(kEnoughHeadroom)},
      {"over the watermark, rising",
       {mib(100), mib(86), {}, mib(1)},
       kPredicted,
       to(164, kWatermark)},
      {"over the watermark, not rising",
       {mib(100), mib(99), {}, {}},
       kPredicted,
       no(kEnoughHeadroom)},
      {"a large limit grows by its share",
       {mib(1000), mib(900), {}, mib(1)},
       kPredicted,
       to(1500, kWatermark)},
      {"cache does not count towards the watermark",
       {mib(100), mib(100), mib(40), mib(1)},
       kPredicted,
       no(kOnlyCache)},
      {"cache does not count towards the time",
       {mib(100), mib(100), mib(60), mib(200)},
       kPredicted,
       no(kOnlyCache)},
      {"usage over the limit", {mib(100), mib(180), {}, mib(1)}, kPredicted, to(244, kTimeToLimit)},
      {"the slow loop judges as a prediction",
       {mib(100), mib(86), {}, mib(1)},
       kSlowLoop,
       to(164, kWatermark)},

      {"at the limit, nothing to reclaim",
       {mib(100), mib(100), {}, {}},
       kAtTheLimit,
       to(164, kReclaimFailing)},
      {"at the limit, some cache left that cannot be freed",
       {mib(100), mib(100), mib(35), {}},
       kAtTheLimit,
       to(164, kReclaimFailing)},
      {"at the limit, only cache", {mib(100), mib(100), mib(90), {}}, kAtTheLimit, no(kOnlyCache)},
      {"at the limit, mostly cache but racing",
       {mib(100), mib(100), mib(50), mib(300)},
       kAtTheLimit,
       to(350, kTimeToLimit)},
      {"at the limit, but the limit was raised since",
       {mib(164), mib(100), {}, mib(10)},
       kAtTheLimit,
       no(kAlreadyGrown)},

      {"at the door", {mib(100), mib(100), {}, {}}, kAtTheDoor, to(228, kOomDoor)},
      {"at the door with cache: the kernel has tried",
       {mib(100), mib(100), mib(90), {}},
       kAtTheDoor,
       to(228, kOomDoor)},
      {"at the door, raised since", {mib(228), mib(100), {}, {}}, kAtTheDoor, no(kAlreadyGrown)},
      {"at the door, raised but used up",
       {mib(228), mib(213), {}, {}},
       kAtTheDoor,
       to(456, kOomDoor)},
      {"at the door, usage far over the limit",
       {mib(100), mib(300), {}, {}},
       kAtTheDoor,
       to(428, kOomDoor)},

      {"ceiling clips", {mib(4000), mib(4000), {}, {}}, kAtTheDoor, to(4096, kOomDoor)},
      {"at the ceiling", {mib(4096), mib(4096), {}, mib(999)}, kAtTheDoor, no(kCeiling)},
      {"above the ceiling", {mib(5000), mib(5000), {}, mib(999)}, kPredicted, no(kCeiling)},
      {"no limit", {{kTop}, mib(5000), {}, mib(999)}, kAtTheDoor, no(kEnoughHeadroom)},
      {"the kernel's largest limit",
       {{(std::uint64_t{1} << 63) - 4096}, mib(5000), {}, mib(999)},
       kPredicted,
       no(kEnoughHeadroom)},
  };
  for (const Candidate& each : cases) {
    EXPECT_EQ(grow_on_event(kPolicy, kArmed, each.facts, each.layer, kPlenty), each.expected)
        << each.name;
  }
}

constexpr Layer kAllLayers[] = {Layer::kPredicted, Layer::kAtTheLimit, Layer::kAtTheDoor,
                                Layer::kSlowLoop};
// Needs a grant at every layer.
constexpr MemoryFacts kNeedy{mib(100), mib(99), {}, mib(50)};

TEST(GrowOnEvent, ADenialIsTheAnswerAtEveryLayer) {
  for (const Layer layer : kAllLayers) {
    ASSERT_TRUE(grow_on_event(kPolicy, kArmed, kNeedy, layer, kPlenty).limit);
    for (const Reason denial :
         {Reason::kCeiling, Reason::kBudget, Reason::kLeak, Reason::kNotArmed, Reason::kGone}) {
      Armed denied = kArmed;
      denied.denial = denial;
      EXPECT_EQ(grow_on_event(kPolicy, denied, kNeedy, layer, kPlenty), no(denial));
    }
  }
}

TEST(GrowOnEvent, ACeilingOfZeroMeansMayNotGrow) {
  for (const Layer layer : kAllLayers) {
    EXPECT_EQ(grow_on_event(kPolicy, Armed{}, kNeedy, layer, kPlenty), no(Reason::kCeiling));
  }
}

TEST(GrowOnEvent, TheBudgetClipsAndAnEmptyOneDenies) {
  const auto at = [](Bytes budget) {
    return grow_on_event(kPolicy, kArmed, kNeedy, Layer::kAtTheLimit, budget);
  };
  EXPECT_EQ(at({}), no(Reason::kBudget));
  EXPECT_EQ(at({kMiB - 1}), no(Reason::kBudget));
  EXPECT_EQ(at(mib(1)), to(101, Reason::kReclaimFailing));
  EXPECT_EQ(at({10 * kMiB + 4096}), to(110, Reason::kReclaimFailing));
  EXPECT_EQ(at(mib(64)), to(164, Reason::kReclaimFailing));
  EXPECT_EQ(at({kTop}), to(164, Reason::kReclaimFailing));
}

TEST(GrowOnEvent, NewLimitsAreRounded) {
  MemoryPolicy policy;
  policy.round_to = mib(16);
  const MemoryFacts facts{{100 * kMiB + 12345}, mib(100), {}, {}};
  const Verdict verdict = grow_on_event(policy, kArmed, facts, Layer::kAtTheLimit, kPlenty);
  EXPECT_EQ(verdict, to(176, Reason::kReclaimFailing));
}

// A limit that a shrink fitted to the need stands over its watermark all the time.
TEST(GrowOnEvent, BelowTheSettledPeakTheWatermarkIsSilent) {
  Armed armed = kArmed;
  armed.settled = mib(200);
  const auto at = [&](std::uint64_t usage, std::uint64_t rate) {
    return grow_on_event(kPolicy, armed, {mib(210), mib(usage), {}, mib(rate)}, Layer::kPredicted,
                         kPlenty);
  };
  EXPECT_EQ(at(199, 1), no(Reason::kEnoughHeadroom));
  EXPECT_EQ(at(205, 1), no(Reason::kEnoughHeadroom));
  EXPECT_EQ(at(206, 1), to(315, Reason::kWatermark));
  EXPECT_EQ(at(199, 100), to(315, Reason::kTimeToLimit)) << "the horizon holds at any level";
  EXPECT_EQ(watermark_of(kPolicy, armed, mib(100)), mib(100)) << "never above the limit";
  EXPECT_EQ(watermark_of(kPolicy, armed, mib(1000)), mib(850)) << "never below the policy's own";
}

TEST(Rounding, UpAndDown) {
  EXPECT_EQ(round_up({0}, {4}), Bytes{0});
  EXPECT_EQ(round_up({1}, {4}), Bytes{4});
  EXPECT_EQ(round_up({4}, {4}), Bytes{4});
  EXPECT_EQ(round_down({7}, {4}), Bytes{4});
  EXPECT_EQ(scaled_to_fit({kTop}, 3), Bytes{kTop});
  EXPECT_EQ(scaled_to_fit({10}, -1), Bytes{0});
  EXPECT_EQ(scaled_to_fit({10}, std::nan("")), Bytes{0});
  EXPECT_EQ(scaled_to_fit({10}, 0.55), Bytes{5});
}

TEST(Names, EveryReasonAndLayerHasItsOwn) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(Reason::kLeaseEnded); ++i) {
    names.insert(to_string(static_cast<Reason>(i)));
  }
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Reason::kLeaseEnded) + 1);
  EXPECT_FALSE(names.contains("unknown"));
  std::set<std::string_view> layers;
  for (const Layer layer : kAllLayers) layers.insert(to_string(layer));
  EXPECT_EQ(layers.size(), kLayers);
  EXPECT_FALSE(layers.contains("unknown"));
}

// Any bytes at all, with the awkward ones more often than chance has them.
class RandomFacts {
 public:
  explicit RandomFacts(std::uint64_t seed) : random_(seed) {}

  Bytes bytes() {
    switch (random_() % 6) {
      case 0:
        return {random_()};
      case 1:
        return {kTop - random_() % 3};
      case 2:
        return {random_() % 3};
      case 3:
        return {(std::uint64_t{1} << (random_() % 64)) - random_() % 2};
      default:
        return {random_() % (8 * kGiB)};
    }
  }
  MemoryFacts facts() { return {bytes(), bytes(), bytes(), bytes()}; }
  Armed armed() {
    Armed armed{.bounds = {.floor = bytes(), .ceiling = bytes()}, .settled = bytes()};
    if (random_() % 8 == 0) armed.denial = Reason::kLeak;
    return armed;
  }
  MemoryPolicy policy() {
    MemoryPolicy policy;
    policy.round_to = {std::uint64_t{1} << (12 + random_() % 19)};
    policy.step = {policy.round_to.value * (1 + random_() % 64)};
    policy.step_ratio = static_cast<double>(random_() % 400) / 100;
    policy.watermark = 0.5 + static_cast<double>(random_() % 48) / 100;
    return policy;
  }
  Layer layer() { return kAllLayers[random_() % 4]; }

 private:
  std::mt19937_64 random_;
};

TEST(GrowOnEventProperties, HoldForAnyFacts) {
  RandomFacts random(6);
  int grants = 0;
  for (int i = 0; i < 500000; ++i) {
    const MemoryPolicy policy = random.policy();
    const Armed armed = random.armed();
    const MemoryFacts facts = random.facts();
    const Layer layer = random.layer();
    const Bytes budget = random.bytes();
    const Verdict verdict = grow_on_event(policy, armed, facts, layer, budget);
    ASSERT_EQ(verdict, grow_on_event(policy, armed, facts, layer, budget));
    if (!verdict.limit) {
      ASSERT_GE(verdict.reason, Reason::kEnoughHeadroom) << "a refusal with a reason to grant";
      continue;
    }
    ++grants;
    ASSERT_FALSE(armed.denial);
    ASSERT_LT(verdict.reason, Reason::kEnoughHeadroom) << "a grant with a reason to refuse";
    ASSERT_GT(*verdict.limit, facts.limit);
    ASSERT_LE(*verdict.limit, armed.bounds.ceiling);
    ASSERT_LE((*verdict.limit - facts.limit).value, budget.value);
    ASSERT_GE(budget, policy.round_to);
    ASSERT_TRUE(*verdict.limit == armed.bounds.ceiling ||
                verdict.limit->value % policy.round_to.value == 0);
  }
  EXPECT_GT(grants, 10000);
}

// More of what makes a grant urgent never makes it smaller or takes it away.
TEST(GrowOnEventProperties, GrowsWithTheNeed) {
  RandomFacts random(7);
  for (int i = 0; i < 200000; ++i) {
    const MemoryPolicy policy = random.policy();
    const Armed armed = random.armed();
    MemoryFacts facts = random.facts();
    const Bytes budget = random.bytes();
    const Verdict before = grow_on_event(policy, armed, facts, Layer::kPredicted, budget);
    facts.rate_per_second += random.bytes();
    facts.reclaimable -= random.bytes();
    const Verdict after = grow_on_event(policy, armed, facts, Layer::kPredicted, budget);
    if (before.limit) {
      ASSERT_TRUE(after.limit);
      ASSERT_GE(*after.limit, *before.limit);
    }
  }
}

// What the program grows by while the grant is on its way, it has.
TEST(GrowOnEventProperties, AnUnclippedGrantCoversTheLookAhead) {
  std::mt19937_64 random(8);
  for (int i = 0; i < 100000; ++i) {
    const Bytes limit = mib(32 + random() % 2048);
    const MemoryFacts facts{
        limit, {limit.value - random() % (16 * kMiB)}, {}, mib(random() % 4096)};
    const Armed armed{.bounds = {.floor = mib(32), .ceiling = {kTop}}};
    const Verdict verdict = grow_on_event(kPolicy, armed, facts, Layer::kAtTheLimit, Bytes{kTop});
    ASSERT_TRUE(verdict.limit) << to_string(facts.limit) << " " << to_string(facts.usage);
    ASSERT_GE(verdict.limit->value,
              facts.usage.value + std::min(facts.rate_per_second.value, 3 * limit.value));
    ASSERT_GE(verdict.limit->value, limit.value + kPolicy.step.value);
    ASSERT_GE(verdict.limit->value, limit.value + limit.value / 2);
  }
}

}  // namespace
}  // namespace plimsoll::agent::memory_test
