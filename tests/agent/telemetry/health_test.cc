// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/health.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace plimsoll::agent::health_test {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;

constexpr MonotonicTime at(int second) { return MonotonicTime(seconds(second)); }

Health healthy() {
  return {.ticked = at(100),
          .beat = at(100),
          .conditions = {{"programs", true, "tier A"}, {"pods", true, "12 listed"}},
          .remarks = {{"api", false, "no answer for 40 s"}}};
}

TEST(Health, AnAgentThatTicksLives) {
  EXPECT_TRUE(alive(healthy(), {}, at(101)).good);
  EXPECT_TRUE(alive(healthy(), {}, at(115)).good);
}

TEST(Health, ASlowLoopThatHangsShowsHoweverOldTheLastWordIs) {
  const HealthAnswer answer = alive(healthy(), {}, at(116));
  EXPECT_FALSE(answer.good);
  EXPECT_THAT(answer.body,
              HasSubstr("[-] slow-loop: last sign of life 16 s ago, allowed are 15 s"));
  EXPECT_THAT(answer.body, HasSubstr("[+] reaction: "));
}

TEST(Health, AReactionThreadThatHangsShowsThoughTheSlowLoopTicks) {
  Health health = healthy();
  health.beat = at(90);
  const HealthAnswer answer = alive(health, {}, at(101));
  EXPECT_FALSE(answer.good);
  EXPECT_THAT(answer.body, HasSubstr("[+] slow-loop: "));
  EXPECT_THAT(answer.body, HasSubstr("[-] reaction: last sign of life 10 s ago"));
}

TEST(Health, NothingIsGoodBeforeTheFirstTick) {
  const HealthAnswer answer = alive(Health{}, {}, at(1));
  EXPECT_FALSE(answer.good);
  EXPECT_THAT(answer.body, HasSubstr("[-] slow-loop: no sign of life yet\n"));
  EXPECT_THAT(answer.body, HasSubstr("[-] reaction: no sign of life yet\n"));
}

TEST(Health, ReadyNeedsEveryConditionAndNoRemark) {
  const HealthAnswer good = ready(healthy(), {}, at(101));
  EXPECT_TRUE(good.good);
  EXPECT_EQ(good.body,
            "[+] slow-loop: last sign of life 1 s ago\n"
            "[+] reaction: last sign of life 0 us ago\n"
            "[+] programs: tier A\n"
            "[+] pods: 12 listed\n"
            "[!] api: no answer for 40 s\n"
            "ok\n");
  for (std::size_t i = 0; i < healthy().conditions.size(); ++i) {
    Health health = healthy();
    health.conditions[i].good = false;
    health.conditions[i].why = "not yet";
    const HealthAnswer answer = ready(health, {}, at(101));
    EXPECT_FALSE(answer.good);
    EXPECT_THAT(answer.body, HasSubstr("[-] " + health.conditions[i].name + ": not yet\n"));
    EXPECT_TRUE(alive(health, {}, at(101)).good) << "a restart would not help";
  }
}

TEST(Health, WhoDoesNotLiveIsNotReady) { EXPECT_FALSE(ready(healthy(), {}, at(200)).good); }

}  // namespace
}  // namespace plimsoll::agent::health_test
