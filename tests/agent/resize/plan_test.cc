// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan.h"

#include <gtest/gtest.h>

#include <utility>
#include <vector>

#include "agent/telemetry/stats.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::plan_test {
namespace {

using resize_test::applied;
using resize_test::armed;
using resize_test::asked;
using resize_test::burstable_pod;
using resize_test::container_of;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;
using Urgency = SendResize::Urgency;

// ---- growth

TEST(ResizePlan, AWishIsAskedForAtOnceAndMeasured) {
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  ASSERT_EQ(asked(scene.patch()), mib(256));
  EXPECT_EQ(scene.patch()->urgency, Urgency::kRescue);
  EXPECT_EQ(scene.patch()->deadline, seconds(2));
  EXPECT_FALSE(scene.patch()->resize.changes[0].requests.memory);
  scene.wish(mib(512));
  scene.after(milliseconds(10));
  EXPECT_EQ(scene.sent.size(), 1u) << "one in flight";
  scene.accept();
  EXPECT_EQ(asked(scene.patch()), mib(512)) << "the newest need, once";
  scene.accept();
  scene.after(milliseconds(350));
  EXPECT_TRUE(scene.said(Kind::kApplied).empty());
  scene.actuate();
  scene.after(milliseconds(50));
  ASSERT_EQ(scene.said(Kind::kApplied).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kApplied)[0].patch_to_limit, milliseconds(400));
  EXPECT_EQ(scene.container().memory.want, std::nullopt);
  EXPECT_FALSE(scene.state.memory.unverified);
}

TEST(ResizePlan, WhatIsInForceIsToldWithTheLimitBeforeIt) {
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  scene.accept();
  scene.actuate();
  scene.after(milliseconds(50));
  EXPECT_EQ(applied(scene), (std::pair{mib(128), mib(256)}));
  Activity activity;
  activity.add(scene.said(Kind::kApplied).back());
  EXPECT_EQ(activity.granted_bytes, mib(128).value);
  EXPECT_EQ(activity.saves.at(static_cast<std::size_t>(Layer::kAtTheLimit)), 1u);

  scene.set_usage(mib(20));
  scene.wish(mib(128));
  scene.step();
  scene.accept();
  scene.actuate();
  scene.after(milliseconds(50));
  EXPECT_EQ(applied(scene), (std::pair{mib(256), mib(128)}));

  // The first of both has moved nothing by the time of the second.
  scene.wish(mib(256));
  scene.step();
  scene.accept();
  scene.wish(mib(512));
  scene.after(milliseconds(10));
  scene.accept();
  scene.actuate();
  scene.after(milliseconds(50));
  EXPECT_EQ(applied(scene), (std::pair{mib(128), mib(512)}));
  EXPECT_EQ(scene.said(Kind::kApplied).size(), 3u);

  // Nor one that is refused.
  scene.wish(mib(600));
  scene.step();
  scene.accept();
  scene.wish(mib(1000));
  scene.after(milliseconds(10));
  scene.refuse("admission webhook \"cap.example.com\" denied the request: too much");
  scene.actuate();
  scene.after(milliseconds(50));
  EXPECT_EQ(applied(scene), (std::pair{mib(512), mib(600)}));
}

TEST(ResizePlan, ABridgeIsAskedForWhenItIsQuiet) {
  Scene scene = armed();
  scene.grant(mib(256), mib(2000));
  scene.step();
  EXPECT_TRUE(scene.sent.empty()) << "at this rate the next grant comes before the kubelet";
  scene.grant(mib(512), mib(2000));
  scene.after(milliseconds(200));
  EXPECT_TRUE(scene.sent.empty());
  scene.run_until(scene.now + seconds(1));
  ASSERT_EQ(scene.sent.size(), 1u);
  EXPECT_EQ(asked(&scene.sent[0]), mib(512));
  scene.accept();
  ASSERT_TRUE(scene.container().memory.lease);
  EXPECT_EQ(scene.container().memory.lease->why, LeaseWhy::kBridge);
  scene.actuate();
  scene.after(milliseconds(500));
  EXPECT_FALSE(scene.container().memory.lease) << "the API stands behind it";
  ASSERT_EQ(scene.said(Kind::kApplied).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kApplied)[0].patch_to_limit, std::nullopt)
      << "the file had the limit before: nothing was measured";
}

TEST(ResizePlan, ASlowGrowthIsAskedForAtOnce) {
  Scene scene = armed();
  scene.grant(mib(256), mib(10));
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(256));
}

// 60 MiB a second: each grant lasts for 2.1 s, and the kubelet would keep up with each.
TEST(ResizePlan, TheGrantsOfABurstGoInOnePatch) {
  Scene scene = armed();
  scene.grant(mib(256), mib(60));
  scene.step();
  scene.run_until(scene.now + milliseconds(2800));
  EXPECT_TRUE(scene.sent.empty()) << "the next one may be late";
  scene.grant(mib(384), mib(60));
  scene.run_until(scene.now + seconds(5));
  ASSERT_EQ(scene.sent.size(), 1u);
  EXPECT_EQ(asked(&scene.sent[0]), mib(384));
}

TEST(ResizePlan, AStormThatDoesNotEndIsAskedForAllTheSame) {
  Scene scene = armed();
  for (std::uint64_t limit = 160; limit <= 1024; limit += 16) {
    scene.grant(mib(limit), mib(2000));
    scene.after(milliseconds(100));
  }
  EXPECT_EQ(scene.sent.size(), 1u) << "5.4 s of grants, every 100 ms";
}

TEST(ResizePlan, TwoContainersGoInOnePatch) {
  kube::Pod pod = burstable_pod();
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  Scene scene = armed(pod);
  scene.wish(mib(256), "app");
  scene.wish(mib(96), "side");
  scene.step();
  EXPECT_EQ(asked(scene.patch(), "app"), mib(256));
  EXPECT_EQ(asked(scene.patch(), "side"), mib(96));
  EXPECT_EQ(scene.sent.size(), 1u);
}

// ---- the API is away

// Nothing else may happen until it is back, and the watch may be slow to notice.
TEST(ResizePlan, WhoHasSomethingToAskForTriesWhenItsTurnComes) {
  Scene scene = armed();
  scene.api.away = true;
  scene.api.may_ask = false;
  scene.api.ask_at = scene.now + seconds(3);
  EXPECT_NE(scene.step().wake, scene.api.ask_at) << "nothing to ask for";
  scene.grant(mib(256), mib(2000));
  scene.step();
  ASSERT_TRUE(scene.last.wake);
  EXPECT_LE(*scene.last.wake, *scene.api.ask_at);
  scene.run_until(*scene.api.ask_at);
  EXPECT_TRUE(scene.sent.empty());
  scene.api.may_ask = true;
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(256));
}

TEST(ResizePlan, WhatWasWishedIsWrittenWhenTheApiDoesNotAnswer) {
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  scene.api.away = true;
  scene.api.may_ask = false;
  scene.now += seconds(2);
  scene.time_out();
  const auto* raise = scene.action<RaiseLimit>();
  ASSERT_NE(raise, nullptr);
  EXPECT_EQ(raise->limit, mib(256));
  EXPECT_EQ(raise->slice, mib(256)) << "the slice first";
  EXPECT_EQ(scene.container().memory.lease->why, LeaseWhy::kApiAway);
  EXPECT_EQ(scene.said(Kind::kFallback).size(), 1u);
  EXPECT_EQ(scene.bounds().bridge_within, std::nullopt) << "all needs are written now";
  scene.run_until(scene.now + seconds(60));
  EXPECT_EQ(scene.sent.size(), 1u) << "no turn, no request";

  scene.api.away = false;
  scene.api.may_ask = true;
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(256)) << "reconciled when it is back";
  scene.accept();
  scene.actuate();
  scene.after(seconds(1));
  EXPECT_FALSE(scene.container().memory.lease);
  EXPECT_EQ(scene.container().memory.spec, mib(256));
}

TEST(ResizePlan, ALeaseIsRenewedWhileItIsNeededAndEndsWithItsNeed) {
  Scene scene = armed();
  scene.api.away = true;
  scene.api.may_ask = false;
  scene.step();
  scene.grant(mib(512));
  scene.set_usage(mib(400));
  scene.step();
  scene.run_until(scene.now + std::chrono::minutes(25));
  ASSERT_TRUE(scene.container().memory.lease) << "the usage is far above the spec";
  EXPECT_EQ(scene.file().limit, limit_of(mib(512)));
  scene.set_usage(mib(60));
  scene.run_until(scene.now + std::chrono::minutes(11));
  EXPECT_FALSE(scene.container().memory.lease);
  EXPECT_EQ(scene.file().limit, limit_of(mib(128)));
  EXPECT_EQ(scene.files.slice->limit, limit_of(mib(128)));
  EXPECT_EQ(scene.said(Kind::kLeaseEnded).size(), 1u);
}

TEST(ResizePlan, AnUnknownOutcomeThatTheWatchShowsWasTaken) {
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  scene.time_out();
  scene.pod.containers[0].resources.limits.memory = mib(256);
  scene.pod.generation = 2;
  scene.after(milliseconds(10));
  EXPECT_TRUE(scene.state.memory.unverified) << "as if it had been answered";
  EXPECT_TRUE(scene.said(Kind::kSteppedBack).empty()) << "that was us";
  const std::size_t before = scene.sent.size();
  scene.actuate();
  scene.run_until(scene.now + seconds(10));
  EXPECT_EQ(scene.sent.size(), before) << "nothing is left to ask";
}

TEST(ResizePlan, AThrottledRequestWaitsAsLongAsTheServerSays) {
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  scene.refuse(kube::Refusal{.code = Code::kUnavailable,
                             .cause = kube::Cause::kThrottled,
                             .message = "Too many requests",
                             .retry_after = seconds(3)});
  const MonotonicTime refused = scene.now;
  scene.run_until(refused + milliseconds(2900));
  EXPECT_EQ(scene.sent.size(), 1u);
  EXPECT_NE(scene.container().memory.lease, std::nullopt) << "meanwhile it is written";
  scene.run_until(refused + seconds(4));
  EXPECT_EQ(scene.sent.size(), 2u);
}

}  // namespace
}  // namespace plimsoll::agent::plan_test
