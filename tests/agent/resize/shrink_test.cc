// SPDX-License-Identifier: Apache-2.0
//
// Limits that go down again.
#include <gtest/gtest.h>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::shrink_test {
namespace {

using resize_test::armed;
using resize_test::asked;
using resize_test::condition;
using resize_test::kNotAllowed;
using resize_test::mib;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;
using Urgency = SendResize::Urgency;

// A scene that has grown to 512 MiB through the API.
Scene grown() {
  Scene scene = armed();
  scene.wish(mib(512));
  scene.step();
  scene.accept();
  scene.actuate();
  scene.after(seconds(1));
  EXPECT_FALSE(scene.state.memory.unverified);
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
  scene.refuse(kNotAllowed);
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

}  // namespace
}  // namespace plimsoll::agent::shrink_test
