// SPDX-License-Identifier: Apache-2.0
//
// CPU limits in the resize plan. Every container here declares 500m and requests 100m of CPU, and
// 128 MiB of memory of which half is in use: far from its limit.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent {
namespace {

using resize_test::asked;
using resize_test::asked_cpu;
using resize_test::burstable_pod;
using resize_test::container_of;
using resize_test::guaranteed_pod;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::refusal_of;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;

constexpr MilliCpu cpus(std::uint64_t thousandths) { return {thousandths}; }
constexpr MilliCpu kFloor = cpus(500);
constexpr MilliCpu kMost = cpus(4000);

// A scene whose dry runs, for memory and for CPU, were taken.
Scene armed(kube::Pod pod = burstable_pod()) {
  Scene scene(std::move(pod));
  for (const ContainerPolicy& each : scene.policies) scene.allow_cpu(kMost, each.name);
  scene.step();
  scene.accept();
  scene.accept();
  EXPECT_EQ(scene.preflights.size(), 2u);
  EXPECT_FALSE(scene.state.preflight);
  scene.answers.clear();
  return scene;
}

// The PATCH under way is taken, carried out, and seen to be.
void carry_out(Scene& scene) {
  ASSERT_TRUE(scene.state.in_flight);
  scene.accept();
  scene.actuate();
  scene.after(milliseconds(500));
}

kube::Refusal quota_refusal(const std::string& used, const std::string& limited) {
  return refusal_of(403, "pods \"web\" is forbidden: exceeded quota: rq, requested: limits.cpu=" +
                             std::string("3500m, used: limits.cpu=") + used +
                             ", limited: limits.cpu=" + limited);
}

// ---- bounds and preflight

struct BoundsRow {
  const char* name;
  void (*with)(Scene&);
  CpuBounds bounds;
};

TEST(ResizePlanCpu, BoundsByWhatMayBeWritten) {
  const CpuBounds none{
      .floor = kFloor, .ceiling = kMost, .direct_ceiling = kFloor, .direct_floor = kFloor};
  CpuBounds all = none;
  all.direct_ceiling = kMost;
  const std::vector<BoundsRow> rows{
      {"the answer is on its way", [](Scene&) {}, none},
      {"nobody is asked", [](Scene& scene) { scene.config.preflight = false; }, all},
      {"files only", [](Scene& scene) { scene.policies[0].actuation = Actuation::kCgroup; }, all},
      {"never written", [](Scene& scene) { scene.policies[0].actuation = Actuation::kResize; },
       none},
      {"dry run", [](Scene& scene) { scene.policies[0].dry_run = true; }, none},
      {"the API is away, and was never asked", [](Scene& scene) { scene.api.away = true; }, all},
      {"a resize would restart it",
       [](Scene& scene) {
         scene.pod.containers[0].cpu_resize = kube::ResizePolicy::kRestartContainer;
       },
       all},
      {"it ends", [](Scene& scene) { scene.pod.deleted_at = kube::ApiTime{}; }, none},
  };
  for (const BoundsRow& row : rows) {
    SCOPED_TRACE(row.name);
    Scene scene;
    scene.allow_cpu(kMost);
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
  scene.allow_cpu(kMost);
  scene.policies[0].actuation = Actuation::kResize;
  scene.step();
  scene.wish_cpu(cpus(2000));
  scene.step();
  ASSERT_EQ(asked_cpu(scene.patch()), cpus(2000));
  carry_out(scene);
  EXPECT_EQ(scene.cpu_bounds().direct_floor, cpus(2000));
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kFloor);
}

TEST(ResizePlanCpu, WithoutAPolicyTheLimitIsLeftAlone) {
  Scene scene = armed();
  scene.policies[0].cpu.reset();
  scene.step();
  ASSERT_NE(scene.set_cpu_bounds(), nullptr);
  EXPECT_EQ(*scene.set_cpu_bounds(), (CpuBounds{kFloor, kFloor, kFloor, kFloor}));
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
  scene.allow_cpu(kMost);
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 1u);
  EXPECT_EQ(asked(&scene.preflights[0]), mib(1024));
  EXPECT_EQ(asked_cpu(&scene.preflights[0]), std::nullopt) << "a refusal is about one resource";
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked_cpu(&scene.preflights[1]), kMost);
  EXPECT_EQ(asked(&scene.preflights[1]), std::nullopt);
  EXPECT_FALSE(scene.preflights[1].resize.changes[0].requests.cpu);
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kFloor);
  scene.accept();
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost);
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
  scene.allow_cpu(cpus(1000)).boost = kMost;
  scene.step();
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 2u);
  EXPECT_EQ(asked_cpu(&scene.preflights[1]), kMost) << "the boost is the most";
  scene.accept();
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost);
}

// It will be written as soon as there is an answer, and needs no request then.
TEST(ResizePlanCpu, NoWishIsAskedForWhileTheAnswerIsOnItsWay) {
  Scene scene;
  scene.allow_cpu(kMost);
  scene.wish_cpu(kMost);
  scene.step();
  EXPECT_EQ(scene.patch(), nullptr);
  EXPECT_TRUE(scene.forgets_cpu_wish());
  scene.accept();
  scene.wish_cpu(kMost);  // said before it was told what the answer is
  scene.accept();
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost);
  EXPECT_TRUE(scene.sent.empty());
  scene.wish_cpu(kMost);
  scene.step();
  EXPECT_EQ(asked_cpu(scene.patch()), kMost) << "what is not written all the same is asked for";
}

TEST(ResizePlanCpu, ANewMostIsAskedForAgain) {
  Scene scene = armed();
  scene.policies[0].cpu->ceiling = cpus(6000);
  scene.step();
  ASSERT_EQ(scene.preflights.size(), 3u);
  EXPECT_EQ(asked_cpu(&scene.preflights[2]), cpus(6000));
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost) << "until it is answered";
  scene.policies[0].cpu->ceiling = cpus(8000);
  scene.accept();
  ASSERT_EQ(scene.preflights.size(), 4u) << "the answer was about less";
  EXPECT_EQ(asked_cpu(&scene.preflights[3]), cpus(8000));
  scene.refuse(
      refusal_of(403,
                 "pods \"web\" is forbidden: maximum cpu usage per Container is 7, but limit "
                 "is 8"));
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
    scene.allow_cpu(kMost);
    scene.step();
    scene.accept();
    scene.refuse(refusal_of(403, is_forbidden + row.message));
    ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
    EXPECT_EQ(scene.said(Kind::kRefused)[0].cpu, (CpuAnswer{kFloor, kMost}));
    if (row.again == MilliCpu{}) {
      EXPECT_EQ(scene.preflights.size(), 2u);
      EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kFloor);
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
  scene.allow_cpu(kMost);
  scene.step();
  scene.accept();
  scene.refuse(quota_refusal("2", "2"));
  EXPECT_EQ(scene.preflights.size(), 2u) << "no room";
  scene.run_until(scene.now + std::chrono::hours(1));
  EXPECT_EQ(scene.preflights.size(), 2u) << "nobody needs any";
  scene.wish_cpu(cpus(1000));
  scene.step();
  EXPECT_EQ(asked_cpu(scene.patch()), cpus(1000)) << "somebody waits: the backoff has passed";
  scene.refuse(quota_refusal("2", "2"));
  EXPECT_TRUE(scene.forgets_cpu_wish());
  ASSERT_EQ(scene.preflights.size(), 3u);
  scene.refuse(quota_refusal("2", "2"));
  scene.wish_cpu(cpus(1000));
  scene.after(seconds(45));
  EXPECT_EQ(scene.preflights.size(), 3u) << "the second time it waits twice as long";
}

// ---- the spec follows the level

TEST(ResizePlanCpu, ABurstCostsTwoRequestsAndAShortOneNone) {
  Scene scene = armed();
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(4));
  scene.shrink_cpu(kFloor);
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
  scene.shrink_cpu(kFloor);
  scene.step();
  scene.run_until(scene.now + milliseconds(2900));
  EXPECT_EQ(scene.sent.size(), 1u);
  scene.run_until(scene.now + milliseconds(100));
  ASSERT_EQ(scene.sent.size(), 2u) << "below the spec for five seconds";
  EXPECT_EQ(asked_cpu(&scene.sent[1]), kFloor);
  carry_out(scene);
  scene.run_until(scene.now + std::chrono::minutes(10));
  EXPECT_EQ(scene.sent.size(), 2u);
  EXPECT_EQ(scene.state.cpu_unverified, std::nullopt);
}

TEST(ResizePlanCpu, OnTheOtherSideTheTimeBeginsAnew) {
  Scene scene = armed();
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
  Scene scene = armed();
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
  Scene scene = armed();
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
  Scene scene = armed();
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
  Scene scene = armed();
  scene.wish_cpu(cpus(9000));
  scene.step();
  EXPECT_EQ(asked_cpu(scene.patch()), kMost);
  carry_out(scene);
  scene.shrink_cpu(cpus(100));
  scene.step();
  scene.run_until(scene.now + seconds(6));
  EXPECT_EQ(asked_cpu(&scene.sent.back()), kFloor);
}

TEST(ResizePlanCpu, WhatEndsByItselfIsNotAskedFor) {
  Scene scene = armed();
  scene.policies[0].cpu->boost = kMost;
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

  Scene short_one = armed();
  short_one.grant_cpu(cpus(3000), Reason::kStarting);
  short_one.step();
  short_one.run_until(short_one.now + seconds(60));
  short_one.shrink_cpu(kFloor, Reason::kStarted);
  short_one.step();
  short_one.run_until(short_one.now + seconds(60));
  EXPECT_TRUE(short_one.sent.empty());
  EXPECT_FALSE(short_one.cpu().leased());
}

TEST(ResizePlanCpu, AStartThatWasWishedForEndsAtOnce) {
  for (const bool writes : {false, true}) {
    SCOPED_TRACE(writes);
    Scene scene = armed();
    if (!writes) scene.policies[0].actuation = Actuation::kResize;
    scene.wish_cpu(cpus(3000), Reason::kStarting);
    scene.step();
    ASSERT_EQ(asked_cpu(scene.patch()), cpus(3000)) << "somebody waits";
    carry_out(scene);
    if (writes) {
      scene.shrink_cpu(kFloor, Reason::kStarted);
    } else {
      scene.wish_cpu(kFloor, Reason::kStarted);
    }
    scene.step();
    EXPECT_EQ(asked_cpu(scene.patch()), kFloor);
  }
}

TEST(ResizePlanCpu, ContainersThatAreDueTogetherGoInOnePatchRaisesFirst) {
  kube::Pod pod = burstable_pod();
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  pod.containers.push_back(container_of("log", mib(32), mib(64)));
  Scene scene = armed(pod);
  scene.wish_cpu(cpus(2000), Reason::kThrottled, "log");
  scene.step();
  carry_out(scene);
  scene.grant_cpu(cpus(1000), Reason::kThrottled, "app");
  scene.grant_cpu(cpus(900), Reason::kThrottled, "side");
  scene.shrink_cpu(kFloor, Reason::kLeaseEnded, "log");
  scene.step();
  scene.run_until(scene.now + seconds(5));
  ASSERT_EQ(scene.sent.size(), 2u);
  EXPECT_EQ(asked_cpu(&scene.sent[1], "app"), cpus(1000));
  EXPECT_EQ(asked_cpu(&scene.sent[1], "side"), cpus(900));
  EXPECT_EQ(asked_cpu(&scene.sent[1], "log"), std::nullopt) << "a refusal says what was too much";
  carry_out(scene);
  ASSERT_EQ(scene.sent.size(), 3u);
  EXPECT_EQ(asked_cpu(&scene.sent[2], "log"), kFloor);
}

TEST(ResizePlanCpu, ARestartedContainerHasNoLevelAnyMore) {
  Scene scene = armed();
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
  Scene scene = armed();
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
         scene.container().want.reset();
         scene.container().refused = Refused<Bytes>{
             .value = mib(256), .allowed = mib(256), .retry_at = MonotonicTime::max()};
       },
       [](Scene& scene) { scene.container().lease.reset(); }},
      {"near its limit", [](Scene& scene) { scene.set_usage(mib(100)); },
       [](Scene& scene) { scene.set_usage(mib(60)); }},
      {"not known", [](Scene& scene) { scene.files.containers[0].container_id = "other"; },
       [](Scene& scene) {
         scene.files.containers[0].container_id = scene.pod.containers[0].status->id;
       }},
      {"left to another actor",
       [](Scene& scene) { scene.state.yield_until = scene.now + std::chrono::hours(1); },
       [](Scene& scene) { scene.state.yield_until = scene.now; }},
  };
  for (const NeedRow& row : rows) {
    SCOPED_TRACE(row.name);
    Scene scene = armed();
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
  Scene scene = armed();
  scene.set_usage(mib(100));
  scene.wish_cpu(cpus(2000));
  scene.step();
  EXPECT_TRUE(scene.sent.empty());
  EXPECT_EQ(scene.last.wake, scene.now + seconds(1));
}

TEST(ResizePlanCpu, MemoryDoesNotWaitForAStoredRequest) {
  Scene scene = armed();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.accept();
  ASSERT_TRUE(scene.state.cpu_unverified) << "not in force";
  scene.wish(mib(256));
  scene.step();
  EXPECT_EQ(asked(scene.patch()), mib(256));
  EXPECT_EQ(asked_cpu(scene.patch()), std::nullopt);
}

TEST(ResizePlanCpu, ABridgeUnderARequestIsLookedAfter) {
  Scene scene = armed();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.grant(mib(256), mib(2000));
  scene.after(milliseconds(10));
  ASSERT_TRUE(scene.container().lease);
  scene.store(kube::applied(scene.pod, scene.sent[0].resize.changes), true);
  EXPECT_EQ(scene.last.wake, scene.now + milliseconds(50)) << "without a word of the watch";
  scene.after(milliseconds(50));
  scene.file().limit = limit_of(mib(128));  // the kubelet carries out the CPU resize
  scene.after(milliseconds(50));
  ASSERT_NE(scene.action<RaiseLimit>(), nullptr);
  EXPECT_EQ(scene.action<RaiseLimit>()->limit, mib(256));
}

TEST(ResizePlanCpu, NoFailureMakesMemoryWait) {
  Scene scene = armed();
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
  Scene scene = armed();
  scene.api.away = true;
  scene.api.may_ask = false;
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + std::chrono::minutes(5));
  EXPECT_TRUE(scene.sent.empty());
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost);
  scene.api.away = false;
  scene.api.may_ask = true;
  scene.step();
  EXPECT_EQ(asked_cpu(scene.patch()), cpus(2000));
}

// ---- refusals

struct RefusalRow {
  const char* message;
  kube::Cause cause;
  MilliCpu allowed;
};

TEST(ResizePlanCpu, RefusalsAreRespected) {
  for (const RefusalRow& row : {
           RefusalRow{"pods \"web\" is forbidden: exceeded quota: rq, requested: limits.cpu=1500m, "
                      "used: limits.cpu=3, limited: limits.cpu=3300m",
                      kube::Cause::kQuota, cpus(800)},
           RefusalRow{"pods \"web\" is forbidden: maximum cpu usage per Container is 1, but limit "
                      "is 2",
                      kube::Cause::kLimitRange, cpus(1000)},
           RefusalRow{"pods \"web\" is forbidden: User \"u\" cannot patch resource \"pods/resize\" "
                      "in API group \"\" in the namespace \"demo\"",
                      kube::Cause::kRbac, kFloor},
           RefusalRow{"admission webhook \"cap.example.com\" denied the request: too much",
                      kube::Cause::kAdmission, kFloor},
       }) {
    SCOPED_TRACE(row.message);
    Scene scene = armed();
    scene.grant_cpu(cpus(2000));
    scene.step();
    scene.run_until(scene.now + seconds(5));
    ASSERT_EQ(asked_cpu(scene.patch()), cpus(2000));
    const MonotonicTime refused = scene.now;
    scene.refuse(refusal_of(403, row.message));
    ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
    EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, kube::to_string(row.cause));
    EXPECT_EQ(scene.said(Kind::kRefused)[0].cpu, (CpuAnswer{kFloor, cpus(2000)}));
    EXPECT_EQ(scene.cpu_bounds().direct_ceiling, row.allowed);
    EXPECT_EQ(scene.cpu_bounds().ceiling, kMost);
    if (row.allowed > kFloor) {
      EXPECT_EQ(asked_cpu(scene.patch()), row.allowed) << "the room is asked for";
      carry_out(scene);
    }
    scene.shrink_cpu(row.allowed);  // the engine has heard
    scene.step();
    const std::size_t before = scene.sent.size();
    scene.wish_cpu(cpus(2500));
    scene.step();
    EXPECT_TRUE(scene.forgets_cpu_wish());
    scene.run_until(refused + seconds(29));
    EXPECT_EQ(scene.sent.size(), before);
    scene.after(seconds(1));
    scene.wish_cpu(cpus(2500));
    scene.step();
    EXPECT_EQ(asked_cpu(scene.patch()), cpus(2500)) << "the backoff has passed";
    scene.accept();
    EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost) << "and so has the refusal";
  }
}

// A webhook may cut down what it is asked for, and say nothing.
TEST(ResizePlanCpu, WhatIsStoredAsLessIsNotAskedForOverAndOver) {
  Scene scene = armed();
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(5));
  kube::Pod reply = scene.pod;
  reply.containers[0].resources.limits.cpu = cpus(1000);
  scene.store(reply);
  EXPECT_EQ(scene.cpu().spec, cpus(1000));
  ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, "admission");
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, cpus(1000));
  scene.run_until(scene.now + std::chrono::minutes(9));
  EXPECT_EQ(scene.sent.size(), 1u);
}

TEST(ResizePlanCpu, OnRefusalTheOperatorMayWantTheWriteAllTheSame) {
  Scene scene = armed();
  scene.config.fallback.on_refusal = true;
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(5));
  scene.refuse(quota_refusal("2", "2"));
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost);
}

TEST(ResizePlanCpu, AGuaranteedPodIsNotAskedFor) {
  Scene scene(guaranteed_pod());
  scene.allow_cpu(kMost);
  scene.step();
  scene.accept();
  EXPECT_EQ(scene.preflights.size(), 1u) << "its QoS class would change";
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost);
  scene.grant_cpu(cpus(2000));
  scene.wish_cpu(cpus(3000));
  scene.step();
  EXPECT_TRUE(scene.forgets_cpu_wish()) << "nobody can give it";
  scene.run_until(scene.now + seconds(60));
  EXPECT_TRUE(scene.sent.empty());
}

TEST(ResizePlanCpu, WhatWouldBeRefusedIsNotAskedFor) {
  kube::Pod pod = burstable_pod();
  pod.resources.emplace();
  pod.resources->limits = {.memory = mib(2048), .cpu = cpus(1000)};
  Scene scene(pod);
  scene.allow_cpu(kMost);
  scene.step();
  scene.accept();
  EXPECT_EQ(scene.preflights.size(), 1u) << "no dry run, either";
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kFloor);

  Scene blind(pod);
  blind.config.preflight = false;
  blind.allow_cpu(kMost);
  blind.step();
  blind.wish_cpu(cpus(2000));
  blind.step();
  EXPECT_TRUE(blind.sent.empty()) << "above the pod's limit";
  EXPECT_TRUE(blind.forgets_cpu_wish());
  ASSERT_EQ(blind.said(Kind::kRefused).size(), 1u);
  EXPECT_EQ(blind.said(Kind::kRefused)[0].cause, "above_pod");
}

TEST(ResizePlanCpu, AServerThatCannotResizeIsNotAskedAgain) {
  Scene scene = armed();
  scene.grant_cpu(cpus(2000));
  scene.wish_cpu(cpus(3000));
  scene.step();
  scene.refuse(kube::Refusal{.code = Code::kUnsupported,
                             .cause = kube::Cause::kNodeFeature,
                             .message = "requires features"});
  EXPECT_EQ(scene.state.unsupported, kube::Cause::kNodeFeature);
  EXPECT_TRUE(scene.forgets_cpu_wish());
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kMost) << "written only, as memory is";
  scene.run_until(scene.now + seconds(60));
  EXPECT_EQ(scene.sent.size(), 1u);
}

// ---- the kubelet

TEST(ResizePlanCpu, WhatTheKubeletSaysIsToldOf) {
  Scene scene = armed();
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(5));
  scene.accept();
  ASSERT_EQ(scene.said(Kind::kAccepted).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kAccepted)[0].cpu, (CpuAnswer{kFloor, cpus(2000)}));
  EXPECT_EQ(scene.said(Kind::kAccepted)[0].status, 200);
  scene.after(milliseconds(300));
  EXPECT_TRUE(scene.said(Kind::kApplied).empty());
  scene.actuate();
  scene.after(milliseconds(300));
  ASSERT_EQ(scene.said(Kind::kApplied).size(), 1u);
  const ResizeEvent applied = scene.said(Kind::kApplied)[0];
  EXPECT_EQ(applied.cpu, (CpuAnswer{kFloor, cpus(2000)}));
  EXPECT_TRUE(applied.bridged) << "it had been written before";
  EXPECT_EQ(applied.patch_to_limit, std::nullopt) << "that is measured of memory";
  EXPECT_EQ(applied.reason, Reason::kThrottled);
  for (const ResizeAnswer& each : scene.answers) EXPECT_TRUE(each.answer.cpu);
}

struct StuckRow {
  const char* name;
  kube::ResizeStatus status;
  Nanoseconds after;
  MilliCpu direct_ceiling;
};

TEST(ResizePlanCpu, WhatTheKubeletDoesNotCarryOutIsTakenBack) {
  using Condition = kube::ResizeCondition;
  for (const StuckRow& row : {
           StuckRow{"deferred for lack of room",
                    {.pending = Condition{.reason = "Deferred",
                                .message = "Node didn't have enough resource: cpu"}},
                    seconds(30),
                    kFloor},
           StuckRow{"deferred for another reason",
                    {.pending = Condition{.reason = "Deferred", .message = "DiskPressure"}},
                    seconds(30),
                    cpus(2000)},
           StuckRow{"infeasible",
                    {.pending = Condition{.reason = "Infeasible", .message = "no"}},
                    {},
                    kFloor},
           StuckRow{"failing",
                    {.in_progress = Condition{.reason = "Error", .message = "runtime"}},
                    seconds(30),
                    cpus(2000)},
       }) {
    SCOPED_TRACE(row.name);
    Scene scene = armed();
    scene.grant_cpu(cpus(2000));
    scene.step();
    scene.run_until(scene.now + seconds(5));
    scene.accept();
    scene.pod.resize = row.status;
    scene.pod.observed_generation = scene.pod.generation;
    scene.after(milliseconds(100));
    if (row.after > Nanoseconds{}) {
      scene.run_until(scene.now + row.after - milliseconds(100));
      EXPECT_EQ(scene.sent.size(), 1u);
      scene.run_until(scene.now + milliseconds(100));
    }
    ASSERT_EQ(scene.sent.size(), 2u);
    EXPECT_EQ(asked_cpu(&scene.sent[1]), kFloor) << "what status.resources says";
    EXPECT_TRUE(scene.state.in_flight->withdraws);
    scene.accept();
    EXPECT_EQ(scene.cpu_bounds().direct_ceiling, row.direct_ceiling);
    scene.actuate();
    scene.after(milliseconds(500));
    EXPECT_EQ(scene.said(Kind::kWithdrawn).size(), 1u);
    EXPECT_TRUE(scene.said(Kind::kApplied).empty());
    EXPECT_EQ(scene.cpu().spec, kFloor);
    EXPECT_FALSE(scene.state.cpu_unverified);
  }
}

TEST(ResizePlanCpu, ATakingBackThatIsRefusedIsNotRepeatedAtOnce) {
  Scene scene = armed();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = scene.pod.generation;
  scene.pod.resize.pending = kube::ResizeCondition{.reason = "Infeasible", .message = "no"};
  scene.step();
  ASSERT_EQ(scene.sent.size(), 2u);
  scene.refuse(refusal_of(403, "admission webhook \"cap.example.com\" denied the request"));
  scene.run_until(scene.now + std::chrono::minutes(9));
  EXPECT_EQ(scene.sent.size(), 2u);
}

TEST(ResizePlanCpu, AStuckRequestDoesNotKeepTheSliceLow) {
  Scene scene = armed();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = scene.pod.generation;
  scene.pod.resize.pending = kube::ResizeCondition{.reason = "Deferred", .message = "DiskPressure"};
  scene.files.slice->limit = limit_of(mib(100));
  scene.step();
  scene.after(milliseconds(1500));
  EXPECT_NE(scene.action<RepairSlice>(), nullptr);
}

TEST(ResizePlanCpu, ARequestOfTheAgentBeforeIsTakenOver) {
  for (const bool ours : {true, false}) {
    kube::Pod pod = burstable_pod();
    pod.containers[0].resources.limits.cpu = cpus(2000);
    resize_test::own_limits(pod, burstable_pod(), ours ? "plimsoll" : "vpa", resize_test::kStart);
    pod.resize.pending = kube::ResizeCondition{.reason = "Infeasible", .message = "no"};
    Scene scene(pod);
    scene.policies[0].cpu = ContainerCpuPolicy{.floor = kFloor, .ceiling = kMost};
    scene.step();
    scene.step();
    const SendResize* withdrawal = scene.sent.empty() ? nullptr : &scene.sent[0];
    EXPECT_EQ(asked_cpu(withdrawal), ours ? std::optional(kFloor) : std::nullopt);
  }
}

// ---- other actors

void resized_by_somebody(Scene& scene, MilliCpu limit) {
  const kube::Pod before = scene.pod;
  scene.pod.containers[0].resources.limits.cpu = limit;
  scene.pod.generation = *scene.pod.generation + 1;
  resize_test::own_limits(scene.pod, before, "vpa", scene.now);
}

// Of memory, which the reply to our CPU request shows first; and the other way round.
TEST(ResizePlanCpu, AResizeOfTheOtherResourceBeforeOursIsSomebodyElses) {
  Scene scene = armed();
  scene.wish_cpu(cpus(2000));
  scene.step();
  const kube::Pod before = scene.pod;
  scene.pod.containers[0].resources.limits.memory = mib(200);
  scene.pod.generation = *scene.pod.generation + 1;
  resize_test::own_limits(scene.pod, before, "vpa", scene.now);
  scene.stored = std::exchange(scene.pod, before);
  scene.accept();
  scene.catch_up();
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[0].cpu, std::nullopt);
  EXPECT_EQ(scene.bounds().floor, mib(200));

  Scene cpu = armed();
  cpu.wish(mib(256));
  cpu.step();
  resized_by_somebody(cpu, cpus(1000));
  cpu.now += seconds(2);
  cpu.accept();
  cpu.after(milliseconds(100));
  ASSERT_EQ(cpu.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(cpu.said(Kind::kSteppedBack)[0].cpu, (CpuAnswer{kFloor, cpus(1000)}));
}

TEST(ResizePlanCpu, YieldsToSomebodyElsesResize) {
  Scene scene = armed();
  scene.grant_cpu(cpus(2000));
  scene.step();
  resized_by_somebody(scene, cpus(1000));
  scene.wish_cpu(cpus(3000));
  scene.after(seconds(1));
  ASSERT_EQ(scene.said(Kind::kSteppedBack).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kSteppedBack)[0].cpu, (CpuAnswer{kFloor, cpus(1000)}));
  EXPECT_EQ(scene.cpu_bounds(), (CpuBounds{cpus(1000), kMost, cpus(1000), cpus(1000)}));
  EXPECT_TRUE(scene.forgets_cpu_wish());
  EXPECT_EQ(scene.bounds().direct_ceiling, Bytes{}) << "the pod is theirs";
  scene.run_until(scene.now + std::chrono::minutes(29));
  EXPECT_TRUE(scene.sent.empty());
  scene.after(std::chrono::minutes(2));
  scene.accept();  // the dry runs
  scene.wish_cpu(cpus(3000));
  scene.step();
  EXPECT_EQ(asked_cpu(&scene.sent.back()), cpus(3000));
}

TEST(ResizePlanCpu, SharesWithSomebodyElse) {
  Scene scene = armed();
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
  scene.shrink_cpu(kFloor);
  scene.step();
  scene.run_until(scene.now + seconds(6));
  EXPECT_EQ(asked_cpu(&scene.sent.back()), cpus(1000)) << "not below theirs";
}

TEST(ResizePlanCpu, TheValueThatWeAskForMayBeSomebodyElses) {
  Scene scene = armed();
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
  EXPECT_EQ(scene.state.yield_until, MonotonicTime{});
}

TEST(ResizePlanCpu, AnUnknownOutcomeThatTheWatchShowsWasOurs) {
  Scene scene = armed();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.time_out();
  scene.pod.containers[0].resources.limits.cpu = cpus(2000);
  scene.pod.generation = 2;
  scene.after(milliseconds(10));
  EXPECT_TRUE(scene.said(Kind::kSteppedBack).empty());
  EXPECT_TRUE(scene.state.cpu_unverified) << "as if it had been answered";
  scene.actuate();
  scene.run_until(scene.now + seconds(60));
  EXPECT_EQ(scene.sent.size(), 1u) << "nothing is left to ask";
}

}  // namespace
}  // namespace plimsoll::agent
