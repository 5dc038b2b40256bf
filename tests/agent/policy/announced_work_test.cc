// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/announced_work.h"

#include <gtest/gtest.h>

#include <random>

namespace plimsoll::agent::announced_work_test {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
constexpr MonotonicTime at(int second) { return MonotonicTime(seconds(second)); }

std::string error_of(std::string_view text) {
  const auto parsed = parse_announced(text);
  return parsed ? "no error" : parsed.error().message;
}

TEST(Parse, NamesWithAndWithoutASize) {
  const auto parsed = parse_announced(" make=2Gi,ninja , x86_64-linux-gnu-gcc = 300Mi,g++");
  ASSERT_TRUE(parsed);
  const std::vector<AnnouncedCommand> expected{
      {"make", mib(2048)}, {"ninja", {}}, {"x86_64-linux-gnu-gcc", mib(300)}, {"g++", {}}};
  EXPECT_EQ(*parsed, expected);
  EXPECT_EQ(parse_announced("").value(), std::vector<AnnouncedCommand>{});
  EXPECT_EQ(parse_announced(" \n").value(), std::vector<AnnouncedCommand>{});
  EXPECT_TRUE(parse_announced("größe"));
}

TEST(Parse, ErrorsSayWhat) {
  EXPECT_NE(error_of("make,,ninja").find("names no command"), std::string::npos);
  EXPECT_NE(error_of("make,").find("names no command"), std::string::npos);
  EXPECT_NE(error_of("=2Gi").find("names no command"), std::string::npos);
  EXPECT_NE(error_of("/usr/bin/make").find("the last part of a path"), std::string::npos);
  EXPECT_NE(error_of("go build").find("without blanks"), std::string::npos);
  EXPECT_NE(error_of("go\tbuild").find("without blanks"), std::string::npos);
  EXPECT_NE(error_of(std::string(256, 'm')).find("longer than the name"), std::string::npos);
  EXPECT_EQ(error_of(std::string(255, 'm')), "no error");
  EXPECT_NE(error_of("make=lots").find("the size of"), std::string::npos);
  EXPECT_NE(error_of("make=").find("the size of"), std::string::npos);
  EXPECT_NE(error_of("make=0").find("is 0"), std::string::npos);
  EXPECT_NE(error_of("make=1Gi=2Gi").find("the size of"), std::string::npos);
  EXPECT_NE(error_of("make,make").find("the same to the kernel"), std::string::npos);
  EXPECT_NE(error_of("x86_64-linux-gnu-gcc,x86_64-linux-gnu-g++").find("15 bytes"),
            std::string::npos);
  std::string many = "c0";
  for (std::size_t i = 1; i <= kMostAnnounced; ++i) many += ",c" + std::to_string(i);
  EXPECT_NE(error_of(many).find("more than 64"), std::string::npos);
  EXPECT_EQ(error_of(many.substr(0, many.rfind(','))), "no error");
}

TEST(Sizes, TheLimitIsAboveTheWatermark) {
  const MemoryPolicy policy;
  for (const Bytes working : {mib(1), mib(63), mib(500), mib(7000)}) {
    const Bytes limit = limit_for(policy, working);
    EXPECT_GE(watermark_of(policy, {}, limit), working);
    EXPECT_LE(limit, scaled_to_fit(working, 1.2) + policy.round_to);
  }
  EXPECT_EQ(unknown_size(policy, mib(64)), policy.step);
  EXPECT_EQ(unknown_size(policy, mib(1000)), mib(500));
}

class Work : public ::testing::Test {
 protected:
  bool begin(std::uint32_t command, std::uint32_t process, int second, Bytes working = mib(100),
             Bytes size = mib(50)) {
    return work_.begin(command, process, at(second), working, size);
  }
  std::optional<Bytes> needed(int second) { return work_.needed(policy_, at(second)); }
  std::vector<FinishedCommand> observe(int second, Bytes peak = mib(100)) {
    return work_.observe(policy_, at(second), peak);
  }

  AnnouncePolicy policy_;
  AnnouncedWork work_;
};

TEST_F(Work, NothingIsNeededBeforeTheFirstAndAfterTheLast) {
  EXPECT_EQ(needed(0), std::nullopt);
  EXPECT_TRUE(begin(0, 10, 1));
  EXPECT_EQ(needed(1), mib(150));
  EXPECT_TRUE(observe(2).empty());
  work_.end(0, 10, at(3));
  EXPECT_EQ(work_.running(0), 0u);
  EXPECT_TRUE(observe(4).empty());
  EXPECT_EQ(needed(4), mib(150)) << "it lingers";
  ASSERT_EQ(observe(5).size(), 1u);
  EXPECT_EQ(needed(5), std::nullopt);
  EXPECT_TRUE(observe(6).empty());
}

TEST_F(Work, TheLastOfSeveralEndsIt) {
  EXPECT_TRUE(begin(0, 10, 1));
  EXPECT_FALSE(begin(0, 11, 2, mib(140))) << "make calls make";
  EXPECT_EQ(needed(2), mib(150)) << "and needs no more for it";
  EXPECT_EQ(work_.running(0), 2u);
  work_.end(0, 10, at(3));
  EXPECT_TRUE(observe(30).empty());
  work_.end(0, 11, at(31));
  EXPECT_EQ(observe(33), (std::vector<FinishedCommand>{{0, mib(0), seconds(30)}}));
}

TEST_F(Work, TheLargestNeedOfAllCounts) {
  begin(0, 10, 1, mib(100), mib(50));
  begin(1, 11, 2, mib(120), mib(100));
  EXPECT_EQ(needed(2), mib(220));
  work_.end(1, 11, at(3));
  EXPECT_EQ(observe(6).size(), 1u);
  EXPECT_EQ(needed(6), mib(150));
}

TEST_F(Work, OneThatBeginsAgainAtOnceGoesOn) {
  begin(0, 10, 1);
  work_.end(0, 10, at(2));
  EXPECT_TRUE(observe(3, mib(130)).empty());
  EXPECT_FALSE(begin(0, 12, 3, mib(130)));
  EXPECT_EQ(needed(3), mib(150));
  EXPECT_TRUE(observe(10, mib(180)).empty());
  work_.end(0, 12, at(11));
  EXPECT_EQ(observe(20), (std::vector<FinishedCommand>{{0, mib(80), seconds(10)}}));
}

TEST_F(Work, WhatComesAfterItsEndIsNotItsOwn) {
  begin(0, 10, 1);
  work_.end(0, 10, at(2));
  EXPECT_TRUE(observe(3, mib(160)).empty()) << "the tick that saw its end";
  EXPECT_EQ(observe(4, mib(500)), (std::vector<FinishedCommand>{{0, mib(60), seconds(1)}}));
}

TEST_F(Work, OneThatBecomesAnotherHasEnded) {
  begin(0, 10, 1);
  EXPECT_TRUE(begin(1, 10, 2));
  EXPECT_EQ(work_.running(0), 0u);
  EXPECT_EQ(work_.running(1), 1u);
  work_.end(0, 10, at(3));  // told late
  EXPECT_EQ(work_.running(1), 1u);
}

// Nobody knows what there was before it: it may have grown by all of its size.
TEST_F(Work, OneThatIsFoundIsProvidedForAndNotMeasured) {
  const auto found = AnnouncedWork::Seen::kFound;
  EXPECT_TRUE(work_.begin(0, 10, at(1), mib(180), mib(200), found));
  EXPECT_EQ(needed(1), mib(200));
  EXPECT_EQ(work_.running(), 1u);
  EXPECT_TRUE(work_.begin(1, 11, at(1), mib(300), mib(200), found));
  EXPECT_EQ(needed(1), mib(300));
  EXPECT_TRUE(observe(2, mib(400)).empty());
  work_.keep_only({}, at(3));
  EXPECT_EQ(work_.running(), 0u);
  EXPECT_EQ(observe(9), (std::vector<FinishedCommand>{{0, {}, seconds(2)}, {1, {}, seconds(2)}}));
}

TEST_F(Work, AnEndWithoutAStartIsNothing) {
  work_.end(0, 10, at(1));
  begin(0, 10, 2);
  work_.end(0, 99, at(3));
  EXPECT_TRUE(observe(10).empty());
  EXPECT_EQ(work_.running(0), 1u);
}

TEST_F(Work, ALostEndIsMadeUpFor) {
  begin(0, 10, 1);
  begin(0, 11, 1);
  begin(1, 12, 1);
  work_.keep_only({{0, 11}}, at(5));
  EXPECT_EQ(work_.running(0), 1u);
  EXPECT_EQ(observe(7), (std::vector<FinishedCommand>{{1, mib(0), seconds(4)}}));
  work_.keep_only({}, at(8));
  EXPECT_EQ(observe(10).size(), 1u);
  EXPECT_EQ(needed(10), std::nullopt);
}

TEST_F(Work, OneThatDoesNotEndIsNoAnnouncementForEver) {
  begin(0, 10, 0);
  EXPECT_TRUE(needed(3599));
  EXPECT_EQ(needed(3600), std::nullopt);
  EXPECT_EQ(work_.running(0), 1u);
}

// Whatever comes in whatever order: nothing is needed once nothing runs and the linger is over, and
// a need is never below what was there before.
TEST(Random, HistoriesEndWithNothing) {
  std::mt19937 random(7);
  const auto below = [&](std::uint32_t count) {
    return static_cast<std::uint32_t>(random() % count);
  };
  const AnnouncePolicy policy;
  for (int round = 0; round < 200; ++round) {
    AnnouncedWork work;
    AnnouncedWork::Processes real;
    int second = 0;
    for (int step = 0; step < 100; ++step, ++second) {
      const std::uint32_t process = below(6), command = below(3);
      if (below(2) == 0) {
        std::erase_if(real, [&](const auto& each) { return each.second == process; });
        real.insert({command, process});
        if (below(10) > 0) work.begin(command, process, at(second), mib(100), mib(below(50)));
      } else {
        real.erase({command, process});
        if (below(10) > 0) work.end(command, process, at(second));
      }
      if (below(3) == 0) (void)work.observe(policy, at(second), mib(100 + below(100)));
      if (below(20) == 0) work.keep_only(real, at(second));
      const auto needed = work.needed(policy, at(second));
      EXPECT_GE(needed.value_or(mib(100)), mib(100));
    }
    work.keep_only({}, at(second));
    for (const FinishedCommand& each : work.observe(policy, at(second + 2), mib(100))) {
      EXPECT_LT(each.command, 3u);
      EXPECT_LE(each.grown, mib(100));
    }
    EXPECT_EQ(work.needed(policy, at(second + 2)), std::nullopt);
  }
}

}  // namespace
}  // namespace plimsoll::agent::announced_work_test
