// SPDX-License-Identifier: Apache-2.0
//
// Specs put back against the API fake and the fake kubelet, over cgroups of ordinary files.
#include "agent/restore/specs.h"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>

#include "agent/commands/restore.h"
#include "agent/resize/state.h"
#include "agent/state/declared_limits.h"
#include "cgroup/cpu_max.h"
#include "kube/resize.h"
#include "tests/fake_api/fake_api.h"
#include "tests/fake_kubelet/fake_kubelet.h"
#include "tests/kube/scratch_directory.h"
#include "tests/support/cgroup_tree.h"
#include "tests/support/floors.h"

namespace plimsoll::agent::specs_test {
namespace {

using test::find_cpu_floor;
using test::find_floor;

using Outcome = RestoreItem::Outcome;
using std::chrono::milliseconds;
using test::Json;

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
std::string text(Bytes bytes) { return std::to_string(bytes.value) + "\n"; }

Json container(const std::string& name, const std::string& memory) {
  return {{"name", name},
          {"image", "registry.example/app:1"},
          {"resources",
           {{"requests", {{"cpu", "100m"}, {"memory", "32Mi"}}},
            {"limits", {{"cpu", "500m"}, {"memory", memory}}}}}};
}
Json pod_of(const std::vector<Json>& containers) {
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", {{"name", "web"}, {"namespace", "demo"}}},
          {"spec", {{"nodeName", "node-a"}, {"containers", containers}}}};
}

class RestoreSpecsTest : public testing::Test {
 protected:
  void start(const Json& pod = pod_of({container("app", "128Mi")}),
             const std::string& version = "1.36") {
    test::FakeApiOptions api_options;
    api_options.version = version;
    api = std::make_unique<test::FakeApi>(api_options);
    start_kubelet();
    connect();
    create(pod);
    settle();
  }
  // Without a kubelet: the pod's status is what `pod` says.
  void start_api(const Json& pod) {
    api = std::make_unique<test::FakeApi>();
    connect();
    create(pod);
  }
  void start_kubelet() {
    test::FakeKubeletOptions options;
    options.api = api->control_port();
    options.cgroup_root = tree.path();
    options.made = [this](const std::string& group) {
      tree.add(group, {{"cpu.max", "max 100000\n"}});
    };
    options.least_delay = options.most_delay = milliseconds(10);
    options.sandbox = false;
    kubelet = std::make_unique<test::FakeKubelet>(options);
  }
  void create(const Json& pod) {
    const auto made = api->create_pod(pod);
    ASSERT_LT(made.status, 300) << made.body.dump();
  }
  void connect() {
    kube::ClientConfig config;
    config.server = api->url();
    config.credentials.ca.file = api->directory() + "/ca.crt";
    config.credentials.token.file = api->directory() + "/token";
    auto connected = kube::Client::make(config);
    ASSERT_TRUE(connected) << connected.error().message;
    client = std::move(*connected);
  }
  void settle() {
    ASSERT_TRUE(kubelet->wait([this] { return kubelet->settled() == 1; }));
  }
  // The kubelet has carried out that limit and said so.
  void settle_at(const std::string& name, Bytes limit) {
    ASSERT_TRUE(kubelet->wait(
        [&] { return kubelet->settled() == 1 && limit_of_group(name) == limit_of(limit); }));
  }
  Json web() const { return api->object("pods", "demo", "web"); }
  Bytes spec(std::size_t index = 0) const {
    const Json pod = web();
    return kube::parse_memory(
               pod["spec"]["containers"][index]["resources"]["limits"]["memory"].get<std::string>())
        .value();
  }
  // As the agent raises it.
  void raise(const std::string& name, Bytes limit) {
    kube::ResizeChange change{.container = name};
    change.limits.memory = limit;
    const kube::Resize resize{.pod = id(), .changes = {change}};
    const auto reply =
        client->send(kube::resize_request(resize, kube::ResizePath::kSubresource, kFieldManager));
    ASSERT_TRUE(reply);
    ASSERT_EQ(reply->status, 200) << reply->body;
    settle_at(name, limit);
    api->clear_requests();
  }
  kube::PodIdentity id() const {
    return {.uid = web()["metadata"]["uid"].get<std::string>(),
            .namespace_name = "demo",
            .name = "web"};
  }
  // What was written down before `spec` was asked for.
  void note(const std::string& name, Bytes floor, Bytes spec) {
    if (floors.pods.empty()) {
      floors.pods.push_back({.uid = id().uid, .name_space = "demo", .name = "web"});
    }
    floors.pods[0].containers.push_back(floor_record(name, HiddenMemory{floor, spec}));
  }
  // The CPU limit, always 500m, and the memory limit where it was raised too.
  void note_cpu(const std::string& name, MilliCpu spec, std::optional<HiddenMemory> memory = {}) {
    if (floors.pods.empty()) {
      floors.pods.push_back({.uid = id().uid, .name_space = "demo", .name = "web"});
    }
    floors.pods[0].containers.push_back(floor_record(name, memory, HiddenCpu{MilliCpu{500}, spec}));
  }
  void raise_cpu(const std::string& name, MilliCpu limit) {
    kube::ResizeChange change{.container = name};
    change.limits.cpu = limit;
    const kube::Resize resize{.pod = id(), .changes = {change}};
    const auto reply =
        client->send(kube::resize_request(resize, kube::ResizePath::kSubresource, kFieldManager));
    ASSERT_TRUE(reply);
    ASSERT_EQ(reply->status, 200) << reply->body;
    settle_at_cpu(name, limit);
    api->clear_requests();
  }
  void settle_at_cpu(const std::string& name, MilliCpu limit) {
    ASSERT_TRUE(
        kubelet->wait([&] { return kubelet->settled() == 1 && cpu_of_group(name) == limit; }));
  }
  std::optional<MilliCpu> cpu_of_group(const std::string& name = "app") const {
    return cgroup::cpus_of(tree.group(group(name)).read_cpu_max().value());
  }
  std::string cpu_spec(std::size_t index = 0) const {
    return web()["spec"]["containers"][index]["resources"]["limits"]["cpu"].get<std::string>();
  }
  void start_raised() {
    start();
    note("app", mib(128), mib(512));
    raise("app", mib(512));
  }

  SpecReport restore(bool dry_run = false) {
    return restore_specs(floors, *client, "node-a", tree.root(), dry_run ? nullptr : &writer,
                         policy, state);
  }
  std::string group(const std::string& name = "app") const {
    return kubelet->place("demo/web", name)->group;
  }
  Limit limit_of_group(const std::string& name = "app") const {
    return tree.group(group(name)).read_memory_max().value();
  }
  std::size_t patches() const { return api->count("patch", "pods/resize"); }

  kube::ScratchDirectory scratch;
  test::CgroupTree tree;
  std::unique_ptr<test::FakeApi> api;
  std::unique_ptr<test::FakeKubelet> kubelet;
  std::unique_ptr<kube::Client> client;
  cgroup::Writer writer;
  RestorePolicy policy;
  NodeState floors;
  NodeState state;
};

TEST_F(RestoreSpecsTest, ARaisedSpecGoesBackToWhatWasDeclared) {
  start_raised();
  const SpecReport report = restore();
  ASSERT_EQ(report.items.size(), 1U);
  EXPECT_EQ(report.items[0].outcome, Outcome::kRestored) << report.items[0].why;
  EXPECT_EQ(report.items[0].pod, "demo/web");
  EXPECT_EQ(report.items[0].container, "app");
  EXPECT_EQ(report.items[0].path, "");
  EXPECT_EQ(report.items[0].before, LimitValue(limit_of(mib(512))));
  EXPECT_EQ(report.items[0].after, LimitValue(limit_of(mib(128))));
  EXPECT_TRUE(report.complete());
  EXPECT_TRUE(report.left.pods.empty());
  EXPECT_EQ(spec(), mib(128));
  EXPECT_EQ(limit_of_group(), limit_of(mib(128))) << "the kubelet has followed";
  EXPECT_EQ(patches(), 1U);
  EXPECT_EQ(kubelet->place("demo/web", "app")->restarts, 0);
  // Again: nothing is left to do.
  EXPECT_EQ(restore().items[0].outcome, Outcome::kAlready);
  EXPECT_EQ(patches(), 1U);
}

TEST_F(RestoreSpecsTest, NothingIsAskedForWithoutARecord) {
  start_raised();
  floors.pods.clear();
  EXPECT_TRUE(restore().complete());
  EXPECT_TRUE(api->requests().empty());
}

TEST_F(RestoreSpecsTest, ContainersOfOnePodGoTogether) {
  start(pod_of({container("app", "128Mi"), container("side", "64Mi")}));
  note("app", mib(128), mib(512));
  note("side", mib(64), mib(96));
  raise("app", mib(512));
  raise("side", mib(96));
  const SpecReport report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(patches(), 1U);
  EXPECT_EQ(spec(0), mib(128));
  EXPECT_EQ(spec(1), mib(64));
}

// 128 MiB want 32 MiB of margin.
TEST_F(RestoreSpecsTest, NeverBelowWhatIsInUseAndAMargin) {
  start_raised();
  policy.patience = Nanoseconds(0);
  tree.set(group(), "memory.current", text(mib(97)));
  SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kInUse);
  EXPECT_EQ(report.items.at(0).why,
            "97 MiB are in use, and 32 MiB must stay free below the limit of 128 MiB");
  EXPECT_EQ(tree.get(group(), "memory.reclaim"), std::to_string(kMiB)) << "asked to give some back";
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(report.left, floors) << "for the next one";
  EXPECT_EQ(patches(), 0U);
  EXPECT_EQ(spec(), mib(512));

  // The pod's own cgroup counts, too.
  tree.set(group(), "memory.current", text(mib(96)));
  tree.set(kubelet->place("demo/web", "app")->slice, "memory.current", text(mib(97)));
  EXPECT_EQ(restore().items.at(0).outcome, Outcome::kInUse);
  EXPECT_EQ(patches(), 0U);
}

// One that cannot go back now keeps the others from nothing.
TEST_F(RestoreSpecsTest, WhatIsInUseStaysAndTheOtherGoes) {
  start(pod_of({container("app", "128Mi"), container("side", "64Mi")}));
  note("app", mib(128), mib(512));
  note("side", mib(64), mib(96));
  raise("app", mib(512));
  raise("side", mib(96));
  policy.patience = Nanoseconds(0);
  tree.set(group("app"), "memory.current", text(mib(300)));
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kInUse);
  EXPECT_EQ(spec(0), mib(512));
  EXPECT_EQ(spec(1), mib(64));
  ASSERT_EQ(report.left.pods.size(), 1U);
  ASSERT_EQ(report.left.pods[0].containers.size(), 1U);
  EXPECT_EQ(report.left.pods[0].containers[0].name, "app");
}

TEST_F(RestoreSpecsTest, NoContainerIsRestartedForIt) {
  Json restarts = container("app", "512Mi");
  restarts["resizePolicy"] =
      Json::array({{{"resourceName", "memory"}, {"restartPolicy", "RestartContainer"}}});
  start(pod_of({restarts}));
  note("app", mib(128), mib(512));
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kRefused);
  EXPECT_NE(report.items.at(0).why.find("restarts the container"), std::string::npos);
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(report.left, floors);
  EXPECT_EQ(patches(), 0U);
}

TEST_F(RestoreSpecsTest, Kubernetes133CannotLower) {
  start(pod_of({container("app", "128Mi")}), "1.33");
  note("app", mib(128), mib(512));
  raise("app", mib(512));
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kRefused);
  EXPECT_NE(report.items.at(0).why.find("1.33"), std::string::npos);
  EXPECT_EQ(patches(), 0U);
}

TEST_F(RestoreSpecsTest, SomebodyElsesLimitIsTheirs) {
  start_raised();
  const auto reply =
      api->request("PATCH", "/api/v1/namespaces/demo/pods/web/resize?fieldManager=kubectl",
                   {{"spec",
                     {{"containers",
                       {{{"name", "app"}, {"resources", {{"limits", {{"memory", "300Mi"}}}}}}}}}}});
  ASSERT_EQ(reply.status, 200) << reply.body.dump();
  settle_at("app", mib(300));
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kForeign);
  EXPECT_TRUE(report.complete());
  EXPECT_TRUE(report.left.pods.empty());
  EXPECT_EQ(spec(), mib(300));
  EXPECT_EQ(patches(), 0U);
}

// An annotation may let a limit go below what was declared; with nobody to grow it, it goes back
// up.
TEST_F(RestoreSpecsTest, ALoweredSpecIsRaised) {
  start();
  note("app", mib(128), mib(64));
  raise("app", mib(64));
  tree.set(group(), "memory.current", text(mib(120)));
  EXPECT_EQ(restore().items.at(0).outcome, Outcome::kRestored);
  EXPECT_EQ(spec(), mib(128));
  EXPECT_EQ(limit_of_group(), limit_of(mib(128)));
}

TEST_F(RestoreSpecsTest, ARefusalIsSaidInTheServersWords) {
  start_raised();
  api->add_fault(
      *test::fault_of(Json::parse(R"({"verb":"patch","kind":"refusal","refusal":"policy"})")));
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kRefused);
  EXPECT_NE(report.items.at(0).why.find("denied request"), std::string::npos)
      << report.items.at(0).why;
  EXPECT_EQ(report.left, floors);
  EXPECT_EQ(patches(), 1U) << "a decision is not asked for again";
}

TEST_F(RestoreSpecsTest, AServerThatFailsIsAskedAgain) {
  start_raised();
  api->add_fault(*test::fault_of(
      Json::parse(R"({"verb":"patch","kind":"refusal","refusal":"unavailable","times":1})")));
  EXPECT_EQ(restore().items.at(0).outcome, Outcome::kRestored);
  EXPECT_EQ(patches(), 2U);
}

TEST_F(RestoreSpecsTest, APodThatHasGoneNeedsNothing) {
  start_raised();
  floors.pods[0].uid = "ffffffff-4b5a-6978-8796-a5b4c3d2e1f0";  // the one before this one
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kGone);
  EXPECT_TRUE(report.complete());
  EXPECT_TRUE(report.left.pods.empty());
  EXPECT_EQ(spec(), mib(512));
}

// A pod that has done its work keeps its spec, and nobody minds.
TEST_F(RestoreSpecsTest, WhatHasEndedNeedsNothing) {
  Json pod = pod_of({container("app", "512Mi"), container("side", "64Mi")});
  pod["spec"]["restartPolicy"] = "Never";
  const auto ended = [](const char* name) {
    return Json{{"name", name},
                {"containerID", "containerd://" + std::string(64, name[0])},
                {"state", {{"terminated", {{"exitCode", 0}, {"reason", "Completed"}}}}}};
  };
  pod["status"] = {{"phase", "Succeeded"}, {"containerStatuses", {ended("app"), ended("side")}}};
  start_api(pod);
  note("app", mib(128), mib(512));
  EXPECT_EQ(restore().items.at(0).outcome, Outcome::kGone);

  Json other = pod;
  other["metadata"]["name"] = "half";
  other["status"]["phase"] = "Running";
  other["status"]["containerStatuses"][1]["state"] = {{"running", Json::object()}};
  other["status"]["containerStatuses"][1]["resources"] =
      other["spec"]["containers"][1]["resources"];
  create(other);
  floors.pods[0].uid = api->object("pods", "demo", "half")["metadata"]["uid"].get<std::string>();
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kGone) << report.items.at(0).why;
  EXPECT_TRUE(report.complete());
  EXPECT_TRUE(report.left.pods.empty());
  EXPECT_EQ(patches(), 0U);
}

TEST_F(RestoreSpecsTest, ADryRunSaysWhatItWouldDo) {
  start_raised();
  EXPECT_EQ(restore(true).items.at(0).outcome, Outcome::kWouldRestore);
  EXPECT_EQ(patches(), 0U);
  EXPECT_TRUE(state.pods.empty());
}

// The limit is brought down here, and it is said that the kubelet has not done so.
TEST_F(RestoreSpecsTest, AKubeletThatDoesNothingIsSaid) {
  start_raised();
  kubelet->set_mode("*", test::ResizeMode::kNever);
  policy.patience = milliseconds(1100);
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kStored);
  EXPECT_NE(report.items.at(0).why.find("the kubelet has not carried it out"), std::string::npos);
  EXPECT_FALSE(report.complete());
  EXPECT_TRUE(report.left.pods.empty()) << "the spec says what was declared";
  EXPECT_EQ(spec(), mib(128));
  EXPECT_EQ(limit_of_group(), limit_of(mib(512)));
  const RestoreReport limits = restore_limits(state, tree.root(), &writer, policy);
  EXPECT_TRUE(limits.complete());
  EXPECT_EQ(limit_of_group(), limit_of(mib(128)));
  EXPECT_EQ(tree.group(kubelet->place("demo/web", "app")->slice).read_memory_max(),
            limit_of(mib(128)));
}

// A limit above what the API ever said is not ours, whatever the spec was.
TEST_F(RestoreSpecsTest, WhatSomebodyWroteToTheCgroupStays) {
  start_raised();
  kubelet->set_mode("*", test::ResizeMode::kNever);
  policy.patience = Nanoseconds(0);
  tree.set(group(), "memory.max", text(mib(700)));
  (void)restore();
  const RestoreReport limits = restore_limits(state, tree.root(), &writer, policy);
  ASSERT_FALSE(limits.items.empty());
  EXPECT_EQ(limits.items[0].outcome, Outcome::kForeign);
  EXPECT_EQ(limit_of_group(), limit_of(mib(700)));
}

// ---- CPU limits

TEST_F(RestoreSpecsTest, ARaisedCpuLimitGoesBackAlone) {
  start();
  note_cpu("app", {2000});
  raise_cpu("app", {2000});
  tree.set(group(), "memory.current", text(mib(127)));  // which is no matter
  const SpecReport report = restore();
  ASSERT_EQ(report.items.size(), 1U);
  EXPECT_EQ(report.items[0].outcome, Outcome::kRestored) << report.items[0].why;
  EXPECT_EQ(report.items[0].before, LimitValue(MilliCpu{2000}));
  EXPECT_EQ(report.items[0].after, LimitValue(MilliCpu{500}));
  EXPECT_TRUE(report.complete());
  EXPECT_TRUE(report.left.pods.empty());
  EXPECT_EQ(patches(), 1U);
  EXPECT_EQ(cpu_spec(), "500m");
  EXPECT_EQ(spec(), mib(128));
  settle_at_cpu("app", {500});
  EXPECT_EQ(kubelet->place("demo/web", "app")->restarts, 0);
  EXPECT_EQ(restore().items.at(0).outcome, Outcome::kAlready);
  EXPECT_EQ(patches(), 1U);
}

TEST_F(RestoreSpecsTest, MemoryAndCpuOfAPodGoInOnePatch) {
  start(pod_of({container("app", "128Mi"), container("side", "64Mi")}));
  note_cpu("app", {2000}, HiddenMemory{mib(128), mib(512)});
  note_cpu("side", {1000});
  raise("app", mib(512));
  raise_cpu("app", {2000});
  raise_cpu("side", {1000});
  const SpecReport report = restore();
  ASSERT_EQ(report.items.size(), 3U);
  EXPECT_FALSE(report.items[0].is_cpu());
  EXPECT_TRUE(report.items[1].is_cpu());
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(patches(), 1U);
  EXPECT_EQ(spec(0), mib(128));
  EXPECT_EQ(cpu_spec(0), "500m");
  EXPECT_EQ(cpu_spec(1), "500m");
  EXPECT_EQ(spec(1), mib(64));
}

TEST_F(RestoreSpecsTest, MemoryThatIsInUseKeepsNoCpuLimit) {
  start();
  note_cpu("app", {2000}, HiddenMemory{mib(128), mib(512)});
  raise("app", mib(512));
  raise_cpu("app", {2000});
  policy.patience = Nanoseconds(0);
  tree.set(group(), "memory.current", text(mib(300)));
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kInUse);
  EXPECT_EQ(report.items.at(1).outcome, Outcome::kStored);
  EXPECT_EQ(spec(), mib(512));
  EXPECT_EQ(cpu_spec(), "500m");
  // What is left is the memory.
  EXPECT_EQ(find_floor(report.left, id().uid, "app"), limit_of(mib(128)));
  EXPECT_EQ(find_cpu_floor(report.left, id().uid, "app"), std::nullopt);
}

TEST_F(RestoreSpecsTest, NoContainerIsRestartedForItsCpuLimit) {
  Json restarts = container("app", "512Mi");
  restarts["resources"]["limits"]["cpu"] = "2";
  restarts["resizePolicy"] =
      Json::array({{{"resourceName", "cpu"}, {"restartPolicy", "RestartContainer"}}});
  start(pod_of({restarts}));
  note_cpu("app", {2000}, HiddenMemory{mib(128), mib(512)});
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kRestored) << report.items.at(0).why;
  EXPECT_EQ(report.items.at(1).outcome, Outcome::kRefused);
  EXPECT_NE(report.items.at(1).why.find("restarts the container"), std::string::npos);
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(cpu_spec(), "2");
  EXPECT_EQ(spec(), mib(128));
  EXPECT_EQ(find_floor(report.left, id().uid, "app"), std::nullopt);
  EXPECT_EQ(find_cpu_floor(report.left, id().uid, "app"), MilliCpu{500});
  EXPECT_EQ(kubelet->place("demo/web", "app")->restarts, 0);
}

// It is of memory only that 1.33 cannot lower a limit.
TEST_F(RestoreSpecsTest, Kubernetes133LowersCpuLimits) {
  start(pod_of({container("app", "128Mi")}), "1.33");
  note_cpu("app", {2000}, HiddenMemory{mib(128), mib(512)});
  raise("app", mib(512));
  raise_cpu("app", {2000});
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kRefused);
  EXPECT_EQ(report.items.at(1).outcome, Outcome::kRestored) << report.items.at(1).why;
  EXPECT_EQ(cpu_spec(), "500m");
  EXPECT_EQ(spec(), mib(512));
}

TEST_F(RestoreSpecsTest, SomebodyElsesCpuLimitIsTheirs) {
  start();
  note_cpu("app", {2000});
  raise_cpu("app", {2000});
  const auto reply = api->request(
      "PATCH", "/api/v1/namespaces/demo/pods/web/resize?fieldManager=kubectl",
      {{"spec",
        {{"containers", {{{"name", "app"}, {"resources", {{"limits", {{"cpu", "900m"}}}}}}}}}}});
  ASSERT_EQ(reply.status, 200) << reply.body.dump();
  settle_at_cpu("app", {900});
  const SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kForeign);
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(cpu_spec(), "900m");
  EXPECT_EQ(patches(), 0U);
}

// The cgroup is then brought to what the API server has, and its pod with it.
TEST_F(RestoreSpecsTest, AKubeletThatDoesNothingForACpuLimitIsSaid) {
  start();
  note_cpu("app", {2000});
  raise_cpu("app", {2000});
  kubelet->set_mode("*", test::ResizeMode::kNever);
  policy.patience = milliseconds(1100);
  SpecReport report = restore();
  EXPECT_EQ(report.items.at(0).outcome, Outcome::kStored);
  EXPECT_FALSE(report.complete());
  EXPECT_EQ(cpu_spec(), "500m");
  EXPECT_EQ(cpu_of_group(), MilliCpu{2000});
  const RestoreReport limits = restore_limits(state, tree.root(), &writer, policy);
  EXPECT_TRUE(limits.complete());
  ASSERT_EQ(limits.items.size(), 2U) << "its memory is as declared";
  EXPECT_EQ(limits.items[0].outcome, Outcome::kRestored);
  EXPECT_EQ(limits.items[1].outcome, Outcome::kRestored);
  EXPECT_EQ(cpu_of_group(), MilliCpu{500});
  const auto slice = kubelet->place("demo/web", "app")->slice;
  EXPECT_EQ(cgroup::cpus_of(tree.group(slice).read_cpu_max().value()), MilliCpu{500});
}

// The status still says 2 CPUs; whoever is throttled is so by the file.
TEST_F(RestoreSpecsTest, TheFileShowsThatItIsBack) {
  start();
  note_cpu("app", {2000});
  raise_cpu("app", {2000});
  kubelet->set_mode("*", test::ResizeMode::kNever);
  tree.set(group(), "cpu.max", "50000 100000\n");
  EXPECT_EQ(restore().items.at(0).outcome, Outcome::kRestored);
  EXPECT_EQ(cpu_spec(), "500m");
}

TEST_F(RestoreSpecsTest, WhatSomebodyWroteToCpuMaxStays) {
  start();
  note_cpu("app", {2000});
  raise_cpu("app", {2000});
  kubelet->set_mode("*", test::ResizeMode::kNever);
  policy.patience = Nanoseconds(0);
  tree.set(group(), "cpu.max", "200100 100000\n");
  (void)restore();
  const RestoreReport limits = restore_limits(state, tree.root(), &writer, policy);
  ASSERT_FALSE(limits.items.empty());
  EXPECT_EQ(limits.items[0].outcome, Outcome::kForeign);
  EXPECT_EQ(cpu_of_group(), MilliCpu{2001});
}

// ---- the command

class RestoreSpecsCommandTest : public RestoreSpecsTest {
 protected:
  RestoreOptions options() const {
    RestoreOptions options;
    options.state = scratch / "state";
    options.floors = scratch / "floors";
    options.node_name = "node-a";
    options.api.kubeconfig = api->directory() + "/kubeconfig";
    options.cgroup_root = tree.path();
    options.filesystem = cgroup::Filesystem::kAny;
    options.systemd.reset();
    options.policy = policy;
    return options;
  }
  void save_floors() const {
    auto file = StateFile::open(scratch / "floors", "");
    ASSERT_TRUE(file);
    ASSERT_TRUE(file->flush(floors, {}));
  }
  int run(const RestoreOptions& with) {
    out.str("");
    return run_restore(with, out, err);
  }
  std::ostringstream out;
  std::ostringstream err;
};

TEST_F(RestoreSpecsCommandTest, PutsSpecsAndCgroupsBack) {
  start_raised();
  save_floors();
  EXPECT_EQ(run(options()), 0) << out.str() << err.str();
  EXPECT_NE(out.str().find("restored  demo/web/app (spec)  512 MiB -> 128 MiB\n"),
            std::string::npos)
      << out.str();
  EXPECT_NE(out.str().find("already  demo/web/app  128 MiB\n"), std::string::npos) << out.str();
  EXPECT_EQ(spec(), mib(128));
  EXPECT_TRUE(read_state(scratch / "floors", "").state.pods.empty());
  api->clear_requests();
  EXPECT_EQ(run(options()), 0);
  EXPECT_TRUE(api->requests().empty()) << "nothing to ask for";
}

TEST_F(RestoreSpecsCommandTest, NamesWhatIsOfCpu) {
  start();
  note_cpu("app", {2000});
  raise_cpu("app", {2000});
  save_floors();
  EXPECT_EQ(run(options()), 0) << out.str() << err.str();
  EXPECT_EQ(out.str(),
            "restored  demo/web/app cpu (spec)  2 -> 500m\n"
            "already  demo/web/app cpu  500m\n"
            "already  demo/web cpu  500m\n"
            "everything is back\n");
  EXPECT_TRUE(read_state(scratch / "floors", "").state.pods.empty());
}

TEST_F(RestoreSpecsCommandTest, WithoutTheApiItNamesWhatRemains) {
  start_raised();
  save_floors();
  api->go();
  policy.patience = Nanoseconds(0);
  EXPECT_EQ(run(options()), 1);
  EXPECT_NE(out.str().find("failed  demo/web/app (spec)"), std::string::npos) << out.str();
  EXPECT_NE(out.str().find("not everything is back\n"), std::string::npos);
  EXPECT_EQ(find_floor(read_state(scratch / "floors", "").state, id().uid, "app"),
            limit_of(mib(128)));
  api->back();
  policy = {};
  EXPECT_EQ(run(options()), 0) << out.str();
}

TEST_F(RestoreSpecsCommandTest, WithoutAWayToTheApiItSaysWhy) {
  start_raised();
  save_floors();
  RestoreOptions nowhere = options();
  nowhere.api = {};
  EXPECT_EQ(run(nowhere), 1);
  EXPECT_NE(out.str().find("failed  demo/web/app (spec)  (no way to the API server: "),
            std::string::npos)
      << out.str();
  RestoreOptions nameless = options();
  nameless.node_name.clear();
  EXPECT_EQ(run(nameless), 1);
  EXPECT_NE(out.str().find("NODE_NAME"), std::string::npos);
}

TEST_F(RestoreSpecsCommandTest, TheJsonSaysWhatEachItemIsAbout) {
  start_raised();
  save_floors();
  RestoreOptions as_json = options();
  as_json.json = true;
  EXPECT_EQ(run(as_json), 0);
  const Json report = Json::parse(out.str());
  EXPECT_EQ(report["complete"], true);
  EXPECT_EQ(report["items"][0]["what"], "spec");
  EXPECT_EQ(report["items"][0]["outcome"], "restored");
  EXPECT_EQ(report["items"][0]["target_bytes"], mib(128).value);
  EXPECT_EQ(report["items"][1]["what"], "cgroup");
}

}  // namespace
}  // namespace plimsoll::agent::specs_test
