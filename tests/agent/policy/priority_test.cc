// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/priority.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace plimsoll::agent::priority_test {
namespace {

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
constexpr Rank kLow{.priority = 0, .qos = QosRank::kBurstable};
constexpr Rank kLowGuaranteed{.priority = 0, .qos = QosRank::kGuaranteed};
constexpr Rank kHigh{.priority = 1000, .qos = QosRank::kBestEffort};

TEST(Rank, PriorityComesBeforeQos) {
  EXPECT_LT(kLow, kLowGuaranteed);
  EXPECT_LT(kLowGuaranteed, kHigh);
  EXPECT_LT((Rank{.priority = -5, .qos = QosRank::kGuaranteed}), kLow);
}

TEST(KeptForHigher, EqualsKeepNothingForEachOther) {
  const std::vector<Demand> demands{{.rank = kLow, .next = mib(64), .hot = true},
                                    {.rank = kLow, .next = mib(128), .hot = true}};
  EXPECT_EQ(reserved_for_higher(demands), (std::vector<Reserved>{{}, {}}));
}

TEST(KeptForHigher, TheLargestNextGrantOrAllThatAreHot) {
  std::vector<Demand> demands{{.rank = kLow, .next = mib(10)},
                              {.rank = kHigh, .next = mib(64)},
                              {.rank = kHigh, .next = mib(100)},
                              {.rank = kLowGuaranteed, .next = mib(30)}};
  EXPECT_EQ(reserved_for_higher(demands),
            (std::vector<Reserved>{{mib(100), {}}, {}, {}, {mib(100), {}}}));
  demands[1].hot = demands[2].hot = demands[3].hot = true;
  EXPECT_EQ(reserved_for_higher(demands),
            (std::vector<Reserved>{{mib(194), {}}, {}, {}, {mib(164), {}}}));
}

TEST(KeptForHigher, InTheGroupOnlyForTheSameGroup) {
  const std::vector<Demand> demands{{.rank = kLow, .group = 1, .next = mib(10)},
                                    {.rank = kHigh, .group = 1, .next = mib(64)},
                                    {.rank = kHigh, .group = 2, .next = mib(100)},
                                    {.rank = kLow, .next = mib(1)}};
  EXPECT_EQ(reserved_for_higher(demands),
            (std::vector<Reserved>{{mib(100), mib(64)}, {}, {}, {mib(100), {}}}));
}

TEST(TakeBack, FromTheLowestRankAndThereFromTheLargest) {
  const std::vector<Spare> spares{{.index = 1, .rank = kLowGuaranteed, .bytes = mib(500)},
                                  {.index = 2, .rank = kLow, .bytes = mib(100)},
                                  {.index = 3, .rank = kLow, .bytes = mib(200)}};
  const auto taken = take_back({{.index = 0, .rank = kHigh, .bytes = mib(320)}}, spares, mib(64));
  EXPECT_EQ(taken, (std::vector<Spare>{{.index = 3, .rank = kLow, .bytes = mib(200)},
                                       {.index = 2, .rank = kLow, .bytes = mib(100)},
                                       {.index = 1, .rank = kLowGuaranteed, .bytes = mib(64)}}));
}

TEST(TakeBack, NeverFromWhoeverComesFirstOrFromItself) {
  const std::vector<Spare> spares{{.index = 0, .rank = kLow, .bytes = mib(500)},
                                  {.index = 1, .rank = kHigh, .bytes = mib(500)},
                                  {.index = 2, .rank = kLow, .bytes = mib(10)}};
  const auto taken = take_back({{.index = 0, .rank = kLow, .bytes = mib(64)}}, spares, mib(64));
  EXPECT_EQ(taken, (std::vector<Spare>{{.index = 2, .rank = kLow, .bytes = mib(10)}}));
}

TEST(TakeBack, WhatAGroupIsShortOfComesFromTheGroup) {
  const std::vector<Spare> spares{{.index = 1, .rank = kLow, .group = 1, .bytes = mib(50)},
                                  {.index = 2, .rank = kLow, .group = 2, .bytes = mib(500)}};
  const auto taken =
      take_back({{.index = 0, .rank = kHigh, .group = 1, .bytes = mib(64)}}, spares, mib(64));
  EXPECT_EQ(taken, (std::vector<Spare>{{.index = 1, .rank = kLow, .group = 1, .bytes = mib(50)}}));
}

TEST(TakeBack, NeverMoreThanIsSpareOrMissing) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Missing> missing;
    std::vector<Spare> spares;
    Bytes wanted;
    for (std::size_t i = 0; i < random() % 6; ++i) {
      missing.push_back({i, {static_cast<std::int32_t>(random() % 3)}, {}, mib(random() % 500)});
      wanted += missing.back().bytes + mib(64);
    }
    for (std::size_t i = 0; i < random() % 6; ++i) {
      spares.push_back(
          {i + 3, {static_cast<std::int32_t>(random() % 3)}, kNoGroup, mib(random() % 500)});
    }
    Bytes sum;
    for (const Spare& taken : take_back(missing, spares, mib(64))) {
      const auto of = std::find_if(spares.begin(), spares.end(),
                                   [&](const Spare& spare) { return spare.index == taken.index; });
      ASSERT_NE(of, spares.end());
      ASSERT_LE(taken.bytes, of->bytes);
      ASSERT_TRUE(std::any_of(missing.begin(), missing.end(), [&](const Missing& need) {
        return need.rank >= taken.rank && need.index != taken.index;
      }));
      sum += taken.bytes;
    }
    ASSERT_LE(sum, wanted) << "more than a unit over what is missing";
  }
}

}  // namespace
}  // namespace plimsoll::agent::priority_test
