// SPDX-License-Identifier: Apache-2.0
//
// The pods of a node over a cgroup tree of ordinary files and an engine of tier C: which cgroups
// are tracked, within which bounds, and what must be on disk before anything is raised.
#include "agent/node/node_pods.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>

#include "agent/node/container_specs.h"
#include "agent/node/pod_state.h"
#include "agent/state/state_file.h"
#include "tests/kube/scratch_directory.h"
#include "tests/support/cgroup_tree.h"
#include "tests/support/floors.h"
#include "tests/support/in_memory.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::node_pods_test {
namespace {

using resize_test::burstable_pod;
using resize_test::container_of;
using resize_test::kStart;
using resize_test::mib;
using resize_test::Scene;
using test::find_cpu_floor;
using test::find_floor;

const std::string kUid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const std::string kTop = "kubepods.slice/kubepods-burstable.slice";
const std::string kSlice =
    kTop + "/kubepods-burstable-pod0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0.slice";

std::string id_of(char digit) { return std::string(64, digit); }
std::string scope_of(char digit) { return kSlice + "/cri-containerd-" + id_of(digit) + ".scope"; }
std::string text(Bytes bytes) { return std::to_string(bytes.value) + "\n"; }

// "app" with a limit of 128 MiB, whose container has the id of `digit`.
kube::Pod app_pod(char digit = 'a') {
  kube::Pod pod = burstable_pod();
  pod.id.uid = kUid;
  pod.containers[0].status->id = "containerd://" + id_of(digit);
  return pod;
}

const Covers kAll{.memory = [](CgroupId, Limit) { return true; },
                  .cpu = [](CgroupId, MilliCpu) { return true; }};

Config all_pods() {
  Config config;
  config.tier = bpf::Tier::kC;
  config.node.pods.opt_in = false;
  config.node.pods.ceiling = 8;
  return config;
}

class NodePodsTest : public test::InMemory, public testing::Test {
 protected:
  NodePodsTest() { start(); }

  // An agent begins, with what the one before it has left in the files.
  void start() {
    pods.reset();
    state_file.reset();
    floors_file.reset();
    auto started = Engine::start({config.policy, config.hold, config.tier});
    if (!started) throw std::runtime_error(started.error().message);
    engine = std::move(*started);
    auto found = PodCgroups::open(root);
    if (!found) throw std::runtime_error(found.error().message);
    cgroups = std::make_unique<PodCgroups>(std::move(*found));
    state_file = open(scratch / "run" / "state", boot);
    floors_file = open(scratch / "lib" / "floors", "");
    pods = std::make_unique<NodePods>(root, *engine, *cgroups, state_file->found().state,
                                      floors_file->found().state);
  }
  static std::unique_ptr<StateFile> open(const std::string& path, const std::string& boot_id) {
    auto file = StateFile::open(path, boot_id);
    if (!file) throw std::runtime_error(file.error().message);
    return std::make_unique<StateFile>(std::move(*file));
  }
  // The node comes back: every container in a new cgroup, with the limits that the API has.
  void reboot(const kube::Pod& pod, char digit) {
    boot = "the next boot";
    tree.remove(kSlice);
    add_cgroups(pod.containers[0].resources.limits.memory.value(), digit);
    start();
  }

  void add_cgroups(Bytes limit, char digit = 'a') {
    tree.add(kSlice, {{"memory.max", text(limit)}});
    tree.add(scope_of(digit), {{"memory.max", text(limit)}});
    (void)cgroups->rescan();
    pods->set_stale();
  }
  NodePods::Changes present(kube::Pod pod) {
    pods->present(std::move(pod), config);
    return pods->reconcile(config, now);
  }
  void bridge();
  NodePod& web() { return *pods->find(kUid); }
  // The same pod in front of the plan; what the plan does is known to the node's pods.
  void follow(const Scene& scene) {
    if (pods->find(kUid) == nullptr) present(app_pod());
    web().resize = scene.state;
    present(scene.pod);
  }
  Result<bool> save() {
    return floors_file->update(pods->hidden_limits(), now += std::chrono::hours(1));
  }
  Covers what_is_on_disk() {
    return {.memory = [this](CgroupId id, Limit most) { return state_file->covers(id, most); },
            .cpu = [this](CgroupId id, MilliCpu most) { return state_file->covers_cpu(id, most); }};
  }
  bool give(const Covers& covers, Nanoseconds api_time, MonotonicTime at) {
    return give_bounds(pods->pods(), *engine, covers, api_time, at);
  }
  // One turn of the slow loop for that pod, a second after the one before.
  void turn(kube::Pod pod);
  bool kept() { return is_kept(web(), floors_file->saved()); }

  kube::ScratchDirectory scratch;
  test::CgroupTree tree{{"kubepods.slice", {{"memory.max", text(mib(8192))}}}, {kTop, {}}};
  cgroup::Root root = tree.root();
  Config config = all_pods();
  std::string boot = "a boot";
  std::unique_ptr<Engine> engine;
  std::unique_ptr<PodCgroups> cgroups;
  std::unique_ptr<StateFile> state_file;
  std::unique_ptr<StateFile> floors_file;
  std::unique_ptr<NodePods> pods;
  ApiStatus api = Scene().api;
  std::vector<SendResize> sent;  // by turn(), storing ones
  MonotonicTime now = kStart;
};

// Grown to 512 MiB through the API.
Scene raised(kube::Pod pod = app_pod()) {
  Scene scene(std::move(pod));
  scene.config.preflight = false;
  scene.step();
  scene.wish(mib(512));
  scene.step();
  return scene;
}

// ---- what is wrong with a pod's annotations

kube::Pod annotated_pod(const std::string& key) {
  kube::Pod pod = app_pod();
  pod.annotations["plimsoll.dev/" + key] = "x";
  return pod;
}

TEST_F(NodePodsTest, AProblemIsToldOnceForAsLongAsItStands) {
  EXPECT_EQ(present(annotated_pod("a")).problems.size(), 1U);
  kube::Pod same = annotated_pod("a");
  same.labels["x"] = "y";
  EXPECT_TRUE(present(same).problems.empty());
  same.annotations["plimsoll.dev/b"] = "x";
  EXPECT_EQ(present(same).problems.size(), 1U) << "only the new one";
  EXPECT_TRUE(present(app_pod()).problems.empty());
  EXPECT_EQ(present(annotated_pod("a")).problems.size(), 1U) << "it is back";
}

// Whoever may patch a pod may do so for as long as it lives.
TEST_F(NodePodsTest, ChangesOfAnnotationsWithoutEndCostNoMemory) {
  for (int i = 0; i < 20'000; ++i) present(annotated_pod("key-" + std::to_string(i)));
  EXPECT_LE(web().told.size(), kMostProblems);
}

// ---- cgroups that are not tracked

constexpr Bytes kBridged{300 * kMiB};

// With 300 MiB written to both files beside the API.
void NodePodsTest::bridge() {
  add_cgroups(mib(128));
  present(app_pod());
  web().containers[0].bounds.direct_ceiling = mib(512);
  ASSERT_TRUE(state_file->update(pods->state(), now).value());
  ASSERT_TRUE(give(what_is_on_disk(), {}, now));
  tree.set(kSlice, "memory.max", text(kBridged));
  tree.set(scope_of('a'), "memory.max", text(kBridged));
}

// Killed again before the API has told of any pod.
TEST_F(NodePodsTest, WhatWasRaisedIsKnownBeforeThePodsAre) {
  bridge();
  const NodeState before = pods->state();
  start();
  EXPECT_EQ(pods->state().pods, before.pods);
  EXPECT_FALSE(state_file->update(pods->state(), now).value());
  (void)pods->reconcile(config, now);
  EXPECT_EQ(pods->state().pods, before.pods) << "with the pods not listed yet";
  present(app_pod());
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_EQ(web().containers[0].first_limit, limit_of(mib(128)));
  EXPECT_EQ(pods->state().pods.size(), 1U);
}

// ---- containers that may not be raised any more, and have been

void NodePodsTest::turn(kube::Pod shown) {
  now += std::chrono::seconds(1);
  pods->present(std::move(shown), config);
  (void)pods->reconcile(config, now);
  NodePod& pod = web();
  ResizeFacts facts{.pod = &pod.pod, .policies = &pod.policy.containers, .api = api};
  facts.outcomes = std::exchange(pod.outcomes, {});
  if (!pod.containers.empty()) facts.reading = read_files(pod, now);
  ResizeStep step = agent::step(std::move(pod.resize), facts, now, {.node_name = "node-a"});
  pod.resize = std::move(step.state);
  for (const ResizeAction& each : step.actions) {
    const auto* set = std::get_if<SetBounds>(&each);
    NodeContainer* found = set == nullptr ? nullptr : pod.find(set->container);
    if (found == nullptr) continue;
    if (const auto* memory = std::get_if<EngineBounds<Bytes>>(&set->bounds)) {
      found->bounds = *memory;
    } else {
      found->set_cpu_bounds(std::get<EngineBounds<MilliCpu>>(set->bounds));
    }
  }
  if (pod.leaves() && bring_back(pod, *engine, now)) pods->set_stale();
  (void)state_file->update(pods->state(), now);
  (void)give(what_is_on_disk(), {}, now);
  for (const ResizeAction& each : step.actions) {
    if (const auto* lower = std::get_if<LowerLimit>(&each)) {
      (void)engine->lower(pod.find(lower->container)->slot, lower->limit, lower->reason);
    } else if (const auto* send = std::get_if<SendResize>(&each)) {
      if (!send->resize.dry_run) sent.push_back(*send);
    }
  }
  (void)pods->reconcile(config, now);
}

// Whatever the author or the operator says for it.
kube::Pod opted_out(kube::Pod pod = app_pod()) {
  pod.labels["plimsoll.dev/enabled"] = "false";
  return pod;
}

class NodePodsLeavingTest : public NodePodsTest {
 protected:
  void use(Bytes usage) {
    tree.set(kSlice, "memory.current", text(usage));
    tree.set(scope_of('a'), "memory.current", text(usage));
  }
  Bytes limit(const std::string& path = scope_of('a')) {
    return {std::stoull(tree.get(path, "memory.max"))};
  }
  // Nothing is tracked any more, and nothing written down.
  bool forgotten() { return web().containers.empty() && pods->state().pods.empty(); }
};

TEST_F(NodePodsLeavingTest, WhoOptsOutGivesBackWhatWasWrittenForIt) {
  bridge();
  use(mib(250));
  for (int i = 0; i < 5; ++i) turn(opted_out());
  EXPECT_LT(limit(), kBridged) << "as far as its usage allows";
  EXPECT_GT(limit(), mib(250));
  ASSERT_EQ(web().containers.size(), 1U) << "it is not let go with more than its spec";
  EXPECT_EQ(web().containers[0].given.spec->bounds.direct_ceiling, Bytes{});
  EXPECT_EQ(web().containers[0].given.spec->bounds.ceiling, mib(128));
  use(mib(50));
  for (int i = 0; i < 5; ++i) turn(opted_out());
  EXPECT_EQ(limit(), mib(128));
  EXPECT_EQ(limit(kSlice), mib(128));
  EXPECT_TRUE(forgotten());
  EXPECT_EQ(pods->slots().tracked(), 0U);
}

TEST_F(NodePodsLeavingTest, SoDoesAPodThatTheOperatorLeavesOut) {
  bridge();
  use(mib(50));
  config.node.pods.selector = Selector::parse("app=other").value();
  pods->reconfigure(config);
  for (int i = 0; i < 5; ++i) turn(app_pod());
  EXPECT_EQ(limit(), mib(128));
  EXPECT_EQ(limit(kSlice), mib(128));
  EXPECT_TRUE(forgotten());
}

TEST_F(NodePodsLeavingTest, SoDoesOneThatOnlyWantsToBeWatched) {
  bridge();
  use(mib(50));
  kube::Pod pod = app_pod();
  pod.annotations["plimsoll.dev/dry-run"] = "true";
  for (int i = 0; i < 5; ++i) turn(pod);
  EXPECT_EQ(limit(), mib(128));
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_TRUE(web().containers[0].policy.dry_run);
  EXPECT_FALSE(web().containers[0].policy.leaving);
}

TEST_F(NodePodsLeavingTest, TheNextAgentBringsBackWhatTheOneBeforeHadWritten) {
  bridge();
  use(mib(50));
  start();
  for (int i = 0; i < 5; ++i) turn(opted_out());
  EXPECT_EQ(limit(), mib(128));
  EXPECT_EQ(limit(kSlice), mib(128));
  EXPECT_TRUE(forgotten());
}

TEST_F(NodePodsLeavingTest, WhoeverChangesHisMindOverAndOverGainsNothing) {
  bridge();
  use(mib(250));
  const Slot slot = web().containers[0].slot;
  for (int i = 0; i < 4; ++i) turn(i % 2 == 0 ? opted_out() : app_pod());
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_EQ(web().containers[0].slot, slot) << "nothing is armed anew while it gives back";
  use(mib(50));
  for (int i = 0; i < 20; ++i) turn(i % 2 == 0 ? opted_out() : app_pod());
  EXPECT_EQ(limit(), mib(128));
  for (int i = 0; i < 5; ++i) turn(opted_out());
  EXPECT_TRUE(forgotten());
}

TEST_F(NodePodsLeavingTest, WhoWasNeverRaisedIsLetGo) {
  add_cgroups(mib(128));
  use(mib(120));
  turn(app_pod());
  ASSERT_EQ(web().containers.size(), 1U);
  for (int i = 0; i < 5; ++i) turn(opted_out());
  EXPECT_TRUE(forgotten());
  EXPECT_TRUE(sent.empty());
}

TEST_F(NodePodsLeavingTest, TheSpecGoesBackToWhatIsDeclared) {
  add_cgroups(mib(512));
  use(mib(300));
  Scene scene = raised();
  scene.accept();
  scene.actuate();
  follow(scene);
  ASSERT_EQ(web().declared.at("app").memory, mib(128));
  ASSERT_TRUE(save().value());
  kube::Pod pod = opted_out(scene.pod);
  for (int i = 0; i < 15; ++i) turn(pod);
  ASSERT_EQ(sent.size(), 1U) << "as far as its usage allows";
  EXPECT_LT(resize_test::asked(&sent[0]), mib(400));
  EXPECT_GT(resize_test::asked(&sent[0]), mib(300));

  // As the next agent finds it.
  use(mib(50));
  sent.clear();
  start();
  for (int i = 0; i < 15; ++i) turn(pod);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(resize_test::asked(&sent[0]), mib(128));
  EXPECT_FALSE(forgotten()) << "while the answer is not there";
  pod.containers[0].resources.limits.memory = mib(128);
  pod.containers[0].status->resources->limits.memory = mib(128);
  ++*pod.generation;
  pod.resource_version += "1";
  web().outcomes.push_back(
      {.id = sent[0].id, .status = 200, .pod = pod, .sent = now, .answered = now});
  tree.set(scope_of('a'), "memory.max", text(mib(128)));
  tree.set(kSlice, "memory.max", text(mib(128)));
  for (int i = 0; i < 5; ++i) turn(pod);
  EXPECT_EQ(sent.size(), 1U);
  EXPECT_TRUE(forgotten());
  EXPECT_TRUE(pods->hidden_limits().pods.empty());
}

TEST_F(NodePodsTest, AnUnchangedPodOfARelistIsNoNews) {
  add_cgroups(mib(128));
  present(app_pod());
  web().due = false;
  present(app_pod());
  EXPECT_FALSE(web().due);
  kube::Pod changed = app_pod();
  changed.resource_version += "1";
  present(changed);
  EXPECT_TRUE(web().due);
}

TEST_F(NodePodsTest, ARecordGoesWithItsCgroup) {
  bridge();
  start();
  tree.remove(kSlice);
  (void)cgroups->rescan();
  pods->set_stale();
  (void)pods->reconcile(config, now);
  EXPECT_TRUE(pods->state().pods.empty());
}

// ---- floors that outlive a boot

TEST_F(NodePodsTest, OfASpecThatIsAsDeclaredNothingIsKept) {
  add_cgroups(mib(128));
  present(app_pod());
  EXPECT_TRUE(pods->hidden_limits().pods.empty());
  EXPECT_TRUE(kept());
  EXPECT_FALSE(save().value()) << "no disk is written to";
}

TEST_F(NodePodsTest, TheFloorIsOnDiskBeforeTheSpecIsRaised) {
  add_cgroups(mib(128));
  Scene scene = raised();
  ASSERT_EQ(scene.sent.size(), 1U);
  follow(scene);
  EXPECT_FALSE(kept()) << "the PATCH has to wait";
  EXPECT_TRUE(save().value());
  EXPECT_TRUE(kept());
  EXPECT_EQ(find_floor(read_state(scratch / "lib" / "floors", "").state, kUid, "app"),
            limit_of(mib(128)));
  // The rest of the way costs no save that somebody waits for.
  scene.accept();
  follow(scene);
  EXPECT_TRUE(kept());
  scene.wish(mib(640));
  scene.step();
  ASSERT_EQ(scene.sent.size(), 2U);
  follow(scene);
  EXPECT_TRUE(kept());
}

TEST_F(NodePodsTest, TheFloorOfACpuLimitIsOnDiskBeforeTheSpecIsRaised) {
  add_cgroups(mib(128));
  kube::Pod pod = app_pod();
  pod.containers[0].resources.limits.cpu = MilliCpu{500};
  present(pod);
  EXPECT_TRUE(pods->hidden_limits().pods.empty());
  kube::ResizeChange change{.container = "app", .requests = {}, .limits = {}};
  change.limits.cpu = MilliCpu{2000};
  const kube::Resize resize{.pod = pod.id, .changes = {change}, .dry_run = false};
  web().resize.in_flight = ResizeInFlight{.id = 1, .resize = resize, .sent = now};
  EXPECT_EQ(find_cpu_floor(pods->hidden_limits(), kUid, "app"), MilliCpu{500});
  EXPECT_EQ(find_floor(pods->hidden_limits(), kUid, "app"), std::nullopt)
      << "its memory is as declared";
  EXPECT_FALSE(kept()) << "the PATCH has to wait";
  EXPECT_TRUE(save().value());
  EXPECT_TRUE(kept());

  // Without an answer, and stored while the watch has not told yet.
  web().resize.in_flight.reset();
  EXPECT_TRUE(pods->hidden_limits().pods.empty());
  web().resize.unknown = {change};
  EXPECT_EQ(find_cpu_floor(pods->hidden_limits(), kUid, "app"), MilliCpu{500});
  web().resize.unknown.clear();
  web().resize.cpu.unverified = ResizeUnverified{.changes = {change}, .visible = {}};
  EXPECT_EQ(find_cpu_floor(pods->hidden_limits(), kUid, "app"), MilliCpu{500});
  web().resize.cpu.unverified.reset();

  pod.containers[0].resources.limits.cpu = MilliCpu{2000};
  pod.resource_version += "1";
  present(pod);
  EXPECT_EQ(find_cpu_floor(pods->hidden_limits(), kUid, "app"), MilliCpu{500});
  EXPECT_EQ(web().declared.at("app").cpu, MilliCpu{500});
  start();
  present(pod);
  EXPECT_EQ(web().declared.at("app").cpu, MilliCpu{500}) << "the next agent knows";
}

TEST_F(NodePodsTest, AFloorThatCannotBeSavedHoldsThePatchBack) {
  add_cgroups(mib(128));
  follow(raised());
  const auto in_the_way = scratch / "lib" / "floors.new";
  std::filesystem::create_directory(in_the_way);
  EXPECT_FALSE(save());
  EXPECT_FALSE(kept());
  std::filesystem::remove(in_the_way);
  EXPECT_TRUE(save().value());
  EXPECT_TRUE(kept());
}

// Whether it was stored is not known, so that it may have been.
TEST_F(NodePodsTest, APatchWithoutAnAnswerIsKeptToo) {
  add_cgroups(mib(128));
  Scene scene = raised();
  scene.time_out();
  ASSERT_FALSE(scene.state.in_flight);
  follow(scene);
  EXPECT_EQ(find_floor(pods->hidden_limits(), kUid, "app"), limit_of(mib(128)));
}

TEST_F(NodePodsTest, AfterARebootTheFloorIsWhatWasDeclared) {
  add_cgroups(mib(128));
  Scene scene = raised();
  scene.accept();
  follow(scene);
  ASSERT_TRUE(save().value());
  ASSERT_TRUE(state_file->update(pods->state(), now).value());

  kube::Pod after = scene.pod;
  after.containers[0].status->id = "containerd://" + id_of('b');
  reboot(after, 'b');
  EXPECT_TRUE(state_file->found().state.pods.empty()) << "records of cgroups are of the boot";
  EXPECT_EQ(present(after).began.size(), 1U);
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_EQ(web().containers[0].policy.floor, mib(128));
  EXPECT_EQ(web().containers[0].policy.ceiling, mib(1024)) << "of what was declared";
  EXPECT_EQ(web().containers[0].first_limit, limit_of(mib(128)));
  EXPECT_EQ(web().slice->first_limit, limit_of(mib(128)));
  EXPECT_TRUE(give(kAll, {}, now));
  EXPECT_EQ(web().slice->given.spec->bounds.ceiling, mib(1024));
  // And so it stays, for as long as the spec is raised.
  EXPECT_EQ(find_floor(pods->hidden_limits(), kUid, "app"), limit_of(mib(128)));
  after.containers[0].resources.limits.memory = mib(128);
  present(after);
  EXPECT_TRUE(pods->hidden_limits().pods.empty());
}

// It is not known yet that a pod has gone before all have been seen.
TEST_F(NodePodsTest, ARecordStaysUntilThePodsOfTheNodeAreKnown) {
  add_cgroups(mib(128));
  follow(raised());
  ASSERT_TRUE(save().value());
  start();
  EXPECT_EQ(find_floor(pods->hidden_limits(), kUid, "app"), limit_of(mib(128)));
  EXPECT_FALSE(save().value()) << "it is there already";
  pods->forget_unseen();
  EXPECT_TRUE(pods->hidden_limits().pods.empty());
}

TEST_F(NodePodsTest, APodThatWasMadeAnewDeclaresItsOwnFloor) {
  add_cgroups(mib(128));
  follow(raised());
  ASSERT_TRUE(save().value());
  start();
  kube::Pod anew = app_pod();
  anew.id.uid = "ffffffff-4b5a-6978-8796-a5b4c3d2e1f0";
  anew.containers[0].resources.limits.memory = mib(512);
  present(anew);
  pods->forget_unseen();
  EXPECT_EQ(pods->find(anew.id.uid)->declared.at("app").memory, mib(512));
  EXPECT_TRUE(pods->hidden_limits().pods.empty());
}

TEST_F(NodePodsTest, APodThatHasGoneIsForgotten) {
  add_cgroups(mib(128));
  follow(raised());
  ASSERT_FALSE(pods->hidden_limits().pods.empty());
  (void)pods->gone(kUid);
  EXPECT_TRUE(pods->hidden_limits().pods.empty());
}

// In a crash loop, say: the file of the boot knows nothing of a pod without a cgroup.
TEST_F(NodePodsTest, ARaisedPodWithoutACgroupIsKept) {
  add_cgroups(mib(128));
  Scene scene = raised();
  scene.accept();
  follow(scene);
  ASSERT_TRUE(save().value());
  tree.remove(kSlice);
  start();
  present(scene.pod);
  pods->forget_unseen();
  EXPECT_TRUE(pods->state().pods.empty());
  EXPECT_EQ(find_floor(pods->hidden_limits(), kUid, "app"), limit_of(mib(128)));
}

TEST_F(NodePodsTest, APersonsLimitIsTheNewFloor) {
  add_cgroups(mib(128));
  Scene scene = raised();
  scene.accept();
  follow(scene);
  ASSERT_EQ(find_floor(pods->hidden_limits(), kUid, "app"), limit_of(mib(128)));
  scene.pod.containers[0].resources.limits.memory = mib(300);
  scene.pod.resized_by = {{.manager = "kubectl", .at = kube::ApiTime(std::chrono::hours(2))}};
  ++*scene.pod.generation;
  scene.after(std::chrono::milliseconds(100));
  follow(scene);
  EXPECT_TRUE(pods->hidden_limits().pods.empty()) << "the spec says it";
  EXPECT_EQ(scene.bounds().floor, mib(300));
  // When they have been left alone for long enough, and it grows again.
  scene.run_until(scene.now + std::chrono::minutes(31));
  EXPECT_EQ(scene.bounds().floor, mib(300));
  scene.wish(mib(400));
  scene.step();
  ASSERT_EQ(scene.sent.size(), 2U);
  follow(scene);
  EXPECT_EQ(find_floor(pods->hidden_limits(), kUid, "app"), limit_of(mib(300)));
}

// ... and its ceiling is a multiple of that.
TEST_F(NodePodsTest, CeilingsFollowWhatSomebodyElseHasSet) {
  add_cgroups(mib(128));
  for (const Bytes theirs : {mib(2048), mib(16)}) {
    Scene scene(app_pod());
    scene.step();
    follow(scene);
    resize_test::resizes(scene, "kubectl", theirs);
    scene.after(std::chrono::milliseconds(100));
    follow(scene);
    pods->redeclare(web(), config);
    EXPECT_EQ(web().declared["app"].memory, theirs);
    ASSERT_EQ(web().policy.containers.size(), 1U);
    EXPECT_EQ(web().policy.containers[0].ceiling, Bytes{theirs.value * 8});
    pods->reconcile(config, now);
    EXPECT_EQ(web().containers[0].first_limit, limit_of(theirs)) << "what is given back";
    pods->gone(kUid);
  }
}

// ---- namespaces

TEST_F(NodePodsTest, NamespacesThatHaveGoneCostNoBudgetGroups) {
  NamespaceBudgets budgets(*engine);
  for (int i = 0; i < 2000; ++i) {
    const std::string name = "preview-" + std::to_string(i);
    budgets.take(name, config);
    budgets.take(name, config);
    budgets.give_back(name);
    EXPECT_EQ(budgets.containers_of(name), 1U);
    budgets.give_back(name);
    EXPECT_EQ(budgets.containers_of(name), 0U);
  }
  const BudgetGroup one = budgets.take("team-b", config);
  const BudgetGroup other = budgets.take("team-c", config);
  EXPECT_NE(one, other);
  EXPECT_EQ(budgets.take("team-b", config), one);
}

// ---- who is tracked

TEST_F(NodePodsTest, AContainerIsTrackedBelowItsPod) {
  add_cgroups(mib(128));
  const NodePods::Changes changes = present(app_pod());
  ASSERT_EQ(changes.began.size(), 1U);
  EXPECT_EQ(changes.began[0].container, "app");
  EXPECT_EQ(pods->slots().tracked(), 2U);
  const NodeContainer& app = web().containers.at(0);
  ASSERT_NE(pods->slots().owner(app.slot), nullptr);
  EXPECT_EQ(pods->slots().owner(app.slot)->container, "app");
  EXPECT_EQ(app.given.spec->parent, web().slice->slot);
  EXPECT_EQ(pods->slots().owner(*web().slice->slot)->container, "");
  EXPECT_TRUE(web().slice->given.spec->parent) << "the limit of all pods together";
  EXPECT_TRUE(web().slice->given.spec->covers_children);
  EXPECT_TRUE(present(app_pod()).began.empty()) << "once";
}

// The plan takes a reading for that of a container only under the id that the API has for it.
TEST_F(NodePodsTest, AReadingIsOfTheContainerThatTheApiNames) {
  add_cgroups(mib(128));
  tree.set(kSlice, "memory.current", text(mib(20)));
  tree.set(scope_of('a'), "memory.current", text(mib(10)));
  present(app_pod());
  const PodReading reading = read_files(web(), now);
  ASSERT_EQ(reading.containers.size(), 1U);
  EXPECT_EQ(reading.containers[0].container_id, web().pod.containers[0].status->id);
  EXPECT_EQ(reading.containers[0].memory.usage, mib(10));
  ASSERT_TRUE(reading.slice);
  EXPECT_EQ(reading.slice->usage, mib(20));
}

TEST_F(NodePodsTest, APodWhoseCgroupVanishesIsNotTrackedAnyMore) {
  add_cgroups(mib(128));
  present(app_pod());
  const Slot slot = web().containers.at(0).slot;
  tree.remove(kSlice);
  (void)cgroups->rescan();
  pods->set_stale();
  const NodePods::Changes changes = pods->reconcile(config, now);
  EXPECT_EQ(changes.ended.size(), 1U);
  EXPECT_TRUE(changes.failed.empty());
  EXPECT_EQ(pods->slots().tracked(), 0U);
  EXPECT_EQ(pods->slots().owner(slot), nullptr);
  EXPECT_FALSE(web().slice);
  add_cgroups(mib(128));
  EXPECT_EQ(pods->reconcile(config, now).began.size(), 1U);
}

// Between the walk and the look: no failure to tell of, and nothing half tracked.
TEST_F(NodePodsTest, ACgroupThatVanishesMeanwhileIsNoFailure) {
  add_cgroups(mib(128));
  tree.remove(scope_of('a'));
  const NodePods::Changes changes = present(app_pod());
  EXPECT_TRUE(changes.began.empty());
  EXPECT_TRUE(changes.failed.empty());
  EXPECT_EQ(pods->slots().tracked(), 0U);
}

TEST_F(NodePodsTest, ARestartedContainerIsAnotherCgroup) {
  add_cgroups(mib(128));
  present(app_pod());
  tree.remove(scope_of('a'));
  tree.add(scope_of('b'), {{"memory.max", text(mib(128))}});
  (void)cgroups->rescan();
  const NodePods::Changes changes = present(app_pod('b'));
  EXPECT_EQ(changes.ended.size(), 1U);
  EXPECT_EQ(changes.began.size(), 1U);
  EXPECT_EQ(pods->slots().tracked(), 2U);
  EXPECT_EQ(web().containers.at(0).cgroup.path, scope_of('b'));
}

TEST_F(NodePodsTest, APodThatTheApiHasForgottenIsNotTracked) {
  add_cgroups(mib(128));
  present(app_pod());
  EXPECT_EQ(pods->gone(kUid).size(), 1U);
  EXPECT_EQ(pods->slots().tracked(), 0U);
  EXPECT_EQ(pods->find(kUid), nullptr);
  EXPECT_TRUE(pods->gone(kUid).empty()) << "twice does no harm";
  EXPECT_EQ(pods->state().pods.size(), 1U) << "for as long as its cgroup is there";
  tree.remove(kSlice);
  (void)cgroups->rescan();
  pods->set_stale();
  (void)pods->reconcile(config, now);
  EXPECT_TRUE(pods->state().pods.empty());
}

TEST_F(NodePodsTest, WhoOptsOutIsLeftAlone) {
  add_cgroups(mib(128));
  present(app_pod());
  config.node.pods.opt_in = true;
  pods->reconfigure(config);
  EXPECT_EQ(pods->reconcile(config, now).ended.size(), 1U);
  EXPECT_EQ(pods->slots().tracked(), 0U);
  EXPECT_EQ(pods->managed(), 0U);
}

// The engine has seen that a cgroup is gone, and we have not yet.
TEST_F(NodePodsTest, TheSlotOfAVanishedCgroupIsItsNextOwners) {
  kube::Pod other = app_pod('b');
  other.id.uid = "11111111-2222-3333-4444-555555555555";
  const std::string slice =
      kTop + "/kubepods-burstable-pod11111111_2222_3333_4444_555555555555.slice";
  tree.add(slice, {{"memory.max", text(mib(128))}});
  tree.add(slice + "/cri-containerd-" + id_of('b') + ".scope", {{"memory.max", text(mib(128))}});
  add_cgroups(mib(128));
  present(app_pod());
  const Slot freed = web().containers.at(0).slot;
  // A descriptor of an ordinary file would still be read.
  tree.set(kSlice, "memory.max", "");
  tree.set(scope_of('a'), "memory.max", "");
  tree.remove(kSlice);
  for (int i = 0; i < 400 && engine->status().slots_in_use > 1; ++i) {  // kubepods.slice stays
    (void)engine->tick(now += std::chrono::seconds(1));
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  ASSERT_EQ(engine->status().slots_in_use, 1U);

  const NodePods::Changes changes = present(other);
  ASSERT_EQ(changes.ended.size(), 1U) << "else its timeline would never end";
  EXPECT_EQ(changes.ended[0], (ContainerRef{"demo", "web", kUid, "app"}));
  EXPECT_EQ(changes.began.size(), 1U);
  NodePod& pod = *pods->find(other.id.uid);
  ASSERT_EQ(pod.containers.size(), 1U);
  const bool reused = pod.containers[0].slot == freed || pod.slice->slot == freed;
  ASSERT_TRUE(reused);
  (void)cgroups->rescan();
  pods->set_stale();
  (void)pods->reconcile(config, now);
  (void)engine->tick(now += std::chrono::seconds(1));
  EXPECT_TRUE(web().containers.empty());
  EXPECT_EQ(pods->slots().owner(pod.containers[0].slot)->uid, other.id.uid);
  EXPECT_TRUE(engine->update(pod.containers[0].slot, *pod.containers[0].given.spec));
  EXPECT_TRUE(engine->update(*pod.slice->slot, *pod.slice->given.spec));
}

// ---- within which bounds

TEST_F(NodePodsTest, NothingIsWrittenDirectlyBeforeItsRecordIsOnDisk) {
  add_cgroups(mib(128));
  present(app_pod());
  web().containers[0].bounds.direct_ceiling = mib(512);
  const Covers covers = what_is_on_disk();
  EXPECT_FALSE(give(covers, {}, now));
  EXPECT_EQ(web().containers[0].given.spec->bounds.direct_ceiling, Bytes{});
  EXPECT_EQ(web().slice->given.spec->bounds.direct_ceiling, Bytes{});
  ASSERT_TRUE(state_file->update(pods->state(), kStart).value());
  EXPECT_TRUE(give(covers, {}, now));
  EXPECT_EQ(web().containers[0].given.spec->bounds.direct_ceiling, mib(512));
  EXPECT_EQ(web().slice->given.spec->bounds.direct_ceiling, mib(512));
  web().containers[0].bounds.direct_ceiling = mib(600);
  EXPECT_FALSE(give(covers, {}, now)) << "higher than what is written down";
  EXPECT_EQ(web().containers[0].given.spec->bounds.direct_ceiling, Bytes{});
}

// An agent that is started anew may not write yet, or less than the one before it: what stands
// there is still explained by the record, and is once more when it was seen to be lower.
TEST_F(NodePodsTest, ARaisedLimitStaysExplainedUntilItIsSeenToBeLower) {
  add_cgroups(mib(128));
  present(app_pod());
  const auto recorded = [this] {
    const NodeState state = pods->state();
    return std::pair(state.pods.at(0).containers.at(0).limit.direct_ceiling,
                     state.pods.at(0).slice->direct_ceiling);
  };
  const std::pair high(limit_of(mib(512)), limit_of(mib(512)));
  const std::pair low(limit_of(mib(128)), limit_of(mib(128)));
  web().containers[0].bounds.direct_ceiling = mib(512);
  EXPECT_TRUE(give(kAll, {}, now));
  web().containers[0].bounds.direct_ceiling = mib(128);
  EXPECT_TRUE(give(kAll, {}, now));
  tree.set(kSlice, "memory.max", text(mib(300)));
  tree.set(scope_of('a'), "memory.max", text(mib(300)));
  now += std::chrono::seconds(5);
  (void)read_files(web(), now);
  EXPECT_EQ(recorded(), high) << "it stands above";
  ASSERT_TRUE(state_file->update(pods->state(), now).value());

  start();
  present(app_pod());
  EXPECT_EQ(recorded(), high) << "for the next agent, too";
  web().containers[0].bounds.direct_ceiling = mib(128);
  EXPECT_TRUE(give(kAll, {}, now));
  EXPECT_EQ(recorded(), high);
  tree.set(kSlice, "memory.max", text(mib(128)));
  tree.set(scope_of('a'), "memory.max", text(mib(128)));
  (void)read_files(web(), now);
  EXPECT_EQ(recorded(), high) << "a write may be under way";
  (void)read_files(web(), now + std::chrono::seconds(5));
  EXPECT_EQ(recorded(), low);
}

TEST_F(NodePodsTest, ASliceMayGrowAsFarAsItsContainersTogether) {
  kube::Pod pod = app_pod();
  pod.containers.push_back(container_of("side", mib(32), mib(64)));
  pod.containers[1].status->id = "containerd://" + id_of('c');
  tree.add(kSlice, {{"memory.max", text(mib(192))}});
  tree.add(scope_of('a'), {{"memory.max", text(mib(128))}});
  tree.add(scope_of('c'), {{"memory.max", text(mib(64))}});
  (void)cgroups->rescan();
  EXPECT_EQ(present(pod).began.size(), 2U);
  web().find("app")->bounds.direct_ceiling = mib(256);
  EXPECT_TRUE(give(kAll, {}, now));
  EXPECT_EQ(web().slice->given.spec->bounds.floor, mib(192));
  EXPECT_EQ(web().slice->given.spec->bounds.ceiling, mib(192 * 8));
  EXPECT_EQ(web().slice->given.spec->bounds.direct_ceiling, mib(256 + 64));
  EXPECT_EQ(web().slice->given.spec->bounds.direct_floor, mib(192))
      << "what the kubelet would write";
  // A floor that somebody else has moved changes nothing in how far the slice may go.
  web().find("app")->bounds.floor = mib(512);
  EXPECT_TRUE(give(kAll, {}, now));
  EXPECT_EQ(web().slice->given.spec->bounds.ceiling, mib(192 * 8));
}

TEST_F(NodePodsTest, AGrantLastsForAtLeastAnAnswerOfTheApi) {
  add_cgroups(mib(128));
  present(app_pod());
  const Nanoseconds usual = web().containers[0].policy.look_ahead;
  EXPECT_TRUE(give(kAll, usual / 2, now));
  EXPECT_EQ(web().containers[0].given.spec->look_ahead, usual);
  EXPECT_TRUE(give(kAll, usual * 3, now));
  EXPECT_EQ(web().containers[0].given.spec->look_ahead, usual * 3);
}

// ---- CPU limits

// The same with a limit of 300m, of which 100m are requested.
kube::Pod cpu_pod() {
  kube::Pod pod = app_pod();
  pod.containers[0].resources.limits.cpu = MilliCpu{300};
  pod.containers[0].resources.requests.cpu = MilliCpu{100};
  return pod;
}

// ... of which nobody has told an id yet.
kube::Pod created_pod() {
  kube::Pod pod = cpu_pod();
  pod.containers[0].status.reset();
  return pod;
}

class NodePodsCpuTest : public NodePodsTest {
 protected:
  void add_cpu_cgroups(char digit = 'a', const std::string& max = "30000 100000\n") {
    tree.add(kSlice, {{"memory.max", text(mib(128))}, {"cpu.max", max}});
    tree.add(scope_of(digit), {{"memory.max", text(mib(128))}, {"cpu.max", max}});
    (void)cgroups->rescan();
    pods->set_stale();
  }
  std::optional<CpuSpec> given() { return web().containers.at(0).given.spec->cpu; }
};

TEST_F(NodePodsCpuTest, AreKeptWithinTheBoundsOfThePlan) {
  add_cpu_cgroups();
  present(cpu_pod());
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_EQ(given(), (CpuSpec{.bounds = {.floor = {300},
                                         .ceiling = {1200},
                                         .direct_ceiling = MilliCpu{},
                                         .direct_floor = MilliCpu{300}},
                              .promised = {100},
                              .may_burst = false}))
      << "others may want a quota below any burst";
  web().containers[0].set_cpu_bounds(
      {.floor = {300}, .ceiling = {3000}, .direct_ceiling = {2000}, .direct_floor = {300}});
  EXPECT_FALSE(give(what_is_on_disk(), {}, now)) << "nothing is written down yet";
  EXPECT_EQ(given()->bounds.direct_ceiling, MilliCpu{});
  ASSERT_TRUE(state_file->update(pods->state(), now).value());
  EXPECT_TRUE(give(what_is_on_disk(), {}, now));
  EXPECT_EQ(given()->bounds.direct_ceiling, MilliCpu{2000});
  EXPECT_EQ(given()->bounds.ceiling, MilliCpu{1200}) << "a throttle gets no more than that";
  const auto& slice = web().slice->given.spec->cpu;
  ASSERT_TRUE(slice);
  EXPECT_EQ(slice->bounds.floor, MilliCpu{300});
  EXPECT_EQ(slice->bounds.direct_ceiling, MilliCpu{2000});
}

// All containers declare a CPU limit, one no memory limit: the kubelet gives the pod a quota alone,
// which binds as any other.
TEST_F(NodePodsCpuTest, APodThatHasOnlyAQuotaIsRaisedWithItsContainer) {
  add_cpu_cgroups();
  tree.set(kSlice, "memory.max", "max\n");
  tree.set(kSlice, "cpu.max", "40000 100000\n");
  kube::Pod pod = cpu_pod();
  pod.containers.push_back(container_of("beside", {}, {}));
  pod.containers[1].resources = {.limits = {.cpu = MilliCpu{100}}};
  present(pod);
  ASSERT_EQ(web().containers.size(), 1U);
  web().containers[0].set_cpu_bounds(
      {.floor = {300}, .ceiling = {1200}, .direct_ceiling = {1200}, .direct_floor = {300}});
  ASSERT_TRUE(state_file->update(pods->state(), now).value());
  ASSERT_TRUE(give(what_is_on_disk(), {}, now));
  engine->tick(now);
  ASSERT_TRUE(engine->keep(web().containers[0].slot, {1000}, Reason::kStarting));
  for (int i = 0; i < 1000 && tree.get(scope_of('a'), "cpu.max").starts_with("30000"); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_TRUE(tree.get(scope_of('a'), "cpu.max").starts_with("100000 100000\n"));
  EXPECT_TRUE(tree.get(kSlice, "cpu.max").starts_with("110000 100000\n"))
      << tree.get(kSlice, "cpu.max");
  EXPECT_EQ(tree.get(kSlice, "memory.max"), "max\n");
}

TEST_F(NodePodsCpuTest, ACgroupWithoutAQuotaIsLeftAlone) {
  add_cpu_cgroups('a', "max 100000\n");
  present(cpu_pod());
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_FALSE(given());
}

TEST_F(NodePodsCpuTest, AContainerIsKnownByItsLimitsBeforeTheKubeletTells) {
  present(created_pod());
  EXPECT_TRUE(web().containers.empty());
  add_cpu_cgroups();
  EXPECT_EQ(pods->reconcile(config, now).began.size(), 1U);
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_EQ(web().containers[0].container_id, "containerd://" + id_of('a'));
  // The watch may bring an older picture of it, and then the status.
  kube::Pod older = created_pod();
  older.labels["x"] = "y";
  EXPECT_TRUE(present(older).ended.empty());
  EXPECT_EQ(web().containers.size(), 1U);
  EXPECT_TRUE(present(cpu_pod()).ended.empty());
  EXPECT_TRUE(web().pod.containers[0].status->resources) << "what the kubelet told";
}

TEST_F(NodePodsCpuTest, ItsLimitsAreAwaitedForAWhile) {
  present(created_pod());
  add_cpu_cgroups('a', "max 100000\n");
  EXPECT_TRUE(pods->reconcile(config, now).began.empty());
  ASSERT_TRUE(pods->look_again());
  tree.set(scope_of('a'), "cpu.max", "30000 100000\n");
  now = *pods->look_again();
  EXPECT_EQ(pods->reconcile(config, now).began.size(), 1U);
  EXPECT_FALSE(pods->look_again());
}

// The sandbox never gets limits.
TEST_F(NodePodsCpuTest, WhenAllContainersAreKnownNoneIsAwaited) {
  add_cpu_cgroups();
  tree.add(scope_of('f'));
  (void)cgroups->rescan();
  kube::Pod pod = created_pod();
  pod.containers.push_back(container_of("beside", mib(16), mib(32)));
  pod.containers[1].resources.limits.cpu = MilliCpu{100};
  present(pod);
  EXPECT_EQ(web().containers.size(), 1U);
  EXPECT_TRUE(pods->look_again()) << "one begins yet";
  pods->set_stale();
  present(created_pod());
  EXPECT_EQ(web().containers.size(), 1U);
  EXPECT_FALSE(pods->look_again());
}

// As a sandbox has none, ever, and systemd rounds up to 10m.
TEST_F(NodePodsCpuTest, WhatHasOtherLimitsIsNoContainerOfThePod) {
  present(created_pod());
  add_cpu_cgroups('a', "32000 100000\n");
  EXPECT_TRUE(pods->reconcile(config, now).began.empty());
  tree.set(scope_of('a'), "cpu.max", "max 100000\n");
  for (int i = 0; i < 300; ++i) {
    EXPECT_TRUE(pods->reconcile(config, now).began.empty());
    if (!pods->look_again()) break;
    now = *pods->look_again();
  }
  EXPECT_FALSE(pods->look_again()) << "looked at without end";
}

TEST_F(NodePodsCpuTest, OfTwoContainersWithTheSameLimitsTheKubeletTellsWhich) {
  kube::Pod pod = created_pod();
  pod.containers.push_back(pod.containers[0]);
  pod.containers[1].name = "other";
  present(pod);
  add_cpu_cgroups();
  EXPECT_TRUE(pods->reconcile(config, now).began.empty());
}

TEST_F(NodePodsCpuTest, AnInitContainerIsNotTakenForAnother) {
  kube::Pod pod = created_pod();
  pod.containers.push_back(pod.containers[0]);
  pod.containers[1].name = "init";
  pod.containers[1].kind = kube::ContainerKind::kInit;
  present(pod);
  add_cpu_cgroups();
  EXPECT_TRUE(pods->reconcile(config, now).began.empty()) << "it has the same limits";
  pod.containers[1].status = kube::ContainerStatus{};
  EXPECT_TRUE(present(pod).began.empty()) << "it waits";
  pod.containers[1].status = kube::ContainerStatus{.id = "containerd://" + id_of('b'),
                                                   .state = kube::ContainerState::kTerminated};
  EXPECT_EQ(present(pod).began.size(), 1U) << "its time is over";
  EXPECT_EQ(web().containers.at(0).container_id, "containerd://" + id_of('a'));
}

TEST_F(NodePodsCpuTest, OfOneThatIsNotBoostedTheKubeletTells) {
  kube::Pod pod = created_pod();
  pod.containers.push_back(pod.containers[0]);
  pod.containers[1].name = "init";
  pod.containers[1].kind = kube::ContainerKind::kInit;
  pod.containers[0].resources.limits.cpu = MilliCpu{500};
  present(pod);
  add_cpu_cgroups();
  pods->reconcile(config, now);
  EXPECT_TRUE(web().early_ids.empty());
}

// What the agent before this one gave is not taken for what was there before it.
TEST_F(NodePodsCpuTest, TheBurstBeforeOursIsWrittenDown) {
  using std::chrono::microseconds;
  add_cpu_cgroups();
  tree.set(scope_of('a'), "cpu.max.burst", "1000\n");
  const auto written_down = [&] { return pods->state().pods.at(0).containers.at(0).limit.cpu; };
  present(cpu_pod());
  EXPECT_EQ(written_down()->burst, microseconds(1'000));
  ASSERT_TRUE(state_file->update(pods->state(), now).value());
  tree.set(scope_of('a'), "cpu.max.burst", "30000\n");
  start();
  present(cpu_pod());
  EXPECT_EQ(written_down()->burst, microseconds(1'000));
}

TEST_F(NodePodsCpuTest, WhatTheKubeletTellsComesFirst) {
  add_cpu_cgroups();
  present(created_pod());
  ASSERT_EQ(web().containers.at(0).container_id, "containerd://" + id_of('a'));
  add_cpu_cgroups('b');
  kube::Pod told = cpu_pod();
  told.containers[0].status->id = "containerd://" + id_of('b');
  present(told);
  EXPECT_EQ(web().containers.at(0).container_id, "containerd://" + id_of('b'));
}

TEST_F(NodePodsCpuTest, OneThatEndsBeforeTheKubeletTellsIsForgotten) {
  add_cpu_cgroups();
  present(created_pod());
  ASSERT_EQ(web().containers.size(), 1U);
  tree.remove(scope_of('a'));
  (void)cgroups->rescan();
  pods->set_stale();
  present(created_pod());
  EXPECT_TRUE(web().early_ids.empty());
  add_cpu_cgroups('b');
  pods->reconcile(config, now);
  EXPECT_EQ(web().containers.at(0).container_id, "containerd://" + id_of('b'));
}

TEST_F(NodePodsCpuTest, ARestartedContainerIsKnownToo) {
  add_cpu_cgroups();
  present(cpu_pod());
  tree.remove(scope_of('a'));
  add_cpu_cgroups('b');
  const NodePods::Changes changes = pods->reconcile(config, now);
  EXPECT_EQ(changes.ended.size(), 1U);
  EXPECT_EQ(changes.began.size(), 1U);
  EXPECT_EQ(web().containers.at(0).container_id, "containerd://" + id_of('b'));
}

// It says them when they change, which may be before there is a cgroup, or with the one before.
TEST_F(NodePodsCpuTest, TheBoundsOfThePlanHoldForTheNextCgroup) {
  add_cpu_cgroups();
  present(cpu_pod());
  ContainerResize known{.name = "app"};
  known.memory.bounds = {.floor = mib(128), .ceiling = mib(512), .direct_ceiling = mib(256)};
  known.cpu.bounds = {.floor = {300}, .ceiling = {3000}, .direct_ceiling = {2000}};
  web().resize.containers = {known};
  tree.remove(scope_of('a'));
  add_cpu_cgroups('b');
  (void)pods->reconcile(config, now);
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_EQ(web().containers[0].bounds, known.memory.bounds);
  EXPECT_EQ(web().containers[0].cpu_bounds, known.cpu.bounds);
  EXPECT_TRUE(give(kAll, {}, now));
  EXPECT_EQ(given()->bounds.direct_ceiling, MilliCpu{2000});
  EXPECT_EQ(web().containers[0].given.spec->bounds.direct_ceiling, mib(256));
}

TEST_F(NodePodsCpuTest, WhatTheAgentBeforeMayHaveWrittenStaysKnown) {
  add_cpu_cgroups();
  present(cpu_pod());
  web().containers[0].set_cpu_bounds({.floor = {300}, .ceiling = {3000}, .direct_ceiling = {2000}});
  ASSERT_TRUE(state_file->update(pods->state(), now).value());
  tree.set(scope_of('a'), "cpu.max", "200000 100000\n");
  start();
  kube::Pod pod = cpu_pod();
  present(pod);
  const auto limit = pods->state().pods.at(0).containers.at(0).limit.cpu;
  ASSERT_TRUE(limit);
  EXPECT_EQ(limit->first_seen, MilliCpu{300});
  EXPECT_EQ(limit->direct_ceiling, MilliCpu{2000});
}

// ---- CPU limits of those that may not be raised any more

class NodePodsCpuLeavingTest : public NodePodsCpuTest {
 protected:
  // Boosted to 2 CPUs beside the API, by the agent before this one.
  void boost() {
    add_cpu_cgroups();
    tree.set(kSlice, "memory.current", text(mib(10)));
    tree.set(scope_of('a'), "memory.current", text(mib(10)));
    present(cpu_pod());
    web().containers[0].set_cpu_bounds(
        {.floor = {300}, .ceiling = {3000}, .direct_ceiling = {2000}});
    ASSERT_TRUE(state_file->update(pods->state(), now).value());
    tree.set(scope_of('a'), "cpu.max", "200000 100000\n");
    tree.set(kSlice, "cpu.max", "200000 100000\n");
    start();
  }
  void turns(const kube::Pod& pod) {
    for (int i = 0; i < 8; ++i) {
      turn(pod);
      engine->tick(now);
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
  }
};

TEST_F(NodePodsCpuLeavingTest, WhoOptsOutGivesBackItsCpuLimit) {
  boost();
  turns(opted_out(cpu_pod()));
  EXPECT_TRUE(tree.get(scope_of('a'), "cpu.max").starts_with("30000 100000\n"));
  EXPECT_TRUE(tree.get(kSlice, "cpu.max").starts_with("30000 100000\n"));
  EXPECT_TRUE(web().containers.empty());
  EXPECT_TRUE(pods->state().pods.empty());
}

TEST_F(NodePodsCpuLeavingTest, WhoWantsNoMoreCpuGivesItBackAndIsManagedOn) {
  boost();
  kube::Pod pod = cpu_pod();
  pod.annotations["plimsoll.dev/cpu-ceiling"] = "300m";
  pod.annotations["plimsoll.dev/startup-boost"] = "300m";
  turns(pod);
  EXPECT_TRUE(tree.get(scope_of('a'), "cpu.max").starts_with("30000 100000\n"));
  ASSERT_EQ(web().containers.size(), 1U);
  EXPECT_FALSE(web().containers[0].policy.leaving);
  EXPECT_FALSE(web().containers[0].policy.cpu) << "left alone";
}

TEST_F(NodePodsCpuLeavingTest, TheSpecOfTheCpuLimitGoesBackToo) {
  add_cpu_cgroups();
  tree.set(kSlice, "memory.current", text(mib(10)));
  tree.set(scope_of('a'), "memory.current", text(mib(10)));
  present(cpu_pod());
  kube::Pod pod = opted_out(cpu_pod());
  pod.containers[0].resources.limits.cpu = MilliCpu{2000};
  for (int i = 0; i < 8; ++i) turn(pod);
  ASSERT_EQ(sent.size(), 1U);
  EXPECT_EQ(resize_test::asked_cpu(&sent[0]), MilliCpu{300});
}

}  // namespace
}  // namespace plimsoll::agent::node_pods_test
