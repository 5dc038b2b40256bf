// SPDX-License-Identifier: Apache-2.0
//
// How far limits may go: who has said so, what nobody could be asked about, and refusals that are
// about something else.
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::allowance_test {
namespace {

using resize_test::armed;
using resize_test::asked;
using resize_test::burstable_pod;
using resize_test::container_of;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;

constexpr const char* kDenied =
    "admission webhook \"cap.example.com\" denied the request: app may not";

kube::Refusal not_served() {
  return {.code = Code::kUnsupported,
          .cause = kube::Cause::kSubresourceAbsent,
          .message = "the server could not find the requested resource"};
}

TEST(Allowance, WhatCannotBeAskedForIsNotAllowed) {
  struct Row {
    const char* what;
    std::function<void(Scene&)> change;
  };
  const std::vector<Row> rows{
      {"no subresource", [](Scene& s) { s.api.ability.path = kube::ResizePath::kNone; }},
      {"claims", [](Scene& s) { s.pod.containers[0].resources.has_claims = true; }},
      {"static pod", [](Scene& s) { s.pod.annotations["kubernetes.io/config.mirror"] = "x"; }},
      {"terminating", [](Scene& s) { s.pod.deleted_at = kube::ApiTime{}; }},
  };
  for (const Row& row : rows) {
    Scene scene;
    row.change(scene);
    scene.step();
    EXPECT_TRUE(scene.preflights.empty()) << row.what;
    EXPECT_EQ(scene.bounds().direct_ceiling, mib(128)) << row.what;
    EXPECT_EQ(scene.bounds().ceiling, mib(128)) << row.what;
    scene.wish(mib(256));
    scene.step();
    scene.run_until(scene.now + seconds(20));
    EXPECT_EQ(scene.file().limit, limit_of(mib(128))) << row.what;

    // By the operator's word it is.
    scene.policies[0].unasked = true;
    scene.step();
    EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024)) << row.what;
    scene.grant(mib(256));
    scene.step();
    scene.run_until(scene.now + seconds(20));
    EXPECT_TRUE(scene.sent.empty()) << row.what;
    ASSERT_TRUE(scene.container().memory.lease) << row.what;
    EXPECT_EQ(scene.container().memory.lease->why, LeaseWhy::kNoApi) << row.what;

    // And what had been allowed before, stays so.
    Scene before = armed();
    row.change(before);
    before.step();
    EXPECT_EQ(before.bounds().direct_ceiling, mib(1024)) << row.what;
  }
  const std::vector<Row> never{
      {"BestEffort", [](Scene& s) { s.pod.qos = kube::QosClass::kBestEffort; }},
      {"finished", [](Scene& s) { s.pod.phase = kube::PodPhase::kSucceeded; }},
      {"another node", [](Scene& s) { s.pod.node_name = "node-b"; }},
  };
  for (const Row& row : never) {
    Scene scene;
    scene.policies[0].unasked = true;
    row.change(scene);
    scene.step();
    EXPECT_TRUE(scene.preflights.empty()) << row.what;
    EXPECT_EQ(scene.bounds().direct_ceiling, Bytes{}) << row.what;
  }
}

// Nobody is restarted by a dry run, and its answer holds for what is written.
TEST(Allowance, AResizePolicyThatRestartsDoesNotMakeQuotaOptional) {
  Scene scene;
  scene.pod.containers[0].memory_resize = kube::ResizePolicy::kRestartContainer;
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 1u);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
  scene.refuse(
      "pods \"web\" is forbidden: exceeded quota: rq, requested: limits.memory=896Mi, used: "
      "limits.memory=512Mi, limited: limits.memory=640Mi");
  ASSERT_EQ(asked(&scene.preflights.back()), mib(256));
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(256));
  scene.grant(mib(256));
  scene.step();
  scene.run_until(scene.now + seconds(30));
  EXPECT_TRUE(scene.sent.empty()) << "only written";
}

// The other API server of a control plane that is half-way through its upgrade.
TEST(Allowance, AServerThatDoesNotKnowResizeOpensNothingAndIsAskedAgain) {
  Scene scene;
  scene.step();
  scene.refuse(not_served());
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
  scene.set_usage(mib(120));
  scene.run_until(scene.now + seconds(1));
  EXPECT_EQ(scene.preflights.size(), 1u);
  scene.run_until(scene.now + seconds(2));
  ASSERT_EQ(scene.preflights.size(), 2u);
  // Twice as long each time.
  scene.refuse(not_served());
  scene.run_until(scene.now + seconds(3));
  EXPECT_EQ(scene.preflights.size(), 2u);
  scene.run_until(scene.now + seconds(2));
  ASSERT_EQ(scene.preflights.size(), 3u);
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024));
  EXPECT_FALSE(scene.state.unsupported);

  // What was allowed before stays allowed.
  scene.wish(mib(256));
  scene.step();
  scene.refuse(not_served());
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024));

  // Once it is known to be able to do something else, it is asked at once.
  Scene upgraded;
  upgraded.step();
  upgraded.refuse(not_served());
  ++upgraded.api.ability.minor;
  upgraded.after(milliseconds(10));
  EXPECT_EQ(upgraded.preflights.size(), 2u);
}

TEST(Allowance, WhatNobodyWasAskedForBeforeTheApiWentAwayIsAStepAtMost) {
  Scene scene;
  scene.api.away = true;
  scene.api.may_ask = false;
  scene.step();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(192));
  scene.wish(mib(1024));
  scene.step();
  scene.run_until(scene.now + seconds(30));
  EXPECT_EQ(scene.file().limit, limit_of(mib(192)));

  Scene known = armed();
  known.api.away = true;
  known.api.may_ask = false;
  known.step();
  EXPECT_EQ(known.bounds().direct_ceiling, mib(1024)) << "what it has allowed is not forgotten";
}

Scene armed_pair() {
  kube::Pod pod = burstable_pod();
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  return armed(pod);
}

TEST(Allowance, ARefusalThatMayBeAboutOneContainerIsNotOneOfAll) {
  Scene scene = armed_pair();
  scene.grant(mib(256));
  scene.grant(mib(128), {}, "side");
  scene.step();
  scene.run_until(scene.now + seconds(6));
  ASSERT_EQ(scene.sent.size(), 1u);
  ASSERT_EQ(scene.sent[0].resize.changes.size(), 2u);
  scene.refuse(kDenied);
  ASSERT_EQ(scene.sent.size(), 2u) << "at once, by itself";
  EXPECT_EQ(asked(&scene.sent[1]), mib(256));
  ASSERT_EQ(scene.sent[1].resize.changes.size(), 1u);
  EXPECT_TRUE(scene.said(Kind::kRefused).empty());
  scene.refuse(kDenied);
  EXPECT_EQ(scene.said(Kind::kRefused).size(), 1u);
  scene.run_until(scene.now + seconds(1));
  ASSERT_EQ(scene.sent.size(), 3u);
  EXPECT_EQ(asked(&scene.sent[2], "side"), mib(128));
  scene.accept();
  scene.actuate();
  scene.after(milliseconds(100));
  EXPECT_EQ(scene.container("side").memory.spec, mib(128));
  EXPECT_EQ(scene.bounds("side").direct_ceiling, mib(512));
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
}

TEST(Allowance, NorIsTheRefusalOfTheirDryRun) {
  kube::Pod pod = burstable_pod();
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  Scene scene(pod);
  scene.step();
  ASSERT_EQ(scene.preflights.at(0).resize.changes.size(), 2u);
  scene.refuse(kDenied);
  ASSERT_EQ(scene.preflights.size(), 2u);
  ASSERT_EQ(scene.preflights[1].resize.changes.size(), 1u);
  scene.refuse(kDenied);
  ASSERT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(asked(&scene.preflights[2], "side"), mib(512));
  scene.accept();
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(128));
  EXPECT_EQ(scene.bounds("side").direct_ceiling, mib(512));
  scene.run_until(scene.now + seconds(20));
  EXPECT_EQ(scene.preflights.size(), 3u);
}

TEST(Allowance, ABridgeThatIsFoundWhileTheKubeletIsBusyIsTakenOver) {
  Scene scene;
  scene.file().limit = limit_of(mib(300));
  scene.files.slice->limit = limit_of(mib(300));
  scene.set_usage(mib(250));
  scene.pod.resize.in_progress = kube::ResizeCondition{};
  scene.step();
  EXPECT_FALSE(scene.container().memory.lease) << "the kubelet may be about to write it";
  scene.pod.resize.in_progress.reset();
  scene.run_until(scene.now + seconds(10));
  ASSERT_TRUE(scene.container().memory.lease);
  EXPECT_EQ(scene.container().memory.lease->limit, mib(300));
  if (scene.sent.empty() && scene.state.preflight) scene.accept();
  scene.run_until(scene.now + seconds(10));
  ASSERT_FALSE(scene.sent.empty());
  EXPECT_EQ(asked(&scene.sent.back()), mib(300));
}

// The container may take its time to end, and flush what it has.
TEST(Allowance, ATerminatingPodKeepsWhatItHas) {
  Scene scene = armed();
  scene.grant(mib(512));
  scene.set_usage(mib(380));
  scene.step();
  scene.pod.deleted_at = kube::ApiTime{};
  scene.after(milliseconds(10));
  scene.file().limit = limit_of(mib(128));  // the kubelet, on its way to something else
  scene.run_until(scene.now + seconds(2));
  EXPECT_EQ(scene.file().limit, limit_of(mib(512)));
}

// From then on generations count from an earlier number.
TEST(Allowance, AStoreThatWasPutBackIsBelieved) {
  Scene scene = armed();
  const kube::Pod before = scene.pod;
  scene.wish(mib(512));
  scene.step();
  scene.accept();
  scene.actuate();
  scene.after(milliseconds(100));
  ASSERT_EQ(scene.container().memory.spec, mib(512));
  scene.pod = before;
  scene.after(milliseconds(100));
  EXPECT_EQ(scene.container().memory.spec, mib(512)) << "a watch that lags";
  scene.pod.resource_version = "restored";
  scene.after(milliseconds(100));
  EXPECT_EQ(scene.container().memory.spec, mib(512));
  scene.run_until(scene.now + seconds(6));
  EXPECT_EQ(scene.container().memory.spec, mib(128));
}

}  // namespace
}  // namespace plimsoll::agent::allowance_test
