// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/learned_sizes.h"

#include <gtest/gtest.h>

namespace plimsoll::agent::learned_sizes_test {
namespace {

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }

TEST(LearnedSizes, AreOfTheirWorkloadAndCommand) {
  LearnedSizes learned;
  EXPECT_EQ(learned.size("shop", "make"), std::nullopt);
  learned.learn("shop", "make", mib(10), 0);
  EXPECT_EQ(learned.size("shop", "make"), mib(10));
  EXPECT_EQ(learned.size("shop", "ninja"), std::nullopt);
  EXPECT_EQ(learned.size("bank", "make"), std::nullopt);
}

TEST(LearnedSizes, ANinetiethOfTheLast) {
  LearnedSizes learned;
  for (std::uint64_t i = 1; i <= 10; ++i) learned.learn("w", "make", mib(i), 0);
  EXPECT_EQ(learned.size("w", "make"), mib(9));
  // One that was huge is not what the next one is given ...
  learned.learn("w", "make", mib(1000), 0);
  EXPECT_EQ(learned.size("w", "make"), mib(10));
  // ... two are.
  learned.learn("w", "make", mib(900), 0);
  EXPECT_EQ(learned.size("w", "make"), mib(900));
  for (std::uint64_t i = 0; i < LearnedSizes::kKept; ++i) learned.learn("w", "make", mib(5), 0);
  EXPECT_EQ(learned.size("w", "make"), mib(5)) << "and it is forgotten";
}

TEST(LearnedSizes, AreBounded) {
  LearnedSizes learned;
  learned.learn("w", "old", mib(1), 0);
  learned.learn("w", "kept", mib(2), 0);
  for (std::size_t i = 0; i < LearnedSizes::kMost - 2; ++i) {
    learned.learn("w", "c" + std::to_string(i), mib(3), 0);
  }
  learned.learn("w", "kept", mib(2), 0);
  learned.learn("w", "new", mib(4), 0);
  EXPECT_EQ(learned.commands(), LearnedSizes::kMost);
  EXPECT_EQ(learned.size("w", "old"), std::nullopt);
  EXPECT_EQ(learned.size("w", "kept"), mib(2));
  EXPECT_EQ(learned.size("w", "new"), mib(4));
}

TEST(LearnedSizes, GrowOld) {
  LearnedSizes learned;
  learned.learn("w", "make", mib(1), 100);
  learned.learn("w", "ninja", mib(2), 100);
  learned.learn("w", "ninja", mib(2), 101);
  learned.forget_old(100 + LearnedSizes::kDays);
  EXPECT_EQ(learned.commands(), 2u);
  learned.forget_old(101 + LearnedSizes::kDays);
  EXPECT_EQ(learned.size("w", "make"), std::nullopt);
  EXPECT_EQ(learned.size("w", "ninja"), mib(2));
  learned.forget_old(0);  // a clock that is wrong
  EXPECT_EQ(learned.commands(), 1u);
}

TEST(LearnedSizes, NamesAreKeptAsFarAsTheKernelTellsThemApart) {
  LearnedSizes learned;
  learned.learn("w", std::string(255, 'm'), mib(1), 0);
  EXPECT_EQ(learned.size("w", std::string(15, 'm')), mib(1));
  ASSERT_EQ(learned.all().size(), 1u);
  EXPECT_EQ(learned.all().front().command.size(), 15u);
}

}  // namespace
}  // namespace plimsoll::agent::learned_sizes_test
