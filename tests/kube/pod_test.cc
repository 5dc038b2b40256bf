// SPDX-License-Identifier: Apache-2.0
#include "kube/pod.h"

#include <gtest/gtest.h>

namespace plimsoll::kube::pod_test {
namespace {

Container requesting(MilliCpu cpu, ContainerKind kind) {
  return {.kind = kind, .resources = {.requests = {.cpu = cpu}}};
}

TEST(Pod, ItsCpuIsThatOfItsContainersAndSidecarsAndItsOverhead) {
  Pod pod;
  EXPECT_EQ(requested_cpu(pod), MilliCpu{});
  pod.containers = {requesting({100}, ContainerKind::kMain),
                    requesting({200}, ContainerKind::kMain),
                    requesting({30}, ContainerKind::kSidecar),
                    {.name = "requests nothing"}};
  EXPECT_EQ(requested_cpu(pod), MilliCpu{330});
  pod.overhead.cpu = MilliCpu{4};
  EXPECT_EQ(requested_cpu(pod), MilliCpu{334});
  pod.phase = PodPhase::kFailed;
  EXPECT_EQ(requested_cpu(pod), MilliCpu{});
}

// They run one after the other, and before the others.
TEST(Pod, InitContainersCountWhereOneRequestsMoreThanAllOthers) {
  Pod pod;
  pod.containers = {
      requesting({300}, ContainerKind::kMain), requesting({30}, ContainerKind::kSidecar),
      requesting({200}, ContainerKind::kInit), requesting({250}, ContainerKind::kInit)};
  EXPECT_EQ(requested_cpu(pod), MilliCpu{330});
  pod.containers.back().resources.requests.cpu = MilliCpu{500};
  EXPECT_EQ(requested_cpu(pod), MilliCpu{530});
}

TEST(Pod, WhatItRequestsAsAWholeCountsInstead) {
  Pod pod;
  pod.containers = {requesting({300}, ContainerKind::kMain)};
  pod.resources = Resources{.requests = {.cpu = MilliCpu{1000}}};
  pod.overhead.cpu = MilliCpu{4};
  EXPECT_EQ(requested_cpu(pod), MilliCpu{1004});
}

}  // namespace
}  // namespace plimsoll::kube::pod_test
