// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/budget_ledger.h"

#include <gtest/gtest.h>

namespace plimsoll::agent::budget_ledger_test {
namespace {

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
constexpr BudgetGroup kGroup = 7;

class BudgetLedgerTest : public ::testing::Test {
 protected:
  bool admits(BudgetGroup group, Bytes kept = {}, Bytes kept_in_group = {}) {
    return ledger_.admits({.group = group, .kept = kept, .kept_in_group = kept_in_group}, mib(1));
  }

  BudgetLedger ledger_;
};

TEST_F(BudgetLedgerTest, HasNothingAtFirst) {
  EXPECT_EQ(ledger_.left(kNoGroup, {}), Budgets(Bytes{}));
  EXPECT_EQ(ledger_.left(kGroup, {}), Budgets(Bytes{}, Bytes{}));
  EXPECT_EQ(ledger_.granted(), Bytes{});
  EXPECT_FALSE(admits(kNoGroup));
}

TEST_F(BudgetLedgerTest, WhatWasGivenSinceTheCountComesOff) {
  ledger_.set(kNoGroup, mib(100), {});
  ledger_.set(kGroup, mib(50), {});
  ledger_.charge(kNoGroup, mib(10));
  const Bytes before = ledger_.granted();
  ledger_.charge(kGroup, mib(20));
  EXPECT_EQ(ledger_.granted(), mib(30));
  EXPECT_EQ(ledger_.granted(kGroup), mib(20));
  EXPECT_EQ(ledger_.left(kGroup, {}), Budgets(mib(70), mib(30)));
  ledger_.set(kNoGroup, mib(90), before);
  EXPECT_EQ(ledger_.left(kNoGroup, {}), Budgets(mib(70)));
  ledger_.charge(kNoGroup, mib(80));
  EXPECT_EQ(ledger_.left(kNoGroup, {}), Budgets(Bytes{})) << "it is never below nothing";
}

TEST_F(BudgetLedgerTest, WhatWasPromisedIsOnesOwn) {
  ledger_.set(kNoGroup, mib(100), {});
  ledger_.set(kGroup, mib(50), {});
  EXPECT_EQ(ledger_.left(kNoGroup, mib(5)), Budgets(mib(105)));
  EXPECT_EQ(ledger_.left(kGroup, mib(5)), Budgets(mib(105), mib(55)));
}

TEST_F(BudgetLedgerTest, AdmitsWhoHasTheSmallestGrantAboveWhatItLeavesToOthers) {
  ledger_.set(kNoGroup, mib(10), {});
  ledger_.set(kGroup, mib(3), {});
  EXPECT_TRUE(admits(kNoGroup, mib(9)));
  EXPECT_FALSE(admits(kNoGroup, mib(10)));
  EXPECT_TRUE(admits(kNoGroup, mib(9), mib(100))) << "it has no group";
  EXPECT_TRUE(admits(kGroup, mib(9), mib(2)));
  EXPECT_FALSE(admits(kGroup, mib(9), mib(3)));
}

// Only then is everybody looked at again.
TEST_F(BudgetLedgerTest, IsShortWhenTheMostThatOneNeedsIsNotThere) {
  ledger_.set(kNoGroup, mib(10), {});
  ledger_.set(kGroup, mib(4), {});
  ASSERT_TRUE(admits(kNoGroup, mib(4)));
  ASSERT_TRUE(admits(kGroup, mib(1), mib(1)));
  EXPECT_FALSE(ledger_.is_short(kNoGroup));
  ledger_.charge(kGroup, mib(2));
  EXPECT_FALSE(ledger_.is_short(kGroup));
  ledger_.charge(kGroup, mib(1));
  EXPECT_TRUE(ledger_.is_short(kGroup));
  EXPECT_FALSE(ledger_.is_short(kNoGroup)) << "7 MiB are left, 5 are enough";
  ledger_.charge(kNoGroup, mib(3));
  EXPECT_TRUE(ledger_.is_short(kNoGroup));
  EXPECT_TRUE(ledger_.is_short(kGroup + 1)) << "the node is";
  ledger_.judge_anew();
  EXPECT_FALSE(ledger_.is_short(kGroup));
}

TEST_F(BudgetLedgerTest, ANewBudgetMattersToWhoWaitsAndToWhomItIsTooSmall) {
  EXPECT_FALSE(ledger_.set(kNoGroup, mib(10), {})) << "nobody waits";
  ASSERT_TRUE(admits(kNoGroup, mib(4)));
  EXPECT_FALSE(ledger_.set(kNoGroup, mib(5), {}));
  EXPECT_TRUE(ledger_.set(kNoGroup, mib(4), {}));
  EXPECT_FALSE(ledger_.set(kGroup, mib(4), {})) << "nobody of it was admitted";
  ASSERT_FALSE(admits(kNoGroup, mib(4)));
  EXPECT_TRUE(ledger_.set(kNoGroup, mib(8), {}));
  EXPECT_TRUE(ledger_.set(kGroup, mib(8), {}));
  ledger_.judge_anew();
  EXPECT_FALSE(ledger_.set(kNoGroup, mib(8), {}));
}

}  // namespace
}  // namespace plimsoll::agent::budget_ledger_test
