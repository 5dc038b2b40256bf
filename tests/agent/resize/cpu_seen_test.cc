// SPDX-License-Identifier: Apache-2.0
//
// CPU limits that another actor has resized, and ours that had no answer.
#include <gtest/gtest.h>

#include <utility>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::cpu_seen_test {
namespace {

using resize_test::armed_cpu;
using resize_test::asked_cpu;
using resize_test::carry_out;
using resize_test::CpuBounds;
using resize_test::cpus;
using resize_test::kCpuFloor;
using resize_test::kCpuMost;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::own_limits;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;

void resized_by_somebody(Scene& scene, MilliCpu limit) {
  const kube::Pod before = scene.pod;
  scene.pod.containers[0].resources.limits.cpu = limit;
  scene.pod.generation = *scene.pod.generation + 1;
  own_limits(scene.pod, before, "vpa", scene.now);
}

// Of memory, which the reply to our CPU request shows first; and the other way round.
TEST(ResizePlanCpu, AResizeOfTheOtherResourceBeforeOursIsSomebodyElses) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(2000));
  scene.step();
  const kube::Pod before = scene.pod;
  scene.pod.containers[0].resources.limits.memory = mib(200);
  scene.pod.generation = *scene.pod.generation + 1;
  own_limits(scene.pod, before, "vpa", scene.now);
  scene.stored = std::exchange(scene.pod, before);
  scene.accept();
  scene.catch_up();
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_FALSE(is_cpu(scene.said(Kind::kSteppedBack)[0].change));
  EXPECT_EQ(scene.bounds().floor, mib(200));

  Scene cpu = armed_cpu();
  cpu.wish(mib(256));
  cpu.step();
  resized_by_somebody(cpu, cpus(1000));
  cpu.now += seconds(2);
  cpu.accept();
  cpu.after(milliseconds(100));
  ASSERT_EQ(cpu.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(cpu.said(Kind::kSteppedBack)[0].change,
            (LimitChange{CpuChange{kCpuFloor, cpus(1000)}}));
}

TEST(ResizePlanCpu, WhatSomebodyElseHasSetIsDeclaredFromThenOn) {
  Scene scene = armed_cpu();
  resized_by_somebody(scene, cpus(1000));
  scene.step();
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[0].change,
            (LimitChange{CpuChange{kCpuFloor, cpus(1000)}}));
  EXPECT_EQ(scene.cpu_bounds(), (CpuBounds{cpus(1000), kCpuMost, kCpuMost, cpus(1000)}));
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024)) << "memory is protected as before";
  EXPECT_EQ(scene.bounds().ceiling, mib(1024));
}

TEST(ResizePlanCpu, YieldsWhereTheSameActorHasUndoneUsTwice) {
  Scene scene = armed_cpu();
  for (const bool again : {false, true}) {
    scene.wish_cpu(cpus(2000));
    scene.step();
    ASSERT_EQ(asked_cpu(scene.patch()), cpus(2000)) << again;
    carry_out(scene);
    resized_by_somebody(scene, kCpuFloor);
    scene.after(seconds(1));
    if (scene.state.preflight) scene.accept();
  }
  const std::size_t sent = scene.sent.size();
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 2u);
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[0].cause, "share");
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[1].cause, "yield");
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuFloor);
  EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024)) << "nobody fights over memory";
  scene.wish_cpu(cpus(3000));
  scene.run_until(scene.now + std::chrono::minutes(29));
  EXPECT_EQ(scene.sent.size(), sent);
  scene.run_until(scene.now + std::chrono::minutes(2));
  if (scene.state.preflight) scene.accept();
  scene.wish_cpu(cpus(3000));
  scene.step();
  EXPECT_EQ(asked_cpu(&scene.sent.back()), cpus(3000));
}

TEST(ResizePlanCpu, SharesWithSomebodyElse) {
  Scene scene = armed_cpu();
  scene.config.coexist = Coexist::kShare;
  resized_by_somebody(scene, cpus(1000));
  scene.step();
  EXPECT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(scene.cpu_bounds().floor, cpus(1000));
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(6));
  EXPECT_EQ(asked_cpu(&scene.sent.back()), cpus(2000));
  carry_out(scene);
  scene.shrink_cpu(kCpuFloor);
  scene.step();
  scene.run_until(scene.now + seconds(6));
  EXPECT_EQ(asked_cpu(&scene.sent.back()), cpus(1000)) << "not below theirs";
}

TEST(ResizePlanCpu, TheValueThatWeAskForMayBeSomebodyElses) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(2000));
  scene.step();
  resized_by_somebody(scene, cpus(2000));
  scene.after(milliseconds(10));
  EXPECT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(scene.cpu_bounds().floor, cpus(2000));
}

TEST(ResizePlanCpu, WhatIsLeftAloneMayBeResizedByAnybody) {
  Scene scene;
  scene.step();
  scene.accept();
  resized_by_somebody(scene, cpus(1000));
  scene.step();
  EXPECT_TRUE(scene.said(Kind::kSteppedBack).empty());
  EXPECT_EQ(scene.cpu().yield_until, MonotonicTime{});
}

TEST(ResizePlanCpu, AnUnknownOutcomeThatTheWatchShowsWasOurs) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.time_out();
  scene.pod.containers[0].resources.limits.cpu = cpus(2000);
  scene.pod.generation = 2;
  scene.after(milliseconds(10));
  EXPECT_TRUE(scene.said(Kind::kSteppedBack).empty());
  EXPECT_TRUE(scene.state.cpu.unverified) << "as if it had been answered";
  scene.actuate();
  scene.run_until(scene.now + seconds(60));
  EXPECT_EQ(scene.sent.size(), 1u) << "nothing is left to ask";
}

}  // namespace
}  // namespace plimsoll::agent::cpu_seen_test
