// SPDX-License-Identifier: Apache-2.0
#include "agent/state/declared_limits.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "agent/resize/state.h"
#include "agent/state/state_file.h"
#include "tests/kube/scratch_directory.h"
#include "tests/support/floors.h"
#include "tests/support/in_memory.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::declared_limits_test {
namespace {

using test::find_cpu_floor;
using test::find_floor;

using resize_test::burstable_pod;
using resize_test::container_of;
using resize_test::kStart;
using resize_test::mib;

const std::string kUid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";

// With the CPU limit that all of them have.
DeclaredLimit with_memory(std::uint64_t count) {
  return {.memory = mib(count), .cpu = MilliCpu{500}};
}

// "app" was declared with 128 MiB and raised to 512 by us, "side" was not touched.
kube::Pod raised_pod() {
  kube::Pod pod = burstable_pod();
  pod.id.uid = kUid;
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  pod.containers[0].resources.limits.memory = mib(512);
  pod.resized_by = {{.manager = kFieldManager, .at = kube::ApiTime(std::chrono::hours(1))}};
  return pod;
}

void resized_by_another(kube::Pod& pod) {
  pod.resized_by.push_back({.manager = "kubectl", .at = kube::ApiTime(std::chrono::hours(2))});
}

PodState record() {
  return {.uid = kUid,
          .name_space = "demo",
          .name = "web",
          .containers = {floor_record("app", HiddenMemory{mib(128), mib(512)})}};
}

TEST(Floors, WithoutARecordTheSpecIsTheDeclaration) {
  const DeclaredLimits declared = declared_limits(raised_pod(), nullptr);
  EXPECT_EQ(declared, (DeclaredLimits{{"app", with_memory(512)}, {"side", with_memory(64)}}));
}

TEST(Floors, WhatWePutIntoTheSpecIsNotDeclared) {
  const PodState kept = record();
  const DeclaredLimits as_declared{{"app", with_memory(128)}, {"side", with_memory(64)}};
  EXPECT_EQ(declared_limits(raised_pod(), &kept), as_declared);
  // A later PATCH of ours, which the record had not heard of.
  kube::Pod later = raised_pod();
  later.containers[0].resources.limits.memory = mib(768);
  EXPECT_EQ(declared_limits(later, &kept), as_declared);
  // One that went below what was declared, as an annotation may allow.
  later.containers[0].resources.limits.memory = mib(96);
  EXPECT_EQ(declared_limits(later, &kept), as_declared);
  // Before 1.32 nothing says who it was.
  later.resized_by.clear();
  EXPECT_EQ(declared_limits(later, &kept), as_declared);
}

TEST(Floors, WhatAPersonSetAfterUsIsTheNewFloor) {
  const PodState kept = record();
  kube::Pod pod = raised_pod();
  resized_by_another(pod);
  pod.containers[0].resources.limits.memory = mib(300);
  EXPECT_EQ(declared_limits(pod, &kept).at("app").memory, mib(300));
  pod.containers[0].resources.limits.memory = mib(2000);
  EXPECT_EQ(declared_limits(pod, &kept).at("app").memory, mib(2000));
}

// A VerticalPodAutoscaler that changed the CPU, or the other container.
TEST(Floors, AResizeThatIsNotAboutTheLimitLeavesTheFloor) {
  const PodState kept = record();
  kube::Pod pod = raised_pod();
  resized_by_another(pod);
  pod.containers[1].resources.limits.memory = mib(80);
  EXPECT_EQ(declared_limits(pod, &kept),
            (DeclaredLimits{{"app", with_memory(128)}, {"side", with_memory(80)}}));
}

TEST(Floors, ContainersThatDeclareNoLimitHaveNoFloor) {
  PodState kept = record();
  kept.containers.push_back(floor_record("side", HiddenMemory{mib(1), mib(2)}));
  kept.containers.push_back(floor_record("gone", HiddenMemory{mib(1), mib(2)}));
  kube::Pod pod = raised_pod();
  pod.containers[1].resources.limits = {};
  EXPECT_EQ(declared_limits(pod, &kept), (DeclaredLimits{{"app", with_memory(128)}}));
}

// As raised_pod(), and its CPUs from 500m to 2.
kube::Pod cpu_raised_pod() {
  kube::Pod pod = raised_pod();
  pod.containers[0].resources.limits.cpu = MilliCpu{2000};
  return pod;
}

TEST(Floors, ACpuLimitOfOursIsNotDeclaredEither) {
  const kube::Pod pod = cpu_raised_pod();
  EXPECT_EQ(declared_limits(pod, nullptr).at("app").cpu, MilliCpu{2000});
  PodState kept = record();
  EXPECT_EQ(declared_limits(pod, &kept).at("app").cpu, MilliCpu{2000}) << "of memory only";
  const HiddenCpu cpu{MilliCpu{500}, MilliCpu{2000}};
  kept.containers = {floor_record("app", HiddenMemory{mib(128), mib(512)}, cpu)};
  EXPECT_EQ(declared_limits(pod, &kept).at("app"),
            (DeclaredLimit{.memory = mib(128), .cpu = MilliCpu{500}}));
  kept.containers = {floor_record("app", {}, cpu)};
  EXPECT_EQ(declared_limits(pod, &kept).at("app"),
            (DeclaredLimit{.memory = mib(512), .cpu = MilliCpu{500}}));
  kube::Pod none = pod;
  none.containers[0].resources.limits.cpu.reset();
  EXPECT_EQ(declared_limits(none, &kept).at("app").cpu, std::nullopt);
}

// Somebody else's resize is about the number that is not the one that we last knew.
TEST(Floors, WhatAPersonSetIsTheNewFloorOfThatResourceOnly) {
  PodState kept = record();
  kept.containers = {floor_record("app", HiddenMemory{mib(128), mib(512)},
                                  HiddenCpu{MilliCpu{500}, MilliCpu{2000}})};
  kube::Pod pod = cpu_raised_pod();
  pod.containers[0].resources.limits.cpu = MilliCpu{1500};
  EXPECT_EQ(declared_limits(pod, &kept).at("app").cpu, MilliCpu{500}) << "a later one of ours";
  resized_by_another(pod);
  EXPECT_EQ(declared_limits(pod, &kept).at("app"),
            (DeclaredLimit{.memory = mib(128), .cpu = MilliCpu{1500}}));
  pod.containers[0].resources.limits.cpu = MilliCpu{2000};
  pod.containers[0].resources.limits.memory = mib(300);
  EXPECT_EQ(declared_limits(pod, &kept).at("app"),
            (DeclaredLimit{.memory = mib(300), .cpu = MilliCpu{500}}));
}

// The newest entry is another's, and about the CPU: the memory is still from here, which the record
// had not heard of.
TEST(Floors, WhoOwnsALimitHasSetIt) {
  PodState kept = record();
  kept.containers = {floor_record("app", HiddenMemory{mib(128), mib(512)},
                                  HiddenCpu{MilliCpu{500}, MilliCpu{2000}})};
  kube::Pod pod = cpu_raised_pod();
  resized_by_another(pod);
  pod.containers[0].resources.limits = {.memory = mib(768), .cpu = MilliCpu{1500}};
  pod.resized_by[0].memory_limits = {"app"};
  pod.resized_by[1].cpu_limits = {"app"};
  EXPECT_EQ(declared_limits(pod, &kept).at("app"),
            (DeclaredLimit{.memory = mib(128), .cpu = MilliCpu{1500}}));
  std::swap(pod.resized_by[0].memory_limits, pod.resized_by[1].memory_limits);
  EXPECT_EQ(declared_limits(pod, &kept).at("app").memory, mib(768));
}

TEST(Floors, PoliciesSeeWhatWasDeclared) {
  const DeclaredLimits declared{{"app", {.memory = mib(128), .cpu = MilliCpu{500}}}};
  const PodFacts facts = facts_of(cpu_raised_pod(), declared);
  ASSERT_EQ(facts.containers.size(), 2U);
  EXPECT_EQ(facts.containers[0].memory_limit, mib(128));
  EXPECT_EQ(facts.containers[0].cpu_limit, MilliCpu{500});
  EXPECT_EQ(facts.containers[1].memory_limit, mib(64)) << "its spec";
}

// A StatefulSet's next pod has the name and not the uid.
TEST(Floors, APodIsFoundByItsUid) {
  const NodeState state{.pods = {record()}};
  kube::Pod pod = raised_pod();
  EXPECT_EQ(find_pod(state, pod), &state.pods[0]);
  pod.id.uid = "ffffffff-4b5a-6978-8796-a5b4c3d2e1f0";
  EXPECT_EQ(find_pod(state, pod), nullptr);
}

class FloorsFileTest : public test::InMemory, public testing::Test {
 protected:
  StateFile open() const {
    auto file = StateFile::open(path, "", kFloorsCoalesce);
    if (!file) throw std::runtime_error(file.error().message);
    return std::move(*file);
  }
  kube::ScratchDirectory scratch;
  const std::string path = scratch / "lib" / "floors";
};

// A new floor, or another one, is written at once; what became of the spec, and of pods that are
// gone, within half a minute.
TEST_F(FloorsFileTest, OnlyAFloorIsInAHurry) {
  StateFile file = open();
  NodeState state{.pods = {record()}};
  EXPECT_TRUE(file.update(state, kStart).value());
  state.pods[0].containers[0].limit.confirmed = limit_of(mib(768));
  EXPECT_FALSE(file.update(state, kStart + std::chrono::seconds(29)).value());
  EXPECT_TRUE(file.update(state, kStart + std::chrono::seconds(30)).value());
  state.pods[0].containers.push_back(floor_record("side", HiddenMemory{mib(64), mib(128)}));
  EXPECT_TRUE(file.update(state, kStart + std::chrono::seconds(31)).value());
  state.pods[0].containers[1].limit.first_seen = limit_of(mib(65));
  EXPECT_TRUE(file.update(state, kStart + std::chrono::seconds(32)).value());
  state.pods.clear();
  EXPECT_FALSE(file.update(state, kStart + std::chrono::seconds(33)).value());
  EXPECT_EQ(read_state(path, "").state.pods.size(), 1U);
  EXPECT_TRUE(file.update(state, kStart + std::chrono::seconds(62)).value());
  EXPECT_TRUE(read_state(path, "").state.pods.empty());
}

TEST_F(FloorsFileTest, ACpuFloorIsInAHurryToo) {
  StateFile file = open();
  NodeState state{.pods = {record()}};
  ASSERT_TRUE(file.update(state, kStart).value());
  LimitState& limit = state.pods[0].containers[0].limit;
  limit.cpu = floor_record("app", {}, HiddenCpu{MilliCpu{500}, MilliCpu{900}}).limit.cpu;
  EXPECT_TRUE(file.update(state, kStart + std::chrono::seconds(1)).value());
  limit.cpu->confirmed = MilliCpu{1200};
  EXPECT_FALSE(file.update(state, kStart + std::chrono::seconds(2)).value());
  limit.cpu->first_seen = MilliCpu{400};
  EXPECT_TRUE(file.update(state, kStart + std::chrono::seconds(3)).value());
  EXPECT_EQ(find_cpu_floor(read_state(path, "").state, kUid, "app"), MilliCpu{400});
  EXPECT_EQ(find_floor(read_state(path, "").state, kUid, "app"), limit_of(mib(128)));
}

TEST_F(FloorsFileTest, ADamagedFileIsSaidAndTheOneBeforeIsUsed) {
  {
    StateFile file = open();
    NodeState state{.pods = {record()}};
    ASSERT_TRUE(file.flush(state, kStart));
    state.pods[0].containers[0].limit.confirmed = limit_of(mib(768));
    ASSERT_TRUE(file.flush(state, kStart));
  }
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  StateFile file = open();
  EXPECT_EQ(file.found().complaints.size(), 1U);
  EXPECT_EQ(find_floor(file.found().state, kUid, "app"), limit_of(mib(128)));
  EXPECT_EQ(declared_limits(raised_pod(), find_pod(file.found().state, raised_pod())).at("app"),
            with_memory(128));
  // Made whole again with the first save, though nothing is new.
  EXPECT_TRUE(file.update(file.found().state, kStart).value());
  EXPECT_TRUE(read_state(path, "").complaints.empty());
}

}  // namespace
}  // namespace plimsoll::agent::declared_limits_test
