// SPDX-License-Identifier: Apache-2.0
//
// The dry runs beforehand for CPU limits, and the bounds that follow from them.
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::cpu_dry_run_test {
namespace {

using resize_test::armed_cpu;
using resize_test::asked;
using resize_test::asked_cpu;
using resize_test::burstable_pod;
using resize_test::carry_out;
using resize_test::cpu_quota;
using resize_test::CpuBounds;
using resize_test::cpus;
using resize_test::kCpuFloor;
using resize_test::kCpuMost;
using resize_test::mib;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;

struct BoundsRow {
  const char* name;
  void (*with)(Scene&);
  CpuBounds bounds;
};

TEST(ResizePlanCpu, BoundsByWhatMayBeWritten) {
  const CpuBounds none{.floor = kCpuFloor,
                       .ceiling = kCpuMost,
                       .direct_ceiling = kCpuFloor,
                       .direct_floor = kCpuFloor};
  CpuBounds all = none;
  all.direct_ceiling = kCpuMost;
  CpuBounds step = none;
  step.direct_ceiling = cpus(750);
  const std::vector<BoundsRow> rows{
      {"the answer is on its way", [](Scene&) {}, none},
      {"nobody is asked", [](Scene& scene) { scene.config.preflight = false; }, all},
      {"files only", [](Scene& scene) { scene.policies[0].actuation = Actuation::kCgroup; }, all},
      {"never written", [](Scene& scene) { scene.policies[0].actuation = Actuation::kResize; },
       none},
      {"dry run", [](Scene& scene) { scene.policies[0].dry_run = true; }, none},
      {"the API is away, and was never asked", [](Scene& scene) { scene.api.away = true; }, step},
      {"a resize would restart it",
       [](Scene& scene) {
         scene.pod.containers[0].cpu_resize = kube::ResizePolicy::kRestartContainer;
       },
       none},
      {"it ends", [](Scene& scene) { scene.pod.deleted_at = kube::ApiTime{}; }, none},
  };
  for (const BoundsRow& row : rows) {
    SCOPED_TRACE(row.name);
    Scene scene;
    scene.allow_cpu(kCpuMost);
    row.with(scene);
    scene.step();
    EXPECT_EQ(scene.cpu_bounds(), row.bounds);
    ASSERT_FALSE(scene.last.actions.empty());
    EXPECT_TRUE(std::holds_alternative<SetBounds>(scene.last.actions[0])) << "before all else";
    scene.step();
    EXPECT_EQ(scene.set_cpu_bounds(), nullptr) << "once";
  }
}

TEST(ResizePlanCpu, WhatOnlyTheApiMayLowerIsNotLoweredByTheEngine) {
  Scene scene;
  scene.allow_cpu(kCpuMost);
  scene.policies[0].actuation = Actuation::kResize;
  scene.step();
  scene.wish_cpu(cpus(2000));
  scene.step();
  ASSERT_EQ(asked_cpu(scene.patch()), cpus(2000));
  carry_out(scene);
  EXPECT_EQ(scene.cpu_bounds().direct_floor, cpus(2000));
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuFloor);
}

TEST(ResizePlanCpu, WithoutAPolicyTheLimitIsLeftAlone) {
  Scene scene = armed_cpu();
  scene.policies[0].cpu.reset();
  scene.step();
  ASSERT_NE(scene.set_cpu_bounds(), nullptr);
  EXPECT_EQ(*scene.set_cpu_bounds(), (CpuBounds{kCpuFloor, kCpuFloor, kCpuFloor, kCpuFloor}));
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(60));
  EXPECT_TRUE(scene.sent.empty());
  EXPECT_EQ(scene.set_cpu_bounds(), nullptr) << "said once";

  Scene never;
  never.step();
  EXPECT_EQ(never.set_cpu_bounds(), nullptr);
}

TEST(ResizePlanCpu, ADryRunOfItsOwnFollowsThatForMemory) {
  Scene scene;
  scene.allow_cpu(kCpuMost);
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 1u);
  EXPECT_EQ(asked(&scene.preflights[0]), mib(1024));
  EXPECT_EQ(asked_cpu(&scene.preflights[0]), std::nullopt) << "a refusal is about one resource";
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked_cpu(&scene.preflights[1]), kCpuMost);
  EXPECT_EQ(asked(&scene.preflights[1]), std::nullopt);
  EXPECT_FALSE(scene.preflights[1].resize.changes[0].requests.cpu);
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuFloor);
  scene.accept();
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuMost);
  scene.run_until(scene.now + std::chrono::hours(1));
  EXPECT_EQ(scene.preflights.size(), 2u) << "nothing happens: nothing is asked";
  EXPECT_TRUE(scene.sent.empty());
}

TEST(ResizePlanCpu, ItIsAskedBeforeTheContainerRuns) {
  kube::Pod pod = burstable_pod();
  pod.phase = kube::PodPhase::kPending;
  pod.containers[0].status.reset();
  Scene scene(pod);
  scene.files.containers.clear();
  scene.files.slice.reset();
  scene.allow_cpu(cpus(1000)).boost = kCpuMost;
  scene.step();
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked_cpu(&scene.preflights[1]), kCpuMost) << "the boost is the most";
  scene.accept();
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuMost);
}

// It will be written as soon as there is an answer, and needs no request then.
TEST(ResizePlanCpu, NoWishIsAskedForWhileTheAnswerIsOnItsWay) {
  Scene scene;
  scene.allow_cpu(kCpuMost);
  scene.wish_cpu(kCpuMost);
  scene.step();
  EXPECT_EQ(scene.patch(), nullptr);
  EXPECT_TRUE(scene.forgets_cpu_wish());
  scene.accept();
  scene.wish_cpu(kCpuMost);  // said before it was told what the answer is
  scene.accept();
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuMost);
  EXPECT_TRUE(scene.sent.empty());
  scene.wish_cpu(kCpuMost);
  scene.step();
  EXPECT_EQ(asked_cpu(scene.patch()), kCpuMost) << "what is not written all the same is asked for";
}

TEST(ResizePlanCpu, ANewMostIsAskedForAgain) {
  Scene scene = armed_cpu();
  scene.policies[0].cpu->ceiling = cpus(6000);
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(asked_cpu(&scene.preflights[2]), cpus(6000));
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuMost) << "until it is answered";
  scene.policies[0].cpu->ceiling = cpus(8000);
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 4u) << "the answer was about less";
  EXPECT_EQ(asked_cpu(&scene.preflights[3]), cpus(8000));
  scene.refuse(
      "pods \"web\" is forbidden: maximum cpu usage per Container is 7, but limit "
      "is 8");
  ASSERT_EQ(scene.preflights.size(), 5u);
  scene.policies[0].cpu->ceiling = cpus(5000);
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 6u) << "nor is that of a later request of the round";
  EXPECT_EQ(asked_cpu(&scene.preflights[5]), cpus(5000));
}

struct RoomRow {
  const char* message;
  MilliCpu again;  // asked for within the room; 0: the message names none
};

TEST(ResizePlanCpu, ARefusedDryRunIsRepeatedWithinTheRoomThatItNamed) {
  const std::string is_forbidden = "pods \"web\" is forbidden: ";
  for (const RoomRow& row : {
           RoomRow{"exceeded quota: rq, requested: limits.cpu=3500m, used: limits.cpu=1, limited: "
                   "limits.cpu=2",
                   cpus(1500)},
           RoomRow{"exceeded quota: rq, requested: limits.cpu=3500m,limits.memory=1Gi, used: "
                   "limits.cpu=1500m,limits.memory=1Gi, limited: limits.cpu=2,limits.memory=1Gi",
                   cpus(1000)},
           RoomRow{"maximum cpu usage per Container is 1, but limit is 4", cpus(1000)},
           RoomRow{"maximum cpu usage per Pod is 1200m, but limit is 4", cpus(1200)},
           RoomRow{
               "[maximum cpu usage per Container is 2, but limit is 4, cpu max limit to request "
               "ratio per Container is 8, but provided ratio is 40.000000]",
               cpus(800)},
           RoomRow{"maximum memory usage per Container is 1Gi, but limit is 2Gi", {}},
       }) {
    SCOPED_TRACE(row.message);
    Scene scene;
    scene.allow_cpu(kCpuMost);
    scene.step();
    scene.accept();
    scene.refuse(is_forbidden + row.message);
    ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
    EXPECT_EQ(scene.said(Kind::kRefused)[0].change, (LimitChange{CpuChange{kCpuFloor, kCpuMost}}));
    if (row.again == MilliCpu{}) {
      EXPECT_EQ(scene.preflights.size(), 2u);
      EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuFloor);
      continue;
    }
    ASSERT_EQ(scene.preflights.size(), 3u);
    EXPECT_EQ(asked_cpu(&scene.preflights[2]), row.again);
    scene.accept();
    EXPECT_EQ(scene.cpu_bounds().direct_ceiling, row.again);
    EXPECT_EQ(scene.bounds().direct_ceiling, mib(1024)) << "memory has its own";
    scene.wish_cpu(cpus(3000));
    scene.step();
    EXPECT_EQ(asked_cpu(scene.patch()), row.again) << "no more than that";
  }
}

TEST(ResizePlanCpu, ARefusedDryRunIsRepeatedOnlyWhereMoreIsNeeded) {
  Scene scene;
  scene.allow_cpu(kCpuMost);
  scene.step();
  scene.accept();
  scene.refuse(cpu_quota("2", "2"));
  EXPECT_EQ(scene.preflights.size(), 2u) << "no room";
  scene.run_until(scene.now + std::chrono::hours(1));
  EXPECT_EQ(scene.preflights.size(), 2u) << "nobody needs any";
  scene.wish_cpu(cpus(1000));
  scene.step();
  EXPECT_EQ(asked_cpu(scene.patch()), cpus(1000)) << "somebody waits: the backoff has passed";
  scene.refuse(cpu_quota("2", "2"));
  EXPECT_TRUE(scene.forgets_cpu_wish());
  EXPECT_EQ(scene.preflights.size(), 2u) << "that is as good as a dry run's";
  scene.wish_cpu(cpus(1000));
  scene.after(seconds(45));
  EXPECT_EQ(scene.preflights.size(), 2u) << "the second time it waits twice as long";
  EXPECT_EQ(scene.sent.size(), 1u);
}

}  // namespace
}  // namespace plimsoll::agent::cpu_dry_run_test
