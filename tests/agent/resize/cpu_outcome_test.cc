// SPDX-License-Identifier: Apache-2.0
//
// Refusals of CPU limits by the API server, and what the kubelet makes of what was accepted.
#include <gtest/gtest.h>

#include <string>

#include "agent/resize/plan.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::cpu_outcome_test {
namespace {

using resize_test::armed_cpu;
using resize_test::asked;
using resize_test::asked_cpu;
using resize_test::burstable_pod;
using resize_test::carry_out;
using resize_test::cpu_quota;
using resize_test::cpus;
using resize_test::guaranteed_pod;
using resize_test::kCpuFloor;
using resize_test::kCpuMost;
using resize_test::mib;
using resize_test::milliseconds;
using resize_test::own_limits;
using resize_test::Scene;
using resize_test::seconds;
using Kind = ResizeEvent::Kind;

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
                      kube::Cause::kRbac, kCpuFloor},
           RefusalRow{"admission webhook \"cap.example.com\" denied the request: too much",
                      kube::Cause::kAdmission, kCpuFloor},
       }) {
    SCOPED_TRACE(row.message);
    Scene scene = armed_cpu();
    scene.grant_cpu(cpus(2000));
    scene.step();
    scene.run_until(scene.now + seconds(5));
    ASSERT_EQ(asked_cpu(scene.patch()), cpus(2000));
    const MonotonicTime refused = scene.now;
    scene.refuse(row.message);
    ASSERT_EQ(scene.said(Kind::kRefused).size(), 1u);
    EXPECT_EQ(scene.said(Kind::kRefused)[0].cause, kube::to_string(row.cause));
    EXPECT_EQ(scene.said(Kind::kRefused)[0].change,
              (LimitChange{CpuChange{kCpuFloor, cpus(2000)}}));
    EXPECT_EQ(scene.cpu_bounds().direct_ceiling, row.allowed);
    EXPECT_EQ(scene.cpu_bounds().ceiling, kCpuMost);
    if (row.allowed > kCpuFloor) {
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
    EXPECT_EQ(scene.cpu_bounds().direct_ceiling, cpus(2500)) << "what is stored";
    ASSERT_TRUE(scene.state.preflight) << "how far it may go is asked anew";
    scene.accept();
    EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuMost) << "the refusal has passed";
  }
}

// A webhook may cut down what it is asked for, and say nothing.
TEST(ResizePlanCpu, WhatIsStoredAsLessIsNotAskedForOverAndOver) {
  Scene scene = armed_cpu();
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
  Scene scene = armed_cpu();
  scene.config.fallback.on_refusal = true;
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(5));
  scene.refuse(cpu_quota("2", "2"));
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuMost);
}

TEST(ResizePlanCpu, AGuaranteedPodIsNotAskedFor) {
  Scene scene(guaranteed_pod());
  scene.allow_cpu(kCpuMost);
  scene.step();
  scene.accept();
  EXPECT_EQ(scene.preflights.size(), 1u) << "its QoS class would change";
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuFloor) << "nobody has allowed more";
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
  scene.allow_cpu(kCpuMost);
  scene.step();
  scene.accept();
  EXPECT_EQ(scene.preflights.size(), 1u) << "no dry run, either";
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuFloor);

  Scene blind(pod);
  blind.config.preflight = false;
  blind.allow_cpu(kCpuMost);
  blind.step();
  blind.wish_cpu(cpus(2000));
  blind.step();
  EXPECT_TRUE(blind.sent.empty()) << "above the pod's limit";
  EXPECT_TRUE(blind.forgets_cpu_wish());
  ASSERT_EQ(blind.said(Kind::kRefused).size(), 1u);
  EXPECT_EQ(blind.said(Kind::kRefused)[0].cause, "above_pod");
}

TEST(ResizePlanCpu, AServerThatCannotResizeIsAskedAgainLater) {
  Scene scene = armed_cpu();
  scene.grant_cpu(cpus(2000));
  scene.wish_cpu(cpus(3000));
  scene.step();
  scene.refuse(kube::Refusal{.code = Code::kUnsupported,
                             .cause = kube::Cause::kNodeFeature,
                             .message = "requires features"});
  ASSERT_TRUE(scene.state.unsupported);
  EXPECT_EQ(scene.state.unsupported->cause, kube::Cause::kNodeFeature);
  EXPECT_TRUE(scene.forgets_cpu_wish());
  EXPECT_EQ(scene.cpu_bounds().direct_ceiling, kCpuMost) << "as was allowed before";
  scene.run_until(scene.now + seconds(1));
  EXPECT_EQ(scene.sent.size(), 1u);
  scene.run_until(scene.now + seconds(5));
  EXPECT_EQ(scene.sent.size(), 2u);
}

// ---- the kubelet

TEST(ResizePlanCpu, WhatTheKubeletSaysIsToldOf) {
  Scene scene = armed_cpu();
  scene.grant_cpu(cpus(2000));
  scene.step();
  scene.run_until(scene.now + seconds(5));
  scene.accept();
  ASSERT_EQ(scene.said(Kind::kAccepted).size(), 1u);
  EXPECT_EQ(scene.said(Kind::kAccepted)[0].change, (LimitChange{CpuChange{kCpuFloor, cpus(2000)}}));
  EXPECT_EQ(scene.said(Kind::kAccepted)[0].status, 200);
  scene.after(milliseconds(300));
  EXPECT_TRUE(scene.said(Kind::kApplied).empty());
  scene.actuate();
  scene.after(milliseconds(300));
  ASSERT_EQ(scene.said(Kind::kApplied).size(), 1u);
  const ResizeEvent applied = scene.said(Kind::kApplied)[0];
  EXPECT_EQ(applied.change, (LimitChange{CpuChange{kCpuFloor, cpus(2000)}}));
  EXPECT_TRUE(applied.bridged) << "it had been written before";
  EXPECT_EQ(applied.patch_to_limit, std::nullopt) << "that is measured of memory";
  EXPECT_EQ(applied.reason, Reason::kThrottled);
  for (const ResizeAnswer& each : scene.answers) EXPECT_TRUE(is_cpu(each.answer.change));
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
                    kCpuFloor},
           StuckRow{"deferred for another reason",
                    {.pending = Condition{.reason = "Deferred", .message = "DiskPressure"}},
                    seconds(30),
                    cpus(2000)},
           StuckRow{"infeasible",
                    {.pending = Condition{.reason = "Infeasible", .message = "no"}},
                    {},
                    kCpuFloor},
           StuckRow{"failing",
                    {.in_progress = Condition{.reason = "Error", .message = "runtime"}},
                    seconds(30),
                    cpus(2000)},
       }) {
    SCOPED_TRACE(row.name);
    Scene scene = armed_cpu();
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
    EXPECT_EQ(asked_cpu(&scene.sent[1]), kCpuFloor) << "what status.resources says";
    EXPECT_TRUE(scene.state.in_flight->withdraws);
    scene.accept();
    EXPECT_EQ(scene.cpu_bounds().direct_ceiling, row.direct_ceiling);
    scene.actuate();
    scene.after(milliseconds(500));
    EXPECT_EQ(scene.said(Kind::kWithdrawn).size(), 1u);
    EXPECT_TRUE(scene.said(Kind::kApplied).empty());
    EXPECT_EQ(scene.cpu().spec, kCpuFloor);
    EXPECT_FALSE(scene.state.cpu.unverified);
  }
}

TEST(ResizePlanCpu, ATakingBackThatIsRefusedIsNotRepeatedAtOnce) {
  Scene scene = armed_cpu();
  scene.wish_cpu(cpus(2000));
  scene.step();
  scene.accept();
  scene.pod.observed_generation = scene.pod.generation;
  scene.pod.resize.pending = kube::ResizeCondition{.reason = "Infeasible", .message = "no"};
  scene.step();
  ASSERT_EQ(scene.sent.size(), 2u);
  scene.refuse("admission webhook \"cap.example.com\" denied the request");
  scene.run_until(scene.now + std::chrono::minutes(9));
  EXPECT_EQ(scene.sent.size(), 2u);
}

TEST(ResizePlanCpu, AStuckRequestDoesNotKeepTheSliceLow) {
  Scene scene = armed_cpu();
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
    own_limits(pod, burstable_pod(), ours ? "plimsoll" : "vpa", resize_test::kStart);
    pod.resize.pending = kube::ResizeCondition{.reason = "Infeasible", .message = "no"};
    Scene scene(pod);
    scene.policies[0].cpu = ContainerCpuPolicy{.floor = kCpuFloor, .ceiling = kCpuMost};
    scene.step();
    scene.step();
    const SendResize* withdrawal = scene.sent.empty() ? nullptr : &scene.sent[0];
    EXPECT_EQ(asked_cpu(withdrawal), ours ? std::optional(kCpuFloor) : std::nullopt);
  }
}

}  // namespace
}  // namespace plimsoll::agent::cpu_outcome_test
