// SPDX-License-Identifier: Apache-2.0
#include "agent/learned_sizes.h"

#include <gtest/gtest.h>

namespace plimsoll::agent {
namespace {

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }

TEST(LearnedSizes, AreOfTheirWorkloadAndCommand) {
  LearnedSizes learned;
  EXPECT_EQ(learned.size("shop", "make"), std::nullopt);
  learned.learn("shop", "make", mib(10));
  EXPECT_EQ(learned.size("shop", "make"), mib(10));
  EXPECT_EQ(learned.size("shop", "ninja"), std::nullopt);
  EXPECT_EQ(learned.size("bank", "make"), std::nullopt);
}

TEST(LearnedSizes, ANinetiethOfTheLast) {
  LearnedSizes learned;
  for (std::uint64_t i = 1; i <= 10; ++i) learned.learn("w", "make", mib(i));
  EXPECT_EQ(learned.size("w", "make"), mib(9));
  // One that was huge is not what the next one is given ...
  learned.learn("w", "make", mib(1000));
  EXPECT_EQ(learned.size("w", "make"), mib(10));
  // ... two are.
  learned.learn("w", "make", mib(900));
  EXPECT_EQ(learned.size("w", "make"), mib(900));
  for (std::uint64_t i = 0; i < LearnedSizes::kKept; ++i) learned.learn("w", "make", mib(5));
  EXPECT_EQ(learned.size("w", "make"), mib(5)) << "and it is forgotten";
}

TEST(LearnedSizes, AreBounded) {
  LearnedSizes learned;
  learned.learn("w", "old", mib(1));
  learned.learn("w", "kept", mib(2));
  for (std::size_t i = 0; i < LearnedSizes::kMost - 2; ++i) {
    learned.learn("w", "c" + std::to_string(i), mib(3));
  }
  learned.learn("w", "kept", mib(2));
  learned.learn("w", "new", mib(4));
  EXPECT_EQ(learned.commands(), LearnedSizes::kMost);
  EXPECT_EQ(learned.size("w", "old"), std::nullopt);
  EXPECT_EQ(learned.size("w", "kept"), mib(2));
  EXPECT_EQ(learned.size("w", "new"), mib(4));
}

TEST(LearnedSizes, ComeBackFromTheirText) {
  LearnedSizes learned;
  learned.learn("ns/shop/app", "make", mib(10));
  learned.learn("ns/shop/app", "ninja", mib(7));
  learned.learn("ns/shop/app", "make", mib(12));
  const auto read = LearnedSizes::parse(learned.to_json());
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->to_json(), learned.to_json());
  EXPECT_EQ(read->size("ns/shop/app", "make"), mib(12));
  EXPECT_EQ(LearnedSizes::parse("[]").value(), LearnedSizes{});
}

TEST(LearnedSizes, OtherTextsAreRefused) {
  for (const char* text : {"", "{}", "7", "[7]", "[{}]", R"([{"workload":"w","command":"c"}])",
                           R"([{"workload":"w","command":"c","sizes_bytes":[]}])",
                           R"([{"workload":"w","command":"c","sizes_bytes":[-1]}])",
                           R"([{"workload":"w","command":"c","sizes_bytes":["1"]}])",
                           R"([{"workload":1,"command":"c","sizes_bytes":[1]}])"}) {
    EXPECT_FALSE(LearnedSizes::parse(text)) << text;
  }
}

}  // namespace
}  // namespace plimsoll::agent
