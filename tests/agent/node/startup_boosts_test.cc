// SPDX-License-Identifier: Apache-2.0
//
// Start-up boosts of a node's pods over a tree of ordinary files and an engine of tier C: how much
// each gets, and from when to when.
#include "agent/node/startup_boosts.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "tests/support/cgroup_tree.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::startup_boosts_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr kube::ApiTime kWall{std::chrono::hours(24 * 365 * 50)};

class NodeStartupTest : public testing::Test {
 protected:
  NodeStartupTest() {
    config.tier = bpf::Tier::kC;
    auto started = Engine::start({config.policy, config.hold, config.tier});
    if (!started) throw std::runtime_error(started.error().message);
    engine = std::move(*started);
    engine->set_allocatable_cpu(MilliCpu{1000});
    startup = std::make_unique<NodeStartup>(*engine);
  }

  // A container of 100m that starts, with a probe, and its pod of the same name.
  NodePod& start(const std::string& name, MilliCpu request = {100}) {
    NodePod pod;
    pod.pod = resize_test::burstable_pod();
    pod.pod.id.uid = name;
    kube::Container& app = pod.pod.containers[0];
    app.has_probe = true;
    app.resources.requests.cpu = request;
    app.status = kube::ContainerStatus{.started_at = kWall};
    run(pod, name, request);
    return pods.insert_or_assign(name, std::move(pod)).first->second;
  }
  // Its container gets a cgroup.
  void run(NodePod& pod, const std::string& cgroup, MilliCpu request = {100}) {
    tree.add(cgroup, {{"cpu.max", "10000 100000\n"}});
    const auto slot = engine->track(tree.group(cgroup),
                                    {.bounds = {.floor = {kMiB}, .ceiling = {kMiB}},
                                     .cpu = CpuSpec{.bounds = {.floor = {100}, .ceiling = {100}}}});
    if (!slot) throw std::runtime_error(slot.error().message);
    pod.containers.clear();
    pod.containers.push_back({.subject = {.uid = pod.pod.id.uid, .container = "app"},
                              .policy = {.name = "app",
                                         .cpu = ContainerCpuPolicy{.floor = {100},
                                                                   .ceiling = {100},
                                                                   .promised = request,
                                                                   .boost = {1000},
                                                                   .boost_for = minutes(2)}},
                              .cgroup = {.id = tree.group(cgroup).id()},
                              .group = tree.group(cgroup),
                              .slot = *slot,
                              .cpu = GivenCpu{}});
    engine->tick(now);
  }
  // One that is not ours.
  void other(const std::string& name, MilliCpu request,
             kube::PodPhase phase = kube::PodPhase::kRunning) {
    NodePod pod;
    pod.pod = resize_test::burstable_pod();
    pod.pod.phase = phase;
    pod.pod.containers[0].resources.requests.cpu = request;
    pods.insert_or_assign(name, std::move(pod));
  }
  std::vector<ContainerNote> follow(Nanoseconds later = {}) {
    now += later;
    startup->follow(pods, config.node.startup, kWall, now, false);
    return startup->take();
  }
  // Within ten seconds; the CPU thread writes it.
  bool comes_to(const std::string& cgroup, MilliCpu limit) {
    for (int i = 0; i < 1000; ++i) {
      const auto max = cgroup::parse_cpu_max(tree.get(cgroup, "cpu.max"));
      if (max && cgroup::cpus_of(*max) == limit) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }

  Config config;
  test::CgroupTree tree;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<NodeStartup> startup;
  std::map<std::string, NodePod> pods;
  MonotonicTime now{std::chrono::hours(1)};
};

TEST_F(NodeStartupTest, AContainerIsBoostedUntilItIsReady) {
  NodePod& web = start("web");
  auto notes = follow();
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0].what, kBoostBegins);
  EXPECT_TRUE(comes_to("web", {1000}));
  EXPECT_EQ(startup->stats().boosted, 1U);
  EXPECT_TRUE(follow(seconds(1)).empty());
  web.pod.containers[0].status->ready = true;
  notes = follow(milliseconds(100));
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0].what, kBoostEnded);
  EXPECT_EQ(notes[0].detail, "ready after 1.1 s");
  EXPECT_TRUE(comes_to("web", {100}));
  EXPECT_EQ(startup->stats().boosted, 0U);
  EXPECT_EQ(startup->stats().ended[static_cast<std::size_t>(StartupEnd::kReady)], 1U);
  web.pod.containers[0].status->ready = false;
  EXPECT_TRUE(follow(seconds(1)).empty()) << "once for each start";
}

// The node has one CPU. What others use of it now is of no matter.
TEST_F(NodeStartupTest, ItGetsWhatNobodyElseWasPromised) {
  start("web");
  other("db", {400});
  other("done", {500}, kube::PodPhase::kSucceeded);
  follow();
  EXPECT_TRUE(comes_to("web", {600}));
  EXPECT_EQ(startup->explain(pods.at("web").containers[0].slot), "starts, with up to 600m CPU");
}

TEST_F(NodeStartupTest, ManyThatStartAtOnceShareIt) {
  start("a");
  start("b", {200});
  follow();
  EXPECT_TRUE(comes_to("a", {800}));
  EXPECT_TRUE(comes_to("b", {900}));
}

TEST_F(NodeStartupTest, WhereAllIsPromisedNoneBegins) {
  start("web");
  other("db", {900});
  EXPECT_TRUE(follow().empty());
  pods.erase("db");
  EXPECT_EQ(follow(seconds(1)).size(), 1U) << "tried again";
  EXPECT_TRUE(comes_to("web", {1000}));
}

TEST_F(NodeStartupTest, OneThatRanBeforeWeCameIsAsOldAsTheKubeletSays) {
  start("web").pod.containers[0].status->started_at = kWall - minutes(3);
  EXPECT_TRUE(follow().empty());
  start("db").pod.containers[0].status->started_at = kWall - seconds(119);
  ASSERT_EQ(follow().size(), 1U);
  const auto notes = follow(seconds(2));
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_EQ(notes[0].detail, "time_is_up after 121.0 s");
}

TEST_F(NodeStartupTest, ARestartIsAnotherStart) {
  NodePod& web = start("web");
  follow();
  web.pod.containers[0].status->ready = true;
  follow(seconds(5));
  const Slot slot = web.containers[0].slot;
  engine->untrack(slot);
  for (int i = 0; i < 1000 && engine->status().slots_in_use > 0; ++i) {
    std::this_thread::sleep_for(milliseconds(10));
    engine->tick(now);
  }
  web.pod.containers[0].status = kube::ContainerStatus{.restart_count = 1};
  run(web, "web-again");
  ASSERT_EQ(web.containers[0].slot, slot);
  ASSERT_EQ(follow(seconds(1)).size(), 1U);
  EXPECT_TRUE(comes_to("web-again", {1000}));
}

TEST_F(NodeStartupTest, DryRunsAndThoseThatMayNotAreLeftAlone) {
  start("web").containers[0].policy.dry_run = true;
  start("db").containers[0].policy.cpu->boost = {100};
  EXPECT_TRUE(follow().empty());
  // What is not to be boosted any more goes back.
  start("app");
  ASSERT_EQ(follow().size(), 1U);
  ASSERT_TRUE(comes_to("app", {800}));
  pods.at("app").containers[0].policy.dry_run = true;
  follow(seconds(1));
  EXPECT_TRUE(comes_to("app", {100}));
}

}  // namespace
}  // namespace plimsoll::agent::startup_boosts_test
