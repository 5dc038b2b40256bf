// SPDX-License-Identifier: Apache-2.0
#include "agent/resize_plan.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "agent/metrics.h"
#include "tests/agent/resize_scene.h"

namespace plimsoll::agent {
namespace {

using resize_test::asked;
using resize_test::burstable_pod;
using resize_test::container_of;
using resize_test::guaranteed_pod;
using resize_test::kStart;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::refusal_of;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ApiAnswer::Kind;
using Urgency = SendResize::Urgency;

// A scene whose container has been armed: the dry run for its ceiling was taken.
Scene armed(kube::Pod pod = burstable_pod()) {
  Scene scene(std::move(pod));
  scene.step();
  EXPECT_EQ(scene.preflights.size(), 1u);
  scene.accept();
  scene.answers.clear();
  return scene;
}

// Stores a resize of "app" by somebody.
void resizes(Scene& scene, const std::string& manager, Bytes to) {
  const kube::Pod before = scene.pod;
  scene.pod.containers[0].resources.limits.memory = to;
  scene.pod.generation = *scene.pod.generation + 1;
  resize_test::own_limits(scene.pod, before, manager, scene.now);
}

void vpa_resizes(Scene& scene, Bytes to) { resizes(scene, "vpa-updater", to); }

// ---- preflight and bounds

TEST(ResizePlan, NothingIsWrittenBeforeTheFirstAnswerOfTheApi) {
  Scene scene;
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 1u);
  EXPECT_EQ(asked(&scene.preflights[0]), mib(1024)) << "the ceiling";
  EXPECT_EQ(scene.preflights[0].urgency, Urgency::kPreflight);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128)) << "no further than the spec";
  EXPECT_EQ(scene.bounds().ceiling, mib(1024)) << "but wishes may go further";
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024));
  EXPECT_EQ(scene.bounds().direct_floor, mib(128)) << "below the spec only through the API";
  EXPECT_EQ(scene.bounds().bridge_within, seconds(2)) << "latency times factor";
  scene.after(std::chrono::hours(5));
  EXPECT_EQ(scene.preflights.size(), 1u) << "nothing happens: nothing is asked";
}

TEST(ResizePlan, AnOldPreflightIsRenewedOnlyWhenTheContainerComesNearItsLimit) {
  Scene scene = armed();
  scene.after(std::chrono::minutes(11));
  EXPECT_EQ(scene.preflights.size(), 1u);
  scene.set_usage(mib(100));
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 2u);
  scene.accept();
  scene.after(std::chrono::minutes(11));
  EXPECT_EQ(scene.preflights.size(), 2u) << "it only stays there";
}

TEST(ResizePlan, ANewCeilingIsAskedForAgain) {
  Scene scene = armed();
  scene.policies[0].ceiling = mib(2048);
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked(&scene.preflights[1]), mib(2048));
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024)) << "until it is answered";
}

TEST(ResizePlan, AnAnswerIsAboutTheCeilingThatWasAskedFor) {
  Scene scene;
  scene.step();
  ASSERT_EQ(asked(&scene.preflights.at(0)), mib(1024));
  scene.policies[0].ceiling = mib(2048);
  scene.after(milliseconds(10));
  EXPECT_EQ(scene.preflights.size(), 1u) << "one at a time";
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024));
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked(&scene.preflights[1]), mib(2048));
  scene.policies[0].ceiling = mib(512);
  scene.refuse(
      refusal_of(403, "admission webhook \"cap.example.com\" denied the request: too much"));
  ASSERT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(asked(&scene.preflights[2]), mib(512));
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(512));
  scene.after(seconds(60));
  EXPECT_EQ(scene.preflights.size(), 3u);
}

TEST(ResizePlan, NorIsTheAnswerOfALaterRequestOfTheRound) {
  Scene scene;
  scene.step();
  scene.refuse(refusal_of(403,
                          "pods \"web\" is forbidden: maximum memory usage per Container is 640Mi, "
                          "but limit is 1Gi"));
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked(&scene.preflights[1]), mib(640));
  scene.policies[0].ceiling = mib(512);
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(asked(&scene.preflights[2]), mib(512));
}

TEST(ResizePlan, AnAnswerFromBeforeSomebodyElsesResizeIsNone) {
  Scene scene;
  scene.config.coexist = Coexist::kShare;
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 1u);
  vpa_resizes(scene, mib(200));
  scene.after(milliseconds(10));
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(200));
}

TEST(ResizePlan, ARefusedPreflightIsRepeatedWithinTheRoomThatItNamed) {
  Scene scene;
  scene.step();
  scene.refuse(refusal_of(403,
                          "pods \"web\" is forbidden: exceeded quota: rq, requested: "
                          "limits.memory=896Mi, used: limits.memory=512Mi, limited: "
                          "limits.memory=1Gi"));
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked(&scene.preflights[1]), mib(128 + 512));
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(640));
  EXPECT_EQ(scene.bounds().ceiling, mib(640));
  ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
  EXPECT_NE(scene.said(Kind::kRefused)[0].message.find("quota: rq"), std::string::npos);
  EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, "quota");
}

TEST(ResizePlan, APreflightRoundIsBounded) {
  Scene scene;
  scene.step();
  int most = 1024;
  while (scene.state.preflight && scene.preflights.size() < 20) {
    most -= 100;
    scene.refuse(
        refusal_of(403, "pods \"web\" is forbidden: maximum memory usage per Container is " +
                            std::to_string(most) + "Mi, but limit is 1Gi"));
  }
  EXPECT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
}

TEST(ResizePlan, ARefusalWithoutANumberStopsBridgesButNotQuestions) {
  Scene scene;
  scene.step();
  scene.refuse(
      refusal_of(403, "admission webhook \"cap.example.com\" denied the request: too much"));
  EXPECT_EQ(scene.preflights.size(), 1u);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
  EXPECT_EQ(scene.bounds().ceiling, mib(1024)) << "less than the ceiling may well be allowed";
}

TEST(ResizePlan, OfAGuaranteedPodTheRequestFollows) {
  Scene scene(guaranteed_pod());
  scene.step();
  const kube::ResizeChange& change = scene.preflights.at(0).resize.changes.at(0);
  EXPECT_EQ(change.requests.memory, change.limits.memory);
}

TEST(ResizePlan, BoundsByActuation) {
  Scene scene;
  scene.policies[0].actuation = Actuation::kResize;
  scene.step();
  EXPECT_EQ(scene.bounds().direct_ceiling, Bytes{}) << "never writes";
  EXPECT_TRUE(scene.preflights.empty());

  Scene files;
  files.policies[0].actuation = Actuation::kCgroup;
  files.step();
  EXPECT_EQ(files.bounds().direct_ceiling, mib(1024));
  EXPECT_EQ(files.bounds().bridge_within, std::nullopt);
  files.grant(mib(512));
  files.step();
  files.after(seconds(30));
  EXPECT_TRUE(files.sent.empty() && files.preflights.empty()) << "never asks";
  EXPECT_EQ(files.container().lease->why, LeaseWhy::kPolicy);

  Scene dry;
  dry.policies[0].dry_run = true;
  dry.step();
  dry.wish(mib(512));
  dry.step();
  dry.run_until(dry.now + seconds(30));
  EXPECT_TRUE(dry.sent.empty() && dry.preflights.empty());
  EXPECT_EQ(dry.action<RaiseLimit>(), nullptr);
  EXPECT_EQ(dry.bounds().direct_ceiling, Bytes{});
}

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
  EXPECT_EQ(scene.container().want, std::nullopt);
  EXPECT_FALSE(scene.state.unverified);
}

// Of what was said last.
std::pair<Bytes, Bytes> applied(const Scene& scene) {
  const std::vector<ApiAnswer> said = scene.said(Kind::kApplied);
  if (said.empty()) return {};
  return {said.back().from, said.back().to};
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
  scene.refuse(
      refusal_of(403, "admission webhook \"cap.example.com\" denied the request: too much"));
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
  ASSERT_TRUE(scene.container().lease);
  EXPECT_EQ(scene.container().lease->why, LeaseWhy::kBridge);
  scene.actuate();
  scene.after(milliseconds(500));
  EXPECT_FALSE(scene.container().lease) << "the API stands behind it";
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

// 60 MiB a second: each grant lasts for some seconds, and the kubelet would keep up with each.
TEST(ResizePlan, TheGrantsOfABurstGoInOnePatch) {
  Scene scene = armed();
  scene.grant(mib(256), mib(60));
  scene.step();
  scene.run_until(scene.now + seconds(2));
  EXPECT_TRUE(scene.sent.empty());
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
  EXPECT_EQ(scene.container().lease->why, LeaseWhy::kApiAway);
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
  EXPECT_FALSE(scene.container().lease);
  EXPECT_EQ(scene.container().spec, mib(256));
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
  ASSERT_TRUE(scene.container().lease) << "the usage is far above the spec";
  EXPECT_EQ(scene.file().limit, limit_of(mib(512)));
  scene.set_usage(mib(60));
  scene.run_until(scene.now + std::chrono::minutes(11));
  EXPECT_FALSE(scene.container().lease);
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
  EXPECT_TRUE(scene.state.unverified) << "as if it had been answered";
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
  EXPECT_NE(scene.container().lease, std::nullopt) << "meanwhile it is written";
  scene.run_until(refused + seconds(4));
  EXPECT_EQ(scene.sent.size(), 2u);
}

// ---- refusals

constexpr const char* kQuota =
    "pods \"web\" is forbidden: exceeded quota: rq, requested: limits.memory=384Mi, used: "
    "limits.memory=896Mi, limited: limits.memory=1Gi";

constexpr const char* kNotAllowed =
    "pods \"web\" is forbidden: User \"system:serviceaccount:demo:p\" cannot patch resource "
    "\"pods/resize\" in API group \"\" in the namespace \"demo\"";

TEST(ResizePlan, ARefusedBridgeIsWithdrawnAsFarAsTheUsageLetsIt) {
  Scene scene = armed();
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(300));
  scene.step();
  ASSERT_EQ(asked(scene.patch()), mib(512));
  scene.now += milliseconds(10);
  scene.refuse(refusal_of(403, kQuota));
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
  EXPECT_FALSE(scene.container().lease);
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
    scene.refuse(refusal_of(403, message));
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
  scene.refuse(refusal_of(403, kQuota));
  EXPECT_EQ(scene.action<LowerLimit>(), nullptr);
  EXPECT_EQ(scene.container().lease->why, LeaseWhy::kOverride);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024));
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

TEST(ResizePlan, WhereTheApiCannotResizeThePodTheFilesAreWritten) {
  struct Row {
    const char* what;
    std::function<void(Scene&)> change;
    bool grows;
  };
  const std::vector<Row> rows{
      {"no subresource", [](Scene& s) { s.api.ability.path = kube::ResizePath::kNone; }, true},
      {"claims", [](Scene& s) { s.pod.containers[0].resources.has_claims = true; }, true},
      {"static pod", [](Scene& s) { s.pod.annotations["kubernetes.io/config.mirror"] = "x"; },
       true},
      {"restarts",
       [](Scene& s) { s.pod.containers[0].memory_resize = kube::ResizePolicy::kRestartContainer; },
       true},
      {"BestEffort", [](Scene& s) { s.pod.qos = kube::QosClass::kBestEffort; }, false},
      {"terminating", [](Scene& s) { s.pod.deleted_at = kube::ApiTime{}; }, false},
      {"finished", [](Scene& s) { s.pod.phase = kube::PodPhase::kSucceeded; }, false},
      {"another node", [](Scene& s) { s.pod.node_name = "node-b"; }, false},
  };
  for (const Row& row : rows) {
    Scene scene;
    row.change(scene);
    scene.step();
    EXPECT_TRUE(scene.preflights.empty()) << row.what;
    EXPECT_EQ(scene.bounds().direct_ceiling, row.grows ? mib(1024) : Bytes{}) << row.what;
    if (!row.grows) continue;
    scene.grant(mib(256));
    scene.step();
    scene.run_until(scene.now + seconds(20));
    EXPECT_TRUE(scene.sent.empty()) << row.what;
    ASSERT_TRUE(scene.container().lease) << row.what;
    EXPECT_EQ(scene.container().lease->why, LeaseWhy::kNoApi) << row.what;
  }
}

// ---- the kubelet

kube::ResizeCondition condition(std::string reason, std::string message) {
  return {.reason = std::move(reason), .message = std::move(message), .observed_generation = 2};
}

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
    scene.refuse(refusal_of(403, kNotAllowed));
    const MonotonicTime refused = scene.now;
    scene.run_until(refused + milliseconds(100));
    EXPECT_EQ(scene.file().limit, limit_of(mib(128))) << "what was written is taken back at once";
    EXPECT_FALSE(scene.container().lease);
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
  scene.run_until(scene.now + milliseconds(44'900));
  EXPECT_EQ(scene.sent.size(), tries) << "as long as the server says";
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
  ASSERT_TRUE(scene.container().lease);
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
  EXPECT_EQ(scene.container().lease->why, LeaseWhy::kNodeSilent);
  EXPECT_EQ(scene.said(Kind::kFallback).size(), 1u);
  scene.run_until(scene.now + std::chrono::minutes(15));
  EXPECT_TRUE(scene.container().lease) << "the request is still open";
  scene.actuate();
  scene.after(seconds(1));
  EXPECT_FALSE(scene.container().lease);
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
  scene.wish(mib(256));
  scene.step();
  ASSERT_EQ(asked(scene.patch()), mib(256)) << "less than what was refused";
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

// ---- others

TEST(ResizePlan, ALimitThatWasResetUnderALeaseIsWrittenAgain) {
  Scene scene = armed();
  scene.grant(mib(512), mib(2000));
  scene.set_usage(mib(300));
  scene.step();
  scene.pod.generation = 2;  // somebody resized the CPU: the kubelet rewrote memory.max
  scene.pod.resized_by = {{.manager = "vpa-updater", .at = kube::ApiTime{}}};
  scene.file().limit = limit_of(mib(128));
  scene.after(milliseconds(20));
  const auto* raise = scene.action<RaiseLimit>();
  ASSERT_NE(raise, nullptr);
  EXPECT_EQ(raise->limit, mib(512));
  EXPECT_EQ(raise->reason, Reason::kReasserted);
  ASSERT_EQ(scene.said(Kind::kReasserted).size(), 1u);
  EXPECT_NE(scene.said(Kind::kReasserted)[0].message.find("vpa-updater"), std::string::npos);
  EXPECT_LE(*scene.last.wake, scene.now + milliseconds(50)) << "looks often for a while";
}

TEST(ResizePlan, YieldsToSomebodyElsesResize) {
  Scene scene = armed();
  scene.grant(mib(512), mib(2000));
  scene.set_usage(mib(300));
  scene.step();
  vpa_resizes(scene, mib(200));
  scene.after(milliseconds(100));
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_NE(scene.said(Kind::kSteppedBack)[0].message.find("vpa-updater"), std::string::npos);
  EXPECT_EQ(scene.bounds().direct_ceiling, Bytes{});
  EXPECT_EQ(scene.bounds().ceiling, mib(200));
  EXPECT_EQ(scene.file().limit, limit_of(mib(315))) << "without a kill";
  scene.set_usage(mib(50));
  scene.run_until(scene.now + seconds(5));
  EXPECT_EQ(scene.file().limit, limit_of(mib(200)));
  EXPECT_TRUE(scene.sent.empty());
  scene.wish(mib(400));
  scene.step();
  scene.run_until(scene.now + std::chrono::minutes(29));
  EXPECT_TRUE(scene.sent.empty());
  scene.run_until(scene.now + std::chrono::minutes(2));
  scene.wish(mib(400));
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(400));
}

TEST(ResizePlan, SharesWithSomebodyElse) {
  Scene scene = armed();
  scene.config.coexist = Coexist::kShare;
  vpa_resizes(scene, mib(200));
  scene.after(milliseconds(100));
  EXPECT_EQ(scene.bounds().floor, mib(200));
  scene.wish(mib(400));
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(400));
}

Scene armed_pair() {
  kube::Pod pod = burstable_pod();
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  Scene scene = armed(pod);
  scene.now = kStart + seconds(1);
  return scene;
}

// Entries have whole seconds, and those of the same second are in the order of their names.
TEST(ResizePlan, AResizeInTheSameSecondAsOursIsSomebodyElses) {
  Scene scene = armed_pair();
  scene.wish(mib(96), "side");
  scene.step();
  scene.accept();
  resizes(scene, "kubectl", mib(200));
  ASSERT_EQ(kube::last_resized_by(scene.pod)->manager, "plimsoll");
  scene.after(milliseconds(100));
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[0].message, "resized by kubectl");
  EXPECT_EQ(scene.bounds().floor, mib(200));
  EXPECT_EQ(scene.bounds("side").floor, mib(64));
}

// The reply to our request is the first that we see of theirs.
TEST(ResizePlan, AResizeThatOursHasFollowedIsSomebodyElses) {
  Scene scene = armed_pair();
  scene.wish(mib(96), "side");
  scene.step();
  const kube::Pod seen = scene.pod;
  resizes(scene, "vpa-updater", mib(200));
  scene.stored = std::exchange(scene.pod, seen);
  scene.now += seconds(2);
  scene.accept();
  scene.catch_up();
  ASSERT_EQ(kube::last_resized_by(scene.pod)->manager, "plimsoll");
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[0].message, "resized by vpa-updater");
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[0].to, mib(200));
  EXPECT_EQ(scene.bounds().floor, mib(200));
}

TEST(ResizePlan, TheValueThatWeAskForMayBeSomebodyElses) {
  for (const bool answered : {false, true}) {
    Scene scene = armed();
    scene.wish(mib(256));
    scene.step();
    if (answered) scene.time_out();
    vpa_resizes(scene, mib(256));
    scene.after(milliseconds(10));
    EXPECT_EQ(scene.said(Kind::kSteppedBack).size(), 1u) << answered;
    EXPECT_EQ(scene.bounds().floor, mib(256));
  }
}

// Nobody is known to have set it: what we asked for is ours, and nothing else.
TEST(ResizePlan, WhereTheServerDoesNotTellTheValueDecides) {
  for (const Bytes stored : {mib(256), mib(200)}) {
    Scene scene = armed();
    scene.wish(mib(256));
    scene.step();
    vpa_resizes(scene, stored);
    scene.pod.resized_by.clear();
    scene.after(milliseconds(10));
    EXPECT_EQ(scene.said(Kind::kSteppedBack).size(), stored == mib(256) ? 0u : 1u);
  }
}

// A request of the agent before this one that is stored late, or one that a webhook has changed.
TEST(ResizePlan, WhatComesUnderOurNameIsOurs) {
  Scene scene = armed();
  resizes(scene, "plimsoll", mib(200));
  scene.after(milliseconds(10));
  EXPECT_TRUE(scene.said(Kind::kSteppedBack).empty());
  EXPECT_EQ(scene.container().spec, mib(200));
  EXPECT_EQ(scene.bounds().floor, mib(128));
}

TEST(ResizePlan, AWatchThatLagsBehindOurOwnPatchIsNotSomebodyElse) {
  Scene scene = armed();
  const kube::Pod before = scene.pod;
  scene.wish(mib(256));
  scene.step();
  scene.accept();
  const kube::Pod reply = scene.pod;
  scene.pod = before;
  scene.after(milliseconds(10));
  scene.pod = reply;
  scene.after(milliseconds(10));
  EXPECT_TRUE(scene.said(Kind::kSteppedBack).empty());
  EXPECT_EQ(scene.container().spec, mib(256));
}

TEST(ResizePlan, ARestartedContainerHasNoLeaseAnyMore) {
  Scene scene = armed();
  scene.grant(mib(512), mib(2000));
  scene.step();
  scene.pod.containers[0].status->id = "containerd://app-2";
  scene.files.containers[0].container_id = "containerd://app-2";
  scene.file().limit = limit_of(mib(128));
  scene.after(milliseconds(100));
  EXPECT_FALSE(scene.container().lease);
  EXPECT_EQ(scene.said(Kind::kLeaseEnded).at(0).cause, "container_restarted");
  EXPECT_EQ(scene.action<RaiseLimit>(), nullptr);
}

// ---- shrinking

// A scene that has grown to 512 MiB through the API.
Scene grown() {
  Scene scene = armed();
  scene.wish(mib(512));
  scene.step();
  scene.accept();
  scene.actuate();
  scene.after(seconds(1));
  EXPECT_FALSE(scene.state.unverified);
  scene.sent.clear();
  scene.answers.clear();
  return scene;
}

TEST(ResizePlan, AShrinkGoesThroughTheApi) {
  Scene scene = grown();
  scene.set_usage(mib(100));
  scene.wish(mib(200));
  scene.run_until(scene.now + seconds(10));
  EXPECT_EQ(asked(scene.patch()), mib(200));
  EXPECT_EQ(scene.patch()->urgency, Urgency::kNormal);
  scene.accept();
  scene.actuate();
  scene.after(seconds(1));
  EXPECT_EQ(scene.said(Kind::kApplied).size(), 1u);
  EXPECT_EQ(scene.action<LowerLimit>(), nullptr);
}

TEST(ResizePlan, ShrinksThatFollowEachOtherAreOneAndTheFloorWaitsForNone) {
  Scene scene = grown();
  scene.set_usage(mib(60));
  scene.wish(mib(300));
  scene.run_until(scene.now + seconds(6));
  scene.wish(mib(200));
  scene.run_until(scene.now + seconds(6));
  EXPECT_TRUE(scene.sent.empty());
  scene.wish(mib(128));
  scene.step();
  ASSERT_EQ(scene.sent.size(), 1u);
  EXPECT_EQ(asked(&scene.sent[0]), mib(128));
}

TEST(ResizePlan, AShrinkThatTheKubeletWouldRefuseIsNotAskedFor) {
  Scene scene = grown();
  scene.set_usage(mib(196));
  scene.wish(mib(200));
  scene.run_until(scene.now + seconds(10));
  EXPECT_TRUE(scene.sent.empty());
  EXPECT_NE(scene.action<ForgetWish>(), nullptr);
  scene.set_usage(mib(60));
  scene.files.slice->usage = mib(199);
  scene.wish(mib(200));
  scene.after(std::chrono::minutes(2));
  EXPECT_TRUE(scene.sent.empty()) << "the slice counts as well";
}

TEST(ResizePlan, AShrinkNeverGoesBelowTheFloor) {
  Scene scene = grown();
  scene.set_usage(mib(10));
  scene.wish(mib(40));
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(128));
}

TEST(ResizePlan, On133WhatHasGrownStaysAndThatIsSaidOnce) {
  Scene scene = grown();
  scene.api.ability.minor = 33;
  scene.set_usage(mib(50));
  scene.wish(mib(200));
  scene.step();
  scene.run_until(scene.now + std::chrono::minutes(5));
  EXPECT_TRUE(scene.sent.empty());
  ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, "decrease");
  EXPECT_EQ(scene.bounds().floor, mib(512)) << "the engine need not wish it again";
}

// The kubelet cannot lower it: there is more in use by now.
Scene failed_shrink() {
  Scene scene = grown();
  scene.set_usage(mib(100));
  scene.wish(mib(200));
  scene.run_until(scene.now + seconds(10));
  scene.accept();
  scene.set_usage(mib(300));
  scene.pod.observed_generation = scene.pod.generation;
  scene.pod.resize.in_progress = condition("Error", "cannot decrease memory limits: ...");
  return scene;
}

TEST(ResizePlan, AShrinkThatFailsIsTakenBack) {
  Scene scene = failed_shrink();
  scene.run_until(scene.now + seconds(29));
  EXPECT_EQ(scene.sent.size(), 1u);
  scene.run_until(scene.now + seconds(3));
  EXPECT_EQ(asked(&scene.sent.back()), mib(512));
  scene.accept();
  scene.pod.resize = {};
  scene.actuate();
  scene.run_until(scene.now + seconds(5));
  EXPECT_EQ(scene.said(Kind::kWithdrawn).size(), 1u);
  EXPECT_TRUE(scene.said(Kind::kApplied).empty()) << "no raise: nobody was saved by it";
  scene.set_usage(mib(50));
  scene.wish(mib(200));
  scene.after(seconds(1));
  EXPECT_EQ(scene.sent.size(), 2u) << "not again for a while";
}

TEST(ResizePlan, AFailedShrinkThatMayNotBeTakenBackIsNotAskedForOverAndOver) {
  Scene scene = failed_shrink();
  scene.run_until(scene.now + seconds(31));
  ASSERT_EQ(asked(&scene.sent.back()), mib(512));
  const std::size_t tries = scene.sent.size();
  scene.refuse(refusal_of(403, kNotAllowed));
  scene.run_until(scene.now + seconds(29));
  EXPECT_EQ(scene.sent.size(), tries);
  EXPECT_EQ(scene.file().limit, limit_of(mib(512)));
  scene.run_until(scene.now + seconds(2));
  EXPECT_EQ(scene.sent.size(), tries + 1);
}

TEST(ResizePlan, GrowthDoesNotWaitForAFailedShrink) {
  Scene scene = grown();
  scene.set_usage(mib(100));
  scene.wish(mib(200));
  scene.run_until(scene.now + seconds(10));
  scene.accept();
  scene.pod.observed_generation = scene.pod.generation;
  scene.pod.resize.in_progress = condition("Error", "cannot decrease memory limits: ...");
  scene.wish(mib(600));
  scene.after(seconds(12));
  EXPECT_EQ(asked(scene.patch()), mib(600));
}

// ---- the agent before this one

TEST(ResizePlan, AResizeOfTheAgentBeforeIsTakenOver) {
  Scene scene;
  scene.pod.containers[0].resources.limits.memory = mib(512);
  scene.pod.generation = 2;
  scene.pod.observed_generation = 2;
  scene.pod.resize.pending = condition("Deferred", "Node didn't have enough resource: memory");
  scene.pod.resized_by = {{.manager = "plimsoll", .at = kube::ApiTime{}, .memory_limits = {"app"}}};
  scene.step();
  EXPECT_TRUE(scene.state.unverified);
  Scene room = scene;
  scene.run_until(scene.now + seconds(32));
  EXPECT_EQ(asked(&scene.sent.at(0)), mib(128));

  room.actuate();
  room.after(seconds(1));
  EXPECT_EQ(applied(room), (std::pair{mib(128), mib(512)}));
}

TEST(ResizePlan, AResizeOfSomebodyElseIsNotTakenOver) {
  kube::Pod pod = burstable_pod();
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  Scene scene(pod);
  resizes(scene, "vpa-updater", mib(512));
  const kube::Pod before = scene.pod;
  scene.pod.containers[1].resources.limits.memory = mib(128);
  resize_test::own_limits(scene.pod, before, "plimsoll", scene.now + seconds(1));
  scene.pod.observed_generation = scene.pod.generation;
  scene.pod.resize.pending = condition("Infeasible", "no");
  scene.step();
  scene.after(seconds(1));
  ASSERT_EQ(scene.sent.size(), 1u);
  EXPECT_EQ(asked(&scene.sent[0], "side"), mib(64));
  EXPECT_EQ(asked(&scene.sent[0], "app"), std::nullopt) << "theirs waits for the kubelet";
}

TEST(ResizePlan, AWriteOfTheAgentBeforeIsALease) {
  Scene scene;
  scene.file().limit = limit_of(mib(256));
  scene.files.slice->limit = limit_of(mib(256));
  scene.step();
  ASSERT_TRUE(scene.container().lease);
  EXPECT_EQ(scene.container().lease->limit, mib(256));
  scene.accept();  // the preflight
  scene.after(seconds(1));
  EXPECT_EQ(asked(&scene.sent.at(0)), mib(256)) << "and the API is to know of it";

  Scene restarted = armed();
  restarted.pod.containers[0].status->id = "containerd://app-2";
  restarted.files.containers[0].container_id = "containerd://app-2";
  restarted.after(seconds(1));
  EXPECT_FALSE(restarted.container().lease) << "a new cgroup has what the spec says";

  Scene resize_only;
  resize_only.policies[0].actuation = Actuation::kResize;
  resize_only.file().limit = limit_of(mib(256));
  resize_only.step();
  EXPECT_FALSE(resize_only.container().lease) << "not ours to touch";
}

TEST(ResizePlan, ALoweringThatStopsEarlyIsTriedAgain) {
  Scene scene = armed();
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(100));
  scene.step();
  scene.now += milliseconds(10);
  scene.refuse(
      refusal_of(403, "admission webhook \"cap.example.com\" denied the request: too much"));
  ASSERT_NE(scene.action<LowerLimit>(), nullptr);
  scene.file().limit = limit_of(mib(400));  // the usage had risen meanwhile
  scene.after(milliseconds(100));
  EXPECT_TRUE(scene.container().lease);
  scene.run_until(scene.now + seconds(5));
  EXPECT_EQ(scene.file().limit, limit_of(mib(128)));
  EXPECT_FALSE(scene.container().lease);
  EXPECT_EQ(scene.said(Kind::kBridgeWithdrawn).size(), 1u) << "said once";
}

}  // namespace
}  // namespace plimsoll::agent
