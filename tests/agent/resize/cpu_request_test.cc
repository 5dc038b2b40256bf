// SPDX-License-Identifier: Apache-2.0
//
// When CPU limits are asked for. Every container here declares 500m and requests 100m of CPU, and
// 128 MiB of memory of which half is in use: far from its limit.
#include <gtest/gtest.h>

#include <vector>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::cpu_request_test {
namespace {

using resize_test::armed_cpu;
using resize_test::asked;
using resize_test::asked_cpu;
using resize_test::burstable_pod;
using resize_test::carry_out;
using resize_test::container_of;
using resize_test::cpus;
using resize_test::kCpuFloor;
using resize_test::kCpuMost;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;

// ---- the spec follows the level

TEST(ResizePlanCpu, ABurstCostsTwoRequestsAndAShortOneNone) {
  Scene scene = armed_cpu();
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(4));
  scene.shrink_cpu(kCpuFloor);
  scene.step();
  scene.run_until(scene.now + seconds(30));
  EXPECT_TRUE(scene.sent.empty()) << "four seconds";

  const MonotonicTime begin = scene.now;
  for (int i = 0; i < 60; ++i) {  // it moves about, as the engine's windows do
    scene.grant_cpu(cpus(i % 3 == 0 ? 3000 : 2500));
    scene.run_until(scene.now + seconds(1));
    if (!scene.state.in_flight) continue;
    EXPECT_EQ(scene.now - begin, seconds(5));
    EXPECT_EQ(scene.sent[0].urgency, SendResize::Urgency::kNormal);
    EXPECT_EQ(scene.sent[0].deadline, seconds(2)) << "memory waits for it";
    carry_out(scene);
  }
  ASSERT_EQ(scene.sent.size(), 1u);
  scene.shrink_cpu(cpus(1200));
  scene.after(seconds(2));
  scene.shrink_cpu(kCpuFloor);
  scene.step();
  scene.run_until(scene.now + milliseconds(2900));
  EXPECT_EQ(scene.sent.size(), 1u);
  scene.run_until(scene.now + milliseconds(100));
  ASSERT_EQ(scene.sent.size(), 2u) << "below the spec for five seconds";
  EXPECT_EQ(asked_cpu(&scene.sent[1]), kCpuFloor);
  carry_out(scene);
  scene.run_until(scene.now + std::chrono::minutes(10));
  EXPECT_EQ(scene.sent.size(), 2u);
  EXPECT_EQ(scene.state.cpu.unverified, std::nullopt);
}

TEST(ResizePlanCpu, OnTheOtherSideTheTimeBeginsAnew) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(2000));
  scene.step();
  carry_out(scene);
  for (int i = 0; i < 10; ++i) {
    scene.grant_cpu(cpus(2100));
    scene.run_until(scene.now + seconds(4));
    scene.shrink_cpu(cpus(1900));
    scene.run_until(scene.now + seconds(4));
  }
  EXPECT_EQ(scene.sent.size(), 1u);
}

TEST(ResizePlanCpu, ALoweringThatStopsAboveTheFloorWaitsLonger) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(3000));
  scene.step();
  carry_out(scene);
  scene.shrink_cpu(cpus(1000));
  scene.step();
  scene.run_until(scene.now + seconds(19));
  EXPECT_EQ(scene.sent.size(), 1u);
  scene.run_until(scene.now + seconds(1));
  EXPECT_EQ(asked_cpu(scene.patch()), cpus(1000));
}

TEST(ResizePlanCpu, AWishIsAskedForAtOnce) {
  Scene scene = armed_cpu();
  scene.grant_cpu(cpus(1000));
  scene.wish_cpu(cpus(1230));
  scene.step();
  ASSERT_EQ(asked_cpu(scene.patch()), cpus(1230));
  EXPECT_EQ(scene.patch()->resize.changes.size(), 1u);
  EXPECT_FALSE(scene.patch()->resize.changes[0].limits.memory);
  EXPECT_FALSE(scene.patch()->resize.changes[0].requests.cpu) << "nothing is claimed of the node";
  carry_out(scene);
  EXPECT_EQ(scene.cpu().want, std::nullopt);
  EXPECT_EQ(scene.cpu().spec, cpus(1230));
}

TEST(ResizePlanCpu, ALoweringThatIsWishedForWaits) {
  Scene scene = armed_cpu();
  scene.policies[0].actuation = Actuation::kResize;
  scene.wish_cpu(cpus(2000));
  scene.step();
  carry_out(scene);
  scene.wish_cpu(cpus(800), Reason::kLeaseEnded);
  scene.step();
  scene.run_until(scene.now + milliseconds(4900));
  EXPECT_EQ(scene.sent.size(), 1u);
  scene.run_until(scene.now + milliseconds(100));
  EXPECT_EQ(asked_cpu(scene.patch()), cpus(800));
}

TEST(ResizePlanCpu, NoRequestLeavesTheRangeOfThePolicy) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(9000));
  scene.step();
  EXPECT_EQ(asked_cpu(scene.patch()), kCpuMost);
  carry_out(scene);
  scene.shrink_cpu(cpus(100));
  scene.step();
  scene.run_until(scene.now + seconds(6));
  EXPECT_EQ(asked_cpu(&scene.sent.back()), kCpuFloor);
}

TEST(ResizePlanCpu, WhatEndsByItselfIsNotAskedFor) {
  Scene scene = armed_cpu();
  scene.policies[0].cpu->boost = kCpuMost;
  scene.grant_cpu(cpus(3000), Reason::kStarting);
  scene.step();
  EXPECT_TRUE(scene.cpu().leased());
  scene.run_until(scene.now + seconds(60));
  EXPECT_TRUE(scene.sent.empty());
  scene.grant_cpu(cpus(3500), Reason::kThrottled);
  scene.step();
  scene.run_until(scene.now + milliseconds(4900));
  EXPECT_TRUE(scene.sent.empty()) << "it is needed from now on, not since it started";
  scene.run_until(scene.now + milliseconds(100));
  EXPECT_EQ(asked_cpu(scene.patch()), cpus(3500));

  Scene short_one = armed_cpu();
  short_one.grant_cpu(cpus(3000), Reason::kStarting);
  short_one.step();
  short_one.run_until(short_one.now + seconds(60));
  short_one.shrink_cpu(kCpuFloor, Reason::kStarted);
  short_one.step();
  short_one.run_until(short_one.now + seconds(60));
  EXPECT_TRUE(short_one.sent.empty());
  EXPECT_FALSE(short_one.cpu().leased());
}

TEST(ResizePlanCpu, AStartThatWasWishedForEndsAtOnce) {
  for (const bool writes : {false, true}) {
    SCOPED_TRACE(writes);
    Scene scene = armed_cpu();
    if (!writes) scene.policies[0].actuation = Actuation::kResize;
    scene.wish_cpu(cpus(3000), Reason::kStarting);
    scene.step();
    ASSERT_EQ(asked_cpu(scene.patch()), cpus(3000)) << "somebody waits";
    carry_out(scene);
    if (writes) {
      scene.shrink_cpu(kCpuFloor, Reason::kStarted);
    } else {
      scene.wish_cpu(kCpuFloor, Reason::kStarted);
    }
    scene.step();
    EXPECT_EQ(asked_cpu(scene.patch()), kCpuFloor);
  }
}

TEST(ResizePlanCpu, ContainersThatAreDueTogetherGoInOnePatchRaisesFirst) {
  kube::Pod pod = burstable_pod();
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  pod.containers.push_back(container_of("log", mib(32), mib(64)));
  Scene scene = armed_cpu(pod);
  scene.wish_cpu(cpus(2000), Reason::kThrottled, "log");
  scene.step();
  carry_out(scene);
  scene.grant_cpu(cpus(1000), Reason::kThrottled, "app");
  scene.grant_cpu(cpus(900), Reason::kThrottled, "side");
  scene.shrink_cpu(kCpuFloor, Reason::kLeaseEnded, "log");
  scene.step();
  scene.run_until(scene.now + seconds(5));
  ASSERT_EQ(scene.sent.size(), 2u);
  EXPECT_EQ(asked_cpu(&scene.sent[1], "app"), cpus(1000));
  EXPECT_EQ(asked_cpu(&scene.sent[1], "side"), cpus(900));
  EXPECT_EQ(asked_cpu(&scene.sent[1], "log"), std::nullopt) << "a refusal says what was too much";
  carry_out(scene);
  ASSERT_EQ(scene.sent.size(), 3u);
  EXPECT_EQ(asked_cpu(&scene.sent[2], "log"), kCpuFloor);
}

TEST(ResizePlanCpu, ARestartedContainerHasNoLevelAnyMore) {
  Scene scene = armed_cpu();
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.pod.containers[0].status->id = "containerd://app-2";
  scene.files.containers[0].container_id = "containerd://app-2";
  scene.step();
  EXPECT_FALSE(scene.cpu().leased());
  scene.run_until(scene.now + seconds(60));
  EXPECT_TRUE(scene.sent.empty());
}

TEST(ResizePlanCpu, ALevelThatCameBeforeTheKubeletsWordStays) {
  Scene scene = armed_cpu();
  scene.pod.containers[0].status.reset();
  scene.state.containers[0].container_id.clear();
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.pod = burstable_pod();
  scene.step();
  EXPECT_TRUE(scene.cpu().leased());
}

// ---- memory first

struct NeedRow {
  const char* name;
  void (*begins)(Scene&);
  void (*ends)(Scene&);
};

TEST(ResizePlanCpu, NothingIsAskedForWhileMemoryIsInNeed) {
  const auto accept_all = [](Scene& scene) {
    scene.run_until(scene.now + seconds(6));
    ASSERT_TRUE(scene.state.in_flight);
    scene.accept();
    scene.actuate();
    scene.after(seconds(1));
  };
  const std::vector<NeedRow> rows{
      {"a bridge", [](Scene& scene) { scene.grant(mib(256), mib(2000)); }, accept_all},
      {"a request under way", [](Scene& scene) { scene.wish(mib(256)); },
       [](Scene& scene) {
         scene.accept();
         scene.actuate();
         scene.after(seconds(1));
       }},
      {"a request that is not in force",
       [](Scene& scene) {
         scene.wish(mib(256));
         scene.step();
         scene.accept();
       },
       [](Scene& scene) {
         scene.actuate();
         scene.after(seconds(1));
       }},
      {"a lease that is not asked for now",
       [](Scene& scene) {
         scene.grant(mib(256));
         scene.step();
         scene.container().memory.want.reset();
         scene.container().memory.allowance.refused =
             Refused<Bytes>{.ask_upto = mib(128), .retry_at = MonotonicTime::max()};
       },
       [](Scene& scene) { scene.container().memory.lease.reset(); }},
      {"near its limit", [](Scene& scene) { scene.set_usage(mib(100)); },
       [](Scene& scene) { scene.set_usage(mib(60)); }},
      {"not known", [](Scene& scene) { scene.files.containers[0].container_id = "other"; },
       [](Scene& scene) {
         scene.files.containers[0].container_id = scene.pod.containers[0].status->id;
       }},
      {"left to another actor",
       [](Scene& scene) { scene.cpu().yield_until = scene.now + std::chrono::hours(1); },
       [](Scene& scene) { scene.cpu().yield_until = scene.now; }},
  };
  for (const NeedRow& row : rows) {
    SCOPED_TRACE(row.name);
    Scene scene = armed_cpu();
    scene.grant_cpu(cpus(2000));
    scene.step();
    scene.run_until(scene.now + milliseconds(4900));
    row.begins(scene);
    for (int i = 0; i < 20; ++i) {
      scene.after(milliseconds(100));
      ASSERT_EQ(asked_cpu(scene.patch()), std::nullopt);
    }
    row.ends(scene);
    scene.run_until(scene.now + seconds(2));
    ASSERT_FALSE(scene.sent.empty());
    EXPECT_EQ(asked_cpu(&scene.sent.back()), cpus(2000)) << "then it is";
  }
}

TEST(ResizePlanCpu, AWaitingRequestLooksAgainAfterASecond) {
  Scene scene = armed_cpu();
  scene.set_usage(mib(100));
  scene.wish_cpu(cpus(2000));
  scene.step();
  EXPECT_TRUE(scene.sent.empty());
  EXPECT_EQ(scene.last.wake, scene.now + seconds(1));
}

TEST(ResizePlanCpu, MemoryDoesNotWaitForAStoredRequest) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.accept();
  ASSERT_TRUE(scene.state.cpu.unverified) << "not in force";
  scene.wish(mib(256));
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(256));
  EXPECT_EQ(asked_cpu(scene.patch()), std::nullopt);
}

TEST(ResizePlanCpu, ABridgeUnderARequestIsLookedAfter) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.grant(mib(256), mib(2000));
  scene.after(milliseconds(10));
  ASSERT_TRUE(scene.container().memory.lease);
  scene.store(kube::applied(scene.pod, scene.sent[0].resize.changes), true);
  EXPECT_EQ(scene.last.wake, scene.now + milliseconds(50)) << "without a word of the watch";
  scene.after(milliseconds(50));
  scene.file().limit = limit_of(mib(128));  // the kubelet carries out the CPU resize
  scene.after(milliseconds(50));
  ASSERT_NE(scene.action<RaiseLimit>(), nullptr);
  EXPECT_EQ(scene.action<RaiseLimit>()->limit, mib(256));
}

TEST(ResizePlanCpu, NoFailureMakesMemoryWait) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.time_out();
  EXPECT_EQ(scene.said(Kind::kUnavailable).size(), 1u);
  EXPECT_FALSE(scene.state.unanswered);
  scene.step();
  EXPECT_EQ(scene.sent.size(), 1u) << "it waits";
  scene.wish(mib(256));
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(256));
  carry_out(scene);
  scene.run_until(scene.now + seconds(31));
  ASSERT_EQ(scene.sent.size(), 3u);
  EXPECT_EQ(asked_cpu(&scene.sent[2]), cpus(2000)) << "absolute values: the same again";
}

TEST(ResizePlanCpu, NothingIsAskedWhileTheApiIsAway) {
  Scene scene = armed_cpu();
  scene.api.away = true;
  scene.api.may_ask = false;
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + std::chrono::minutes(5));
  EXPECT_TRUE(scene.sent.empty());
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuMost);
  scene.api.away = false;
  scene.api.may_ask = true;
  scene.step();
  EXPECT_EQ(asked_cpu(scene.patch()), cpus(2000));
}

}  // namespace
}  // namespace plimsoll::agent::cpu_request_test
