// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/startup_boost.h"

#include <gtest/gtest.h>

#include <chrono>

namespace plimsoll::agent::startup_boost_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr StartupBounds kBounds{.time = std::chrono::minutes(2), .settle_after = seconds(10)};
constexpr MonotonicTime kStart{seconds(1000)};

StartupFacts busy(Nanoseconds age) { return {.age = age, .use = {900}, .floor = {300}}; }

TEST(StartupBoost, GoesOnWhileTheContainerIsBusy) {
  StartupState state;
  for (int second = 0; second < 119; ++second) {
    look(state, busy(seconds(second)), kBounds, true, kStart + seconds(second));
    ASSERT_FALSE(state.ended) << second;
  }
  look(state, busy(seconds(120)), kBounds, true, kStart + seconds(120));
  EXPECT_EQ(state.ended, StartupEnd::kTime);
}

TEST(StartupBoost, EndsWhenTheProbeSaysReadyAtOnce) {
  StartupState state;
  StartupFacts facts = busy(seconds(3));
  facts.has_probe = true;
  look(state, facts, kBounds, true, kStart);
  ASSERT_FALSE(state.ended);
  facts.ready = true;
  look(state, facts, kBounds, false, kStart + milliseconds(10));
  EXPECT_EQ(state.ended, StartupEnd::kReady) << "not only when a tick has looked";
}

// The kubelet calls a container without a probe ready as soon as it runs.
TEST(StartupBoost, ReadyWithoutAProbeTellsNothing) {
  StartupState state;
  StartupFacts facts = busy(seconds(3));
  facts.ready = true;
  look(state, facts, kBounds, true, kStart);
  EXPECT_FALSE(state.ended);
}

TEST(StartupBoost, EndsWhenNoMoreThanDeclaredIsUsedForAWhile) {
  StartupState state;
  StartupFacts facts = busy({});
  facts.use = facts.floor;
  look(state, facts, kBounds, true, kStart);
  look(state, facts, kBounds, true, kStart + milliseconds(9999));
  ASSERT_FALSE(state.ended);
  look(state, facts, kBounds, false, kStart + seconds(11));
  ASSERT_FALSE(state.ended) << "nobody has looked again";
  look(state, facts, kBounds, true, kStart + seconds(11));
  EXPECT_EQ(state.ended, StartupEnd::kSettled);
}

TEST(StartupBoost, ABusySecondBeginsTheQuietAnew) {
  StartupState state;
  StartupFacts quiet = busy({});
  quiet.use = {10};
  look(state, quiet, kBounds, true, kStart);
  look(state, busy({}), kBounds, true, kStart + seconds(9));
  look(state, quiet, kBounds, true, kStart + seconds(10));
  look(state, quiet, kBounds, true, kStart + seconds(19));
  EXPECT_FALSE(state.ended);
}

TEST(StartupBoost, WhatHasEndedStaysSo) {
  StartupState state{.ended = StartupEnd::kReady};
  look(state, busy({}), kBounds, true, kStart);
  EXPECT_EQ(state.ended, StartupEnd::kReady);
}

}  // namespace
}  // namespace plimsoll::agent::startup_boost_test
