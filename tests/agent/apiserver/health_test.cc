// SPDX-License-Identifier: Apache-2.0
#include "agent/apiserver/health.h"

#include <gtest/gtest.h>

#include <chrono>
#include <optional>

namespace plimsoll::agent::health_test {
namespace {

using std::chrono::seconds;

constexpr MonotonicTime kStart{seconds(1000)};

kube::Refusal away(kube::Cause cause, bool unknown = false) {
  return {.code = Code::kUnavailable, .cause = cause, .message = "", .outcome_unknown = unknown};
}

TEST(ApiHealth, IsAwayWhenItGivesNoUsableAnswer) {
  const MonotonicTime now = kStart;
  for (const kube::Cause cause : {kube::Cause::kTransport, kube::Cause::kServer,
                                  kube::Cause::kThrottled, kube::Cause::kTimeout}) {
    ApiHealth health;
    note_exchange(health, away(cause), "demo", now);
    note_exchange(health, away(cause), "demo", now);
    EXPECT_EQ(health.away, cause == kube::Cause::kTransport) << "that may be of one namespace";
    note_exchange(health, away(cause), "", now);
    EXPECT_TRUE(health.away);
    EXPECT_FALSE(has_turn(health, now));
    note_exchange(health, std::nullopt, "", now + seconds(1));
    EXPECT_FALSE(health.away);
    EXPECT_TRUE(has_turn(health, now + seconds(1)));
  }
  ApiHealth health;
  note_exchange(health, kube::Refusal{.code = Code::kDenied, .cause = kube::Cause::kQuota}, "demo",
                now);
  EXPECT_FALSE(health.away) << "a refusal is an answer";
  note_exchange(health, away(kube::Cause::kUnauthorized), "", now);
  EXPECT_FALSE(health.away);
}

TEST(ApiHealth, LetsOneAtATimeTryAndNeverWaitsLong) {
  MonotonicTime now = kStart;
  ApiHealth health;
  note_exchange(health, away(kube::Cause::kTransport), "", now);
  int turns = 0;
  for (int i = 0; i < 600; ++i) {  // a minute
    now += std::chrono::milliseconds(100);
    if (!has_turn(health, now)) continue;
    took_turn(health, now);
    EXPECT_FALSE(has_turn(health, now)) << "one at a time";
    note_exchange(health, away(kube::Cause::kTransport), "", now);
    ++turns;
  }
  EXPECT_GE(turns, 14) << "within ten seconds of its return it is noticed";
  EXPECT_LE(turns, 20);
  note_exchange(health,
                kube::Refusal{.code = Code::kUnavailable,
                              .cause = kube::Cause::kThrottled,
                              .retry_after = std::chrono::hours(1)},
                "", now);
  EXPECT_FALSE(has_turn(health, now + seconds(31)));
  EXPECT_TRUE(has_turn(health, now + seconds(32))) << "one answer stops nobody for an hour";
}

TEST(ApiHealth, KnowsASlowServer) {
  const MonotonicTime now = kStart;
  ApiHealth health;
  note_exchange(health, away(kube::Cause::kTransport), "", now);
  EXPECT_FALSE(health.slow) << "nothing was sent";
  note_exchange(health, away(kube::Cause::kTransport, true), "", now);
  EXPECT_TRUE(health.slow);
  note_exchange(health, std::nullopt, "", now + seconds(5));
  EXPECT_TRUE(health.slow) << "it has answered, but how late?";
  note_exchange(health, std::nullopt, "", now + std::chrono::minutes(3));
  EXPECT_FALSE(health.slow);
}

TEST(PatchLatency, IsTheNinthOfTen) {
  PatchLatency latency(seconds(1));
  EXPECT_EQ(latency.nine_of_ten(), seconds(1));
  for (int i = 0; i < 5; ++i) latency.add(std::chrono::milliseconds(400));
  EXPECT_EQ(latency.nine_of_ten(), seconds(1)) << "five samples say little";
  for (int i = 0; i < 15; ++i) latency.add(std::chrono::milliseconds(400));
  EXPECT_EQ(latency.nine_of_ten(), std::chrono::milliseconds(400));
  for (int i = 0; i < 2; ++i) latency.add(seconds(9));
  EXPECT_EQ(latency.nine_of_ten(), std::chrono::milliseconds(400)) << "two outliers of twenty";
  latency.add(seconds(9));
  EXPECT_EQ(latency.nine_of_ten(), seconds(9));
  for (int i = 0; i < 20; ++i) latency.add(std::chrono::milliseconds(200));
  EXPECT_EQ(latency.nine_of_ten(), std::chrono::milliseconds(200)) << "the old ones are forgotten";
}

TEST(ApiServerHealth, KnowsNothingUntilTheProbeHasAnswered) {
  ApiServerHealth health(seconds(1));
  EXPECT_TRUE(health.status(kStart).away);
  EXPECT_FALSE(health.status(kStart).may_ask);
  const ApiFacts facts{.version = {.minor = 33},
                       .path = kube::ResizePath::kSubresource,
                       .node = kube::Node{.resizes_pod_level = true}};
  EXPECT_TRUE(health.learn(facts));
  EXPECT_FALSE(health.learn(facts)) << "nothing new";
  const ApiStatus status = health.status(kStart);
  EXPECT_FALSE(status.away);
  EXPECT_TRUE(status.may_ask);
  EXPECT_EQ(status.ability.minor, 33);
  EXPECT_TRUE(status.ability.pod_level);
}

TEST(ApiServerHealth, TellsWhenItGoesAwayAndComesBack) {
  ApiServerHealth health(seconds(1));
  EXPECT_FALSE(health.note(std::nullopt, "", kStart));
  EXPECT_TRUE(health.note(away(kube::Cause::kTransport), "", kStart));
  EXPECT_FALSE(health.note(away(kube::Cause::kTransport), "", kStart));
  EXPECT_TRUE(health.note(std::nullopt, "", kStart));
}

}  // namespace
}  // namespace plimsoll::agent::health_test
