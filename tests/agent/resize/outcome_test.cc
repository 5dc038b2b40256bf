// SPDX-License-Identifier: Apache-2.0
//
// Refusals of the API server, and what the kubelet makes of what was accepted.
#include <gtest/gtest.h>

#include <vector>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::outcome_test {
namespace {

using resize_test::armed;
using resize_test::asked;
using resize_test::condition;
using resize_test::guaranteed_pod;
using resize_test::kNotAllowed;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::refusal_of;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;

// ---- refusals

constexpr const char* kQuota =
    "pods \"web\" is forbidden: exceeded quota: rq, requested: limits.memory=384Mi, used: "
    "limits.memory=896Mi, limited: limits.memory=1Gi";

TEST(ResizePlan, ARefusedBridgeIsWithdrawnAsFarAsTheUsageLetsIt) {
  Scene scene = armed();
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(300));
  scene.step();
  ASSERT_EQ(asked(scene.patch()), mib(512));
  scene.now += milliseconds(10);
  scene.refuse(kQuota);
  EXPECT_EQ(scene.said(Kind::kRefused).at(0).cause, "quota");
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(256)) << "128 MiB are left of the quota";
  const auto* lower = scene.action<LowerLimit>();
  ASSERT_NE(lower, nullptr);
  EXPECT_EQ(lower->limit, mib(300) + mib(15)) << "the usage and a twentieth of it";
  scene.run_until(scene.now + seconds(20));
  EXPECT_EQ(scene.sent.size(), 1u) << "256 MiB in force would kill it";
  scene.set_usage(mib(100));
  scene.after(seconds(1));
  EXPECT_EQ(scene.file().limit, limit_of(mib(256)));
  EXPECT_EQ(asked(scene.patch()), mib(256)) << "what there is room for";
  scene.accept();
  scene.actuate();
  scene.run_until(scene.now + seconds(5));
  EXPECT_FALSE(scene.container().memory.lease);
  EXPECT_EQ(scene.said(Kind::kBridgeWithdrawn).size(), 2u);
}

TEST(ResizePlan, AfterARefusalNothingIsWrittenAndTheSameIsNotAskedForAgain) {
  for (const char* message :
       {kQuota,
        "pods \"web\" is forbidden: [maximum memory usage per Container is 128Mi, but limit is "
        "512Mi]",
        kNotAllowed,
        "pods \"web\" is forbidden: ValidatingAdmissionPolicy 'own' with binding 'own' denied "
        "request: no"}) {
    Scene scene = armed();
    scene.wish(mib(512));
    scene.step();
    scene.refuse(message);
    const std::size_t asked_once = scene.sent.size();
    for (int i = 0; i < 25; ++i) {
      scene.wish(mib(512));
      scene.after(seconds(1));
      for (const ResizeAction& action : scene.last.actions) {
        EXPECT_FALSE(std::holds_alternative<RaiseLimit>(action)) << message;
      }
      if (scene.state.in_flight) {  // for what fits in the room
        scene.accept();
        scene.actuate();
      }
    }
    EXPECT_LE(scene.sent.size(), asked_once + 1) << message;
    EXPECT_LE(scene.bounds().direct_ceiling, mib(256)) << message;
  }
}

TEST(ResizePlan, OnRefusalTheOperatorMayWantTheWriteAllTheSame) {
  Scene scene = armed();
  scene.config.fallback.on_refusal = true;
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(300));
  scene.step();
  scene.refuse(kQuota);
  EXPECT_EQ(scene.action<LowerLimit>(), nullptr);
  EXPECT_EQ(scene.container().memory.lease->why, LeaseWhy::kOverride);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024));
}

// A webhook may cut down what it is asked for, and say nothing.
TEST(ResizePlan, WhatIsStoredAsLessIsARefusalOfTheRest) {
  Scene scene = armed();
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(200));
  scene.step();
  ASSERT_EQ(asked(scene.patch()), mib(512));
  kube::Pod reply = scene.pod;
  reply.containers[0].resources.limits.memory = mib(256);
  scene.store(reply);
  EXPECT_EQ(scene.container().memory.spec, mib(256));
  ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, "admission");
  EXPECT_EQ(scene.said(Kind::kRefused)[0].message, "stored as 256 MiB");
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(256)) << "not around the webhook";
  EXPECT_NE(scene.action<ForgetWish>(), nullptr);
  scene.after(milliseconds(100));
  EXPECT_EQ(scene.file().limit, limit_of(mib(256))) << "what was written ahead is taken back";
  EXPECT_TRUE(scene.said(Kind::kApplied).empty()) << "the kubelet has yet to say so";
  scene.actuate();
  for (int i = 0; i < 9 * 60; ++i) {
    scene.wish(mib(512));
    scene.after(seconds(1));
  }
  EXPECT_EQ(scene.sent.size(), 1u) << "and is not asked for over and over";
  EXPECT_EQ(resize_test::applied(scene), std::pair(mib(128), mib(256)));
  EXPECT_FALSE(scene.container().memory.lease);
}

TEST(ResizePlan, ALoweringThatIsStoredAsMoreIsNotAskedForAtOnce) {
  Scene scene = armed();
  scene.wish(mib(512));
  scene.step();
  scene.accept();
  scene.actuate();
  scene.after(seconds(1));
  scene.wish(mib(128));
  scene.step();
  ASSERT_EQ(asked(scene.patch()), mib(128));
  kube::Pod reply = scene.pod;
  reply.containers[0].resources.limits.memory = mib(256);
  scene.store(reply);
  scene.actuate();
  EXPECT_EQ(scene.container().memory.spec, mib(256));
  for (int i = 0; i < 9 * 60; ++i) {
    scene.wish(mib(128));
    scene.after(seconds(1));
  }
  EXPECT_EQ(scene.sent.size(), 2u);
}

TEST(ResizePlan, APodThatIsGoneIsForgotten) {
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  scene.refuse(refusal_of(404, "pods \"web\" not found"));
  EXPECT_TRUE(scene.state.gone);

  Scene recreated = armed();
  recreated.wish(mib(256));
  recreated.step();
  recreated.refuse(kube::Refusal{.code = Code::kGone, .cause = kube::Cause::kUidChanged});
  EXPECT_TRUE(recreated.state.gone);
}

TEST(ResizePlan, AConflictIsAskedAgainSoon) {
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  scene.refuse(kube::Refusal{.code = Code::kConflict, .cause = kube::Cause::kQuotaConflict});
  scene.run_until(scene.now + milliseconds(200));
  EXPECT_EQ(scene.sent.size(), 2u);
  EXPECT_TRUE(scene.said(Kind::kRefused).empty());
}

// ---- the kubelet

TEST(ResizePlan, ARequestThatTheKubeletDefersIsWithdrawn) {
  Scene scene = armed(guaranteed_pod());
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(100));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = 2;
  scene.pod.resize.pending = condition(
      "Deferred", "Node didn't have enough resource: memory, requested: 1, used: 2, capacity: 3");
  scene.after(milliseconds(100));
  ASSERT_EQ(scene.said(Kind::kDeferred).size(), 1u);
  scene.run_until(scene.now + seconds(29));
  EXPECT_EQ(scene.sent.size(), 1u);
  scene.run_until(scene.now + seconds(2));
  ASSERT_EQ(scene.sent.size(), 2u);
  EXPECT_EQ(asked(&scene.sent[1]), mib(128)) << "what is allocated";
  EXPECT_EQ(scene.sent[1].resize.changes[0].requests.memory, mib(128));
  scene.accept();
  scene.pod.resize = {};
  scene.actuate();
  scene.run_until(scene.now + seconds(3));
  EXPECT_EQ(scene.said(Kind::kWithdrawn).size(), 1u);
  EXPECT_TRUE(scene.said(Kind::kApplied).empty()) << "nothing has moved";
  EXPECT_EQ(scene.file().limit, limit_of(mib(128))) << "no room on the node: a decision";
  EXPECT_LE(scene.bounds().direct_ceiling, mib(128));
}

TEST(ResizePlan, AWithdrawalThatIsRefusedIsTriedAgainLaterAndLater) {
  Scene scene = armed(guaranteed_pod());
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(100));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = 2;
  scene.pod.resize.pending = condition("Infeasible", "Node didn't have enough capacity: memory");
  scene.after(milliseconds(100));
  ASSERT_EQ(scene.sent.size(), 2u);
  std::size_t tries = 2;
  for (const Nanoseconds wait : {seconds(30), seconds(60), seconds(120)}) {
    scene.refuse(kNotAllowed);
    const MonotonicTime refused = scene.now;
    scene.run_until(refused + milliseconds(100));
    EXPECT_EQ(scene.file().limit, limit_of(mib(128))) << "what was written is taken back at once";
    EXPECT_FALSE(scene.container().memory.lease);
    scene.run_until(refused + wait - milliseconds(1));
    EXPECT_EQ(scene.sent.size(), tries);
    scene.run_until(refused + wait);
    ASSERT_EQ(scene.sent.size(), ++tries);
    EXPECT_EQ(asked(&scene.sent.back()), mib(128));
  }
  scene.accept();
  EXPECT_EQ(scene.said(Kind::kWithdrawn).size(), 1u);

  // The next one that is to be taken back has nothing to do with it.
  scene.pod.resize = {};
  scene.actuate();
  scene.run_until(scene.now + std::chrono::minutes(20));
  scene.wish(mib(256));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = scene.pod.generation;
  scene.pod.resize.pending = condition("Infeasible", "no");
  scene.after(milliseconds(100));
  EXPECT_EQ(asked(scene.patch()), mib(128)) << "at once";
  scene.refuse(kube::Refusal{.code = Code::kUnavailable,
                             .cause = kube::Cause::kThrottled,
                             .message = "Too many requests",
                             .retry_after = seconds(45)});
  tries = scene.sent.size();
  scene.run_until(scene.now + milliseconds(31'900));
  EXPECT_EQ(scene.sent.size(), tries) << "as long as the server says, within reason";
  scene.run_until(scene.now + seconds(10));
  EXPECT_GT(scene.sent.size(), tries);
}

TEST(ResizePlan, DeferredForAReasonBesideMemoryKeepsItsLease) {
  Scene scene = armed();
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(300));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = 2;
  scene.pod.resize.pending = condition("Deferred", "The node had condition: [DiskPressure].");
  scene.run_until(scene.now + seconds(32));
  ASSERT_EQ(scene.sent.size(), 2u);
  scene.accept();
  scene.pod.resize = {};
  scene.pod.observed_generation = scene.pod.generation;
  scene.run_until(scene.now + seconds(5));
  ASSERT_TRUE(scene.container().memory.lease);
  EXPECT_EQ(scene.file().limit, limit_of(mib(512)));
  EXPECT_EQ(scene.sent.size(), 2u) << "and is not asked for again at once";
  scene.run_until(scene.now + seconds(40));
  EXPECT_EQ(asked(&scene.sent.back()), mib(512)) << "but later";
}

TEST(ResizePlan, InfeasibleIsWithdrawnAtOnce) {
  Scene scene = armed();
  scene.wish(mib(512));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = 2;
  scene.pod.resize.pending = condition("Infeasible", "no");
  scene.after(milliseconds(100));
  ASSERT_EQ(scene.sent.size(), 2u);
  EXPECT_EQ(asked(&scene.sent[1]), mib(128));
  EXPECT_EQ(scene.said(Kind::kInfeasible).size(), 1u);
}

TEST(ResizePlan, AKubeletThatDoesNothingIsHelped) {
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  scene.accept();
  scene.run_until(scene.now + seconds(3));
  EXPECT_EQ(scene.file().limit, limit_of(mib(256)));
  EXPECT_EQ(scene.files.slice->limit, limit_of(mib(256)));
  EXPECT_EQ(scene.container().memory.lease->why, LeaseWhy::kNodeSilent);
  EXPECT_EQ(scene.said(Kind::kFallback).size(), 1u);
  scene.run_until(scene.now + std::chrono::minutes(15));
  EXPECT_TRUE(scene.container().memory.lease) << "the request is still open";
  scene.actuate();
  scene.after(seconds(1));
  EXPECT_FALSE(scene.container().memory.lease);
  EXPECT_EQ(scene.sent.size(), 1u);
}

TEST(ResizePlan, AKubeletThatHasRefusedMoreIsNotHelped) {
  Scene scene = armed();
  scene.wish(mib(512));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = 2;
  scene.pod.resize.pending = condition("Infeasible", "no");
  scene.after(milliseconds(100));
  scene.accept();  // taken back
  scene.actuate();
  scene.after(milliseconds(100));
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
  scene.after(seconds(30));
  scene.wish(mib(256));
  scene.step();
  ASSERT_EQ(asked(scene.patch()), mib(256)) << "the backoff has passed";
  scene.accept();
  scene.run_until(scene.now + seconds(5));
  EXPECT_EQ(scene.file().limit, limit_of(mib(128))) << "no direct write beyond what is allowed";
  EXPECT_TRUE(scene.said(Kind::kFallback).empty());
}

TEST(ResizePlan, InModeResizeNothingIsEverWritten) {
  Scene scene;
  scene.policies[0].actuation = Actuation::kResize;
  scene.step();
  scene.wish(mib(256));
  scene.step();
  scene.accept();
  scene.files.slice->limit = limit_of(mib(100));
  scene.run_until(scene.now + seconds(10));
  EXPECT_EQ(scene.file().limit, limit_of(mib(128)));
  EXPECT_EQ(scene.files.slice->limit, limit_of(mib(100)));
}

TEST(ResizePlan, ASliceThatStayedBehindIsRaised) {  // kubernetes#138760
  Scene scene = armed();
  scene.wish(mib(256));
  scene.step();
  scene.accept();
  const CgroupReading slice = *scene.files.slice;
  scene.actuate();
  scene.files.slice = slice;
  scene.run_until(scene.now + seconds(5));
  EXPECT_EQ(scene.files.slice->limit, limit_of(mib(256)));
  EXPECT_EQ(scene.said(Kind::kRepaired).size(), 1u);
}

TEST(ResizePlan, ASliceThatLagsForAMomentIsLeftAlone) {
  Scene scene = armed();
  scene.files.slice->limit = limit_of(mib(100));
  scene.after(seconds(1));
  scene.files.slice->limit = limit_of(mib(128));
  scene.after(seconds(1));
  scene.after(seconds(5));
  EXPECT_TRUE(scene.said(Kind::kRepaired).empty());
}

}  // namespace
}  // namespace plimsoll::agent::outcome_test
