// SPDX-License-Identifier: Apache-2.0
//
// What the watch shows that others did, and the agent before this one.
#include <gtest/gtest.h>

#include <string>
#include <utility>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::seen_test {
namespace {

using resize_test::applied;
using resize_test::armed;
using resize_test::asked;
using resize_test::burstable_pod;
using resize_test::condition;
using resize_test::container_of;
using resize_test::kStart;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::resizes;
using resize_test::Scene;
using resize_test::seconds;
using resize_test::vpa_resizes;
using Kind = ResizeEvent::Kind;

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

TEST(ResizePlan, WhatSomebodyElseHasSetIsDeclaredFromThenOn) {
  Scene scene = armed();
  scene.grant(mib(512), mib(2000));
  scene.set_usage(mib(300));
  scene.step();
  vpa_resizes(scene, mib(200));
  scene.after(milliseconds(100));
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_NE(scene.said(Kind::kSteppedBack)[0].message.find("vpa-updater"), std::string::npos);
  EXPECT_EQ(scene.bounds().floor, mib(200));
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024)) << "what was allowed stands";
  EXPECT_EQ(scene.file().limit, limit_of(mib(512))) << "what is in use stays";
  scene.run_until(scene.now + seconds(10));
  ASSERT_FALSE(scene.sent.empty());
  EXPECT_EQ(asked(&scene.sent.back()), mib(512)) << "and the API is asked for it";
}

TEST(ResizePlan, YieldsWhereTheSameActorHasUndoneUsTwice) {
  Scene scene = armed();
  for (const bool again : {false, true}) {
    scene.wish(mib(400));
    scene.step();
    ASSERT_EQ(asked(scene.patch()), mib(400)) << again;
    carry_out(scene);
    scene.set_usage(mib(300));
    vpa_resizes(scene, mib(200));
    scene.after(milliseconds(100));
    if (scene.state.preflight) scene.accept();
  }
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 2u);
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[0].cause, "share");
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[1].cause, "yield");
  const std::size_t sent = scene.sent.size();
  EXPECT_EQ(scene.bounds().direct_ceiling, Bytes{});
  EXPECT_EQ(scene.bounds().ceiling, mib(200));
  scene.set_usage(mib(50));
  scene.wish(mib(400));
  scene.run_until(scene.now + std::chrono::minutes(29));
  EXPECT_EQ(scene.sent.size(), sent);
  scene.run_until(scene.now + std::chrono::minutes(2));
  if (scene.state.preflight) scene.accept();
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
  EXPECT_EQ(std::get<MemoryChange>(scene.said(Kind::kSteppedBack)[0].change).to, mib(200));
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
  EXPECT_EQ(scene.container().memory.spec, mib(200));
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
  EXPECT_EQ(scene.container().memory.spec, mib(256));
}

TEST(ResizePlan, ARestartedContainerHasNoLeaseAnyMore) {
  Scene scene = armed();
  scene.grant(mib(512), mib(2000));
  scene.step();
  scene.pod.containers[0].status->id = "containerd://app-2";
  scene.files.containers[0].container_id = "containerd://app-2";
  scene.file().limit = limit_of(mib(128));
  scene.after(milliseconds(100));
  EXPECT_FALSE(scene.container().memory.lease);
  EXPECT_EQ(scene.said(Kind::kLeaseEnded).at(0).cause, "container_restarted");
  EXPECT_EQ(scene.action<RaiseLimit>(), nullptr);
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
  EXPECT_TRUE(scene.state.memory.unverified);
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
  ASSERT_TRUE(scene.container().memory.lease);
  EXPECT_EQ(scene.container().memory.lease->limit, mib(256));
  scene.accept();  // the preflight
  scene.after(seconds(1));
  EXPECT_EQ(asked(&scene.sent.at(0)), mib(256)) << "and the API is to know of it";

  Scene restarted = armed();
  restarted.pod.containers[0].status->id = "containerd://app-2";
  restarted.files.containers[0].container_id = "containerd://app-2";
  restarted.after(seconds(1));
  EXPECT_FALSE(restarted.container().memory.lease) << "a new cgroup has what the spec says";

  Scene resize_only;
  resize_only.policies[0].actuation = Actuation::kResize;
  resize_only.file().limit = limit_of(mib(256));
  resize_only.step();
  EXPECT_FALSE(resize_only.container().memory.lease) << "not ours to touch";
}

TEST(ResizePlan, ALoweringThatStopsEarlyIsTriedAgain) {
  Scene scene = armed();
  scene.grant(mib(512), mib(10));
  scene.set_usage(mib(100));
  scene.step();
  scene.now += milliseconds(10);
  scene.refuse("admission webhook \"cap.example.com\" denied the request: too much");
  ASSERT_NE(scene.action<LowerLimit>(), nullptr);
  scene.file().limit = limit_of(mib(400));  // the usage had risen meanwhile
  scene.after(milliseconds(100));
  EXPECT_TRUE(scene.container().memory.lease);
  scene.run_until(scene.now + seconds(5));
  EXPECT_EQ(scene.file().limit, limit_of(mib(128)));
  EXPECT_FALSE(scene.container().memory.lease);
  EXPECT_EQ(scene.said(Kind::kBridgeWithdrawn).size(), 1u) << "said once";
}

}  // namespace
}  // namespace plimsoll::agent::seen_test
