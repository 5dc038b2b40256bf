// SPDX-License-Identifier: Apache-2.0
// Whose sizes are learned together, and what becomes of announcements where no command can be seen.
// With programs: tests/vm/agent_announce.sh.
#include "agent/node/announced_work.h"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

#include "tests/support/cgroup_tree.h"
#include "tests/support/in_memory.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::announced_work_test {
namespace {

kube::Pod pod_of(std::optional<kube::Owner> owner, kube::TextMap labels = {}) {
  kube::Pod pod;
  pod.id = {.uid = "u", .namespace_name = "dev", .name = "web-5d8f-x2x2x"};
  pod.owner = std::move(owner);
  pod.labels = std::move(labels);
  return pod;
}

TEST(Workload, IsTheControllersWhateverItsPodsAreCalled) {
  const kube::TextMap hash{{"pod-template-hash", "5d8f"}};
  EXPECT_EQ(workload_of(pod_of(kube::Owner{"ReplicaSet", "web-5d8f"}, hash), "app"),
            "dev/ReplicaSet/web/app");
  EXPECT_EQ(workload_of(pod_of(kube::Owner{"ReplicaSet", "web-5d8f"}), "app"),
            "dev/ReplicaSet/web-5d8f/app");
  EXPECT_EQ(workload_of(pod_of(kube::Owner{"StatefulSet", "web-5d8f"}, hash), "app"),
            "dev/StatefulSet/web-5d8f/app");
  EXPECT_EQ(workload_of(pod_of(kube::Owner{"Job", "nightly-29123456"}), "app"),
            "dev/Job/nightly/app");
  EXPECT_EQ(workload_of(pod_of(kube::Owner{"Job", "build-7"}), "app"), "dev/Job/build-7/app");
  EXPECT_EQ(workload_of(pod_of(kube::Owner{"Job", "29123456"}), "app"), "dev/Job/29123456/app");
  EXPECT_EQ(workload_of(pod_of(kube::Owner{"Job", "v29123456"}), "app"), "dev/Job/v29123456/app");
  EXPECT_EQ(workload_of(pod_of(std::nullopt), "app"), "dev/Pod/web-5d8f-x2x2x/app");
}

class TierC : public test::InMemory, public testing::Test {
 protected:
  TierC() {
    Config config;
    config.tier = bpf::Tier::kC;
    auto started = Engine::start({config.policy, config.hold, config.tier});
    if (!started) throw std::runtime_error(started.error().message);
    engine = std::move(*started);
    announce = std::make_unique<NodeAnnounce>(*engine, LearnedSizes{});
  }
  // "app" in `slot` with the cgroup of `name`.
  void add(Slot slot, const std::string& name, std::vector<AnnouncedCommand> commands) {
    tree.add(name, {{"memory.max", "max\n"}});
    auto group = root.open_group(name);
    if (!group) throw std::runtime_error(group.error().message);
    NodeContainer container{.subject = {.name_space = "dev", .pod = name, .container = "app"},
                            .cgroup = {.id = group->id(), .path = name},
                            .group = std::move(*group),
                            .slot = slot};
    container.policy.name = "app";
    container.policy.announce = std::move(commands);
    NodePod& pod = pods[name];
    pod.pod = pod_of(std::nullopt);
    pod.containers.clear();
    pod.containers.push_back(std::move(container));
  }
  std::vector<ContainerNote> follow() {
    announce->follow(pods, resize_test::kStart);
    return announce->take();
  }

  test::CgroupTree tree;
  cgroup::Root root = tree.root();
  std::unique_ptr<Engine> engine;
  std::map<std::string, NodePod> pods;
  std::unique_ptr<NodeAnnounce> announce;
};

TEST_F(TierC, NothingIsAnnouncedAndNothingIsWrong) {
  add(1, "one", {});
  EXPECT_TRUE(follow().empty());
  EXPECT_EQ(announce->trouble(), "");
  EXPECT_EQ(announce->fd(), -1);
}

// Each container is told once, in words, and again when it announces something else.
TEST_F(TierC, WhatCannotBeSeenIsSaidOnce) {
  add(1, "one", {{"make", {}}});
  add(2, "two", {{"make", {}}});
  const auto notes = follow();
  ASSERT_EQ(notes.size(), 2u);
  EXPECT_EQ(notes[0].what, "command_unseen");
  EXPECT_EQ(notes[0].subject.pod, "one");
  EXPECT_EQ(notes[0].detail, "tier C uses no BPF");
  EXPECT_EQ(announce->trouble(), "tier C uses no BPF");
  EXPECT_TRUE(follow().empty());
  EXPECT_EQ(announce->stats().failures, 2u);
  EXPECT_EQ(announce->stats().containers, 0u);

  add(2, "two", {{"ninja", {}}});
  EXPECT_EQ(follow().size(), 1u);
  // Another cgroup in the same slot.
  pods.erase("one");
  add(1, "three", {{"make", {}}});
  EXPECT_EQ(follow().size(), 1u);
  EXPECT_TRUE(follow().empty());
}

}  // namespace
}  // namespace plimsoll::agent::announced_work_test
