// SPDX-License-Identifier: Apache-2.0
//
// The fake kubelet on a tree of ordinary files: the order of its writes, the conditions it tells,
// and that it rewrites limits in the ways that section 3.5 of the contract lists.
#include "tests/fake_kubelet/fake_kubelet.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "tests/fake_api/fake_api.h"
#include "tests/support/cgroup_tree.h"

namespace plimsoll::test::fake_kubelet_test {
namespace {

using std::chrono::milliseconds;

constexpr std::int64_t kMi = 1024 * 1024;

Json container(const char* name, const char* memory, const char* cpu = "500m") {
  return {{"name", name},
          {"image", "registry.example/app:1"},
          {"resources",
           {{"requests", {{"cpu", "100m"}, {"memory", "32Mi"}}},
            {"limits", {{"cpu", cpu}, {"memory", memory}}}}}};
}

Json pod_of(const std::vector<Json>& containers) {
  return {{"apiVersion", "v1"},
          {"kind", "Pod"},
          {"metadata", {{"name", "web"}, {"namespace", "demo"}}},
          {"spec", {{"nodeName", "node-a"}, {"containers", containers}}}};
}

class FakeKubeletTest : public ::testing::Test {
 protected:
  void start(const std::string& version = "1.36",
             const std::function<void(FakeKubeletOptions&)>& change = {}) {
    FakeApiOptions api_options;
    api_options.version = version;
    api_ = std::make_unique<FakeApi>(api_options);
    FakeKubeletOptions options;
    options.api = api_->control_port();
    options.cgroup_root = tree_.path();
    options.made = [this](const std::string& group) {
      tree_.add(group, {{"cpu.max", "max 100000\n"}});
    };
    options.least_delay = milliseconds(40);
    options.most_delay = milliseconds(40);
    options.error_delay = milliseconds(60);
    options.sandbox = false;
    if (change) change(options);
    kubelet_ = std::make_unique<FakeKubelet>(options);
  }

  void create(const Json& pod) {
    const Reply reply = api_->create_pod(pod);
    ASSERT_EQ(reply.status, 201) << reply.body.dump();
    ASSERT_TRUE(kubelet_->wait([&] { return running(); })) << pod_status().dump();
  }

  bool running() const { return text_at(pod_status(), "phase") == "Running"; }
  Json pod() const { return api_->object("pods", "demo", "web"); }
  Json pod_status() const {
    const Json object = pod();
    return member(object, "status");
  }
  Json condition(const std::string& type) const {
    const Json status = pod_status();
    for (const Json& entry : member(status, "conditions")) {
      if (text_at(entry, "type") == type) return entry;
    }
    return nullptr;
  }
  Json resize(const Json& resources, const char* name = "app") {
    return resize_all({{{"name", name}, {"resources", resources}}});
  }
  Json resize_all(const std::vector<Json>& containers) {
    const Reply reply = api_->request("PATCH", "/api/v1/namespaces/demo/pods/web/resize",
                                      {{"spec", {{"containers", containers}}}});
    EXPECT_EQ(reply.status, 200) << reply.body.dump();
    return reply.body;
  }
  bool done() const {
    return kubelet_->wait([&] {
      const Json status = pod_status();
      return kubelet_->settled() == 1 && condition("PodResizeInProgress").is_null() &&
             member(status, "observedGeneration") == pod()["metadata"]["generation"];
    });
  }
  std::string limit_of(const char* name, const char* file = "memory.max") const {
    return first_word(tree_.get(kubelet_->place("demo/web", name)->group, file));
  }
  std::string slice_limit(const char* file = "memory.max") const {
    return first_word(tree_.get(kubelet_->place("demo/web", "app")->slice, file));
  }
  static std::string first_word(const std::string& text) {
    return text.substr(0, text.find_first_of(" \n"));
  }
  static Json memory(const char* limit) { return {{"limits", {{"memory", limit}}}}; }
  static std::string mi(std::int64_t count) { return std::to_string(count * kMi); }

  CgroupTree tree_;
  std::unique_ptr<FakeApi> api_;
  std::unique_ptr<FakeKubelet> kubelet_;
};

TEST_F(FakeKubeletTest, MakesThePodOfTheSystemdDriver) {
  start();
  create(pod_of({container("app", "256Mi"), container("side", "64Mi")}));
  const std::string uid = text_at(pod()["metadata"], "uid");
  std::string dashed = uid;
  std::replace(dashed.begin(), dashed.end(), '-', '_');
  const auto place = kubelet_->place("demo/web", "app");
  EXPECT_EQ(place->slice,
            "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + dashed + ".slice");
  EXPECT_EQ(place->group, place->slice + "/cri-containerd-" + place->id + ".scope");
  EXPECT_EQ(limit_of("app"), mi(256));
  EXPECT_EQ(limit_of("app", "cpu.max"), "50000");
  EXPECT_EQ(slice_limit(), mi(320));
  const Json status = pod_status();
  EXPECT_EQ(status["containerStatuses"][0]["containerID"], "containerd://" + place->id);
  EXPECT_EQ(status["containerStatuses"][0]["resources"]["limits"]["memory"], "256Mi");
  EXPECT_EQ(status["observedGeneration"], 1);
  EXPECT_EQ(condition("Ready")["status"], "True");
}

TEST_F(FakeKubeletTest, MakesThePodOfTheCgroupfsDriver) {
  start("1.36", [](FakeKubeletOptions& options) {
    options.layout.systemd = false;
    options.layout.runtime = "cri-o";
    options.layout.prefix = {"kubelet"};
  });
  create(pod_of({container("app", "256Mi")}));
  const auto place = kubelet_->place("demo/web", "app");
  EXPECT_EQ(place->slice, "kubelet/kubepods/burstable/pod" + text_at(pod()["metadata"], "uid"));
  EXPECT_EQ(place->group, place->slice + "/crio-" + place->id);
}

TEST(LayoutTest, WhereThePrefixGoes) {
  Layout layout;
  layout.prefix = {"kubelet"};
  EXPECT_EQ(layout.pod("Guaranteed", "a-b"),
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-poda_b.slice");
  EXPECT_EQ(layout.pod("BestEffort", "a-b"),
            "kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice/"
            "kubelet-kubepods-besteffort-poda_b.slice");
}

// What the API said at the moment of each write of memory.max.
struct Moment {
  std::string kind;  // "slice" or "container"
  Json condition;
  Json status;
};

TEST_F(FakeKubeletTest, ARaiseGoesThroughTheRecordedStates) {
  std::vector<Moment> moments;
  start("1.36", [&](FakeKubeletOptions& options) {
    options.writing = [&](const std::string& group, const std::string& file) {
      if (file != "memory.max" || !running()) return;
      const bool slice = group.find(".scope") == std::string::npos;
      moments.push_back(
          {slice ? "slice" : "container", condition("PodResizeInProgress"), pod_status()});
    };
  });
  create(pod_of({container("app", "64Mi")}));
  resize(memory("70Mi"));
  ASSERT_TRUE(done());
  // v1: in progress; the slice; the container; then the status, and the condition is gone.
  ASSERT_EQ(moments.size(), 2U);
  EXPECT_EQ(moments[0].kind, "slice");
  EXPECT_EQ(moments[1].kind, "container");
  for (const Moment& moment : moments) {
    EXPECT_EQ(moment.condition["status"], "True");
    EXPECT_EQ(moment.condition["observedGeneration"], 2);
    EXPECT_FALSE(moment.condition.contains("reason"));
    EXPECT_EQ(moment.status["observedGeneration"], 2);
    EXPECT_EQ(moment.status["containerStatuses"][0]["resources"]["limits"]["memory"], "64Mi");
  }
  EXPECT_EQ(slice_limit(), mi(70));
  EXPECT_EQ(limit_of("app"), mi(70));
  EXPECT_EQ(pod_status()["containerStatuses"][0]["resources"]["limits"]["memory"], "70Mi");
  // A lowering is the other way round.
  resize(memory("48Mi"));
  ASSERT_TRUE(done());
  ASSERT_EQ(moments.size(), 4U);
  EXPECT_EQ(moments[2].kind, "container");
  EXPECT_EQ(moments[3].kind, "slice");
  kubelet_.reset();
}

TEST_F(FakeKubeletTest, EventsAreThoseOfAKubelet) {
  start();
  create(pod_of({container("app", "64Mi")}));
  resize(memory("70Mi"));
  ASSERT_TRUE(kubelet_->wait([&] { return api_->objects("events").size() == 2; }));
  std::vector<std::string> reasons;
  for (const Json& event : api_->objects("events")) reasons.push_back(text_at(event, "reason"));
  std::sort(reasons.begin(), reasons.end());
  EXPECT_EQ(reasons, (std::vector<std::string>{"ResizeCompleted", "ResizeStarted"}));
}

TEST_F(FakeKubeletTest, ALoweringBelowUseFailsAndANewRaiseClearsIt) {
  start();
  create(pod_of({container("app", "256Mi")}));
  const auto place = kubelet_->place("demo/web", "app");
  tree_.set(place->group, "memory.current", mi(60) + "\n");
  tree_.set(place->slice, "memory.current", mi(61) + "\n");
  resize(memory("40Mi"));
  ASSERT_TRUE(kubelet_->wait(
      [&] { return text_at(condition("PodResizeInProgress"), "reason") == "Error"; }));
  EXPECT_EQ(text_at(condition("PodResizeInProgress"), "message"),
            "cannot decrease memory limits: [attempting to set pod memory limit (41943040) below "
            "current usage (63963136), attempting to set container \"app\" memory limit (41943040) "
            "below current usage (62914560)]");
  EXPECT_EQ(limit_of("app"), mi(256));
  EXPECT_EQ(slice_limit(), mi(256));
  resize(memory("128Mi"));
  ASSERT_TRUE(done());
  EXPECT_EQ(limit_of("app"), mi(128));
  EXPECT_EQ(slice_limit(), mi(128));
}

TEST_F(FakeKubeletTest, AFailedLoweringIsTriedAgain) {
  start();
  create(pod_of({container("app", "256Mi")}));
  const auto place = kubelet_->place("demo/web", "app");
  tree_.set(place->group, "memory.current", mi(60) + "\n");
  resize(memory("40Mi"));
  ASSERT_TRUE(kubelet_->wait(
      [&] { return text_at(condition("PodResizeInProgress"), "reason") == "Error"; }));
  tree_.set(place->group, "memory.current", mi(10) + "\n");
  ASSERT_TRUE(done());
  EXPECT_EQ(limit_of("app"), mi(40));
}

TEST_F(FakeKubeletTest, DeferredUntilThereIsRoom) {
  start();
  create(pod_of({container("app", "64Mi")}));
  kubelet_->set_mode("demo/web", ResizeMode::kDeferred);
  resize(memory("128Mi"));
  ASSERT_TRUE(kubelet_->wait([&] { return !condition("PodResizePending").is_null(); }));
  EXPECT_EQ(text_at(condition("PodResizePending"), "reason"), "Deferred");
  EXPECT_EQ(condition("PodResizePending")["observedGeneration"], 2);
  EXPECT_EQ(limit_of("app"), mi(64));
  kubelet_->set_mode("demo/web", ResizeMode::kApply);
  ASSERT_TRUE(done());
  EXPECT_TRUE(condition("PodResizePending").is_null());
  EXPECT_EQ(limit_of("app"), mi(128));
}

TEST_F(FakeKubeletTest, AWithdrawnDeferredResizeIsForgotten) {
  start();
  create(pod_of({container("app", "64Mi")}));
  kubelet_->set_mode("*", ResizeMode::kDeferred);
  resize(memory("128Mi"));
  ASSERT_TRUE(kubelet_->wait([&] { return !condition("PodResizePending").is_null(); }));
  resize(memory("64Mi"));
  ASSERT_TRUE(kubelet_->wait([&] { return condition("PodResizePending").is_null(); }));
  EXPECT_EQ(limit_of("app"), mi(64));
}

TEST_F(FakeKubeletTest, NeverLeavesTheGenerationBehind) {
  start();
  create(pod_of({container("app", "64Mi")}));
  kubelet_->set_mode("*", ResizeMode::kNever);
  resize(memory("128Mi"));
  // Another pod shows that it looked.
  Json other = pod_of({container("app", "64Mi")});
  other["metadata"]["name"] = "other";
  ASSERT_EQ(api_->create_pod(other).status, 201);
  ASSERT_TRUE(kubelet_->wait([&] { return kubelet_->place("demo/other", "app").has_value(); }));
  EXPECT_EQ(pod_status()["observedGeneration"], 1);
  EXPECT_EQ(limit_of("app"), mi(64));
}

TEST_F(FakeKubeletTest, ACpuResizeWritesTheMemoryLimitAgain) {
  start();
  create(pod_of({container("app", "64Mi")}));
  const auto place = kubelet_->place("demo/web", "app");
  tree_.set(place->slice, "memory.max", mi(256) + "\n");
  tree_.set(place->group, "memory.max", mi(256) + "\n");
  resize({{"limits", {{"cpu", "1"}}}});
  ASSERT_TRUE(done());
  EXPECT_EQ(limit_of("app"), mi(64));
  EXPECT_EQ(limit_of("app", "cpu.max"), "100000");
}

TEST_F(FakeKubeletTest, ASiblingsResizeRecomputesTheSlice) {
  start();
  create(pod_of({container("app", "64Mi"), container("side", "64Mi")}));
  const auto place = kubelet_->place("demo/web", "app");
  tree_.set(place->slice, "memory.max", mi(512) + "\n");
  tree_.set(place->group, "memory.max", mi(448) + "\n");
  resize(memory("128Mi"), "side");
  ASSERT_TRUE(done());
  EXPECT_EQ(slice_limit(), mi(192));
  EXPECT_EQ(limit_of("app"), mi(448));
  EXPECT_EQ(limit_of("side"), mi(128));
}

TEST_F(FakeKubeletTest, DaemonReloadSetsBothBack) {
  start();
  create(pod_of({container("app", "64Mi")}));
  const auto place = kubelet_->place("demo/web", "app");
  tree_.set(place->slice, "memory.max", mi(256) + "\n");
  tree_.set(place->group, "memory.max", mi(256) + "\n");
  EXPECT_TRUE(kubelet_->daemon_reload("demo/web"));
  EXPECT_EQ(slice_limit(), mi(64));
  EXPECT_EQ(limit_of("app"), mi(64));
  EXPECT_FALSE(kubelet_->daemon_reload("demo/none"));
}

TEST_F(FakeKubeletTest, ARestartIsANewCgroupWithTheAcceptedLimit) {
  start();
  create(pod_of({container("app", "64Mi")}));
  const auto before = kubelet_->place("demo/web", "app");
  tree_.set(before->group, "memory.max", mi(256) + "\n");
  ASSERT_TRUE(kubelet_->restart_container("demo/web", "app"));
  const auto after = kubelet_->place("demo/web", "app");
  EXPECT_NE(after->id, before->id);
  EXPECT_EQ(after->restarts, 1);
  EXPECT_EQ(limit_of("app"), mi(64));
  const Json status = pod_status();
  EXPECT_EQ(status["containerStatuses"][0]["restartCount"], 1);
  EXPECT_EQ(status["containerStatuses"][0]["lastState"]["terminated"]["containerID"],
            "containerd://" + before->id);
}

TEST_F(FakeKubeletTest, RestartContainerPolicyRestarts) {
  start();
  Json app = container("app", "64Mi");
  app["resizePolicy"] =
      Json::array({{{"resourceName", "memory"}, {"restartPolicy", "RestartContainer"}}});
  create(pod_of({app}));
  const auto before = kubelet_->place("demo/web", "app");
  resize(memory("128Mi"));
  ASSERT_TRUE(done());
  EXPECT_NE(kubelet_->place("demo/web", "app")->id, before->id);
  EXPECT_EQ(limit_of("app"), mi(128));
}

TEST_F(FakeKubeletTest, OldServersGetStatusResize) {
  std::vector<Moment> moments;
  start("1.32", [&](FakeKubeletOptions& options) {
    options.writing = [&](const std::string& /*group*/, const std::string& file) {
      if (file != "memory.max" || !running()) return;
      moments.push_back({"", condition("PodResizeInProgress"), pod_status()});
    };
  });
  create(pod_of({container("app", "64Mi")}));
  resize(memory("128Mi"));
  ASSERT_TRUE(kubelet_->wait([&] {
    return kubelet_->settled() == 1 && limit_of("app") == mi(128) &&
           !pod_status().contains("resize");
  }));
  ASSERT_EQ(moments.size(), 2U);
  EXPECT_EQ(moments[0].status["resize"], "InProgress");
  EXPECT_TRUE(moments[0].condition.is_null());
  EXPECT_FALSE(moments[0].status.contains("observedGeneration"));
  kubelet_.reset();
}

// The container's status as the API has it.
Json status_in(const Json& status) { return member(status, "containerStatuses")[0]; }

TEST_F(FakeKubeletTest, WithoutAProbeItIsReadyWhenItRuns) {
  start();
  create(pod_of({container("app", "64Mi")}));
  EXPECT_EQ(status_in(pod_status())["ready"], true);
  EXPECT_EQ(condition("ContainersReady")["status"], "True");
  EXPECT_TRUE(kubelet_->place("demo/web", "app")->ready);
}

TEST_F(FakeKubeletTest, ItIsReadyWhenItsProbeSaysSo) {
  start();
  const std::string file = tree_.path() + "/is-ready";
  Json app = container("app", "64Mi");
  app["readinessProbe"] = {
      {"exec", {{"command", {"test", "-e", file}}}}, {"periodSeconds", 1}, {"failureThreshold", 1}};
  create(pod_of({app, container("side", "64Mi")}));
  EXPECT_EQ(status_in(pod_status())["ready"], false);
  for (const char* type : {"Ready", "ContainersReady"}) {
    EXPECT_EQ(condition(type)["status"], "False") << type;
    EXPECT_EQ(text_at(condition(type), "message"), "containers with unready status: [app]");
  }
  EXPECT_FALSE(kubelet_->place("demo/web", "app")->ready);
  EXPECT_TRUE(kubelet_->place("demo/web", "side")->ready);
  EXPECT_FALSE(kubelet_->place("demo/web", "side")->pod_ready_since);

  tree_.set("", "is-ready", "");
  ASSERT_TRUE(kubelet_->wait([&] { return condition("Ready")["status"] == "True"; }));
  EXPECT_EQ(status_in(pod_status())["ready"], true);
  EXPECT_EQ(text_at(condition("Ready"), "reason"), "");
  EXPECT_TRUE(kubelet_->place("demo/web", "app")->pod_ready_since);
  EXPECT_EQ(first_word(tree_.get(kubelet_->place("demo/web", "app")->group, "cgroup.procs")), "0")
      << "the probe ran in the container's cgroup";

  std::filesystem::remove(file);
  ASSERT_TRUE(kubelet_->wait([&] { return condition("Ready")["status"] == "False"; }));
  EXPECT_EQ(text_at(condition("Ready"), "reason"), "ContainersNotReady");
}

TEST_F(FakeKubeletTest, AProbeThatTakesTooLongFailed) {
  start();
  const std::string file = tree_.path() + "/is-slow";
  Json app = container("app", "64Mi");
  app["readinessProbe"] = {
      {"exec", {{"command", {"sh", "-c", "test ! -e " + file + " || exec sleep 100"}}}},
      {"failureThreshold", 1}};
  create(pod_of({app}));
  ASSERT_TRUE(kubelet_->wait([&] { return condition("Ready")["status"] == "True"; }));
  tree_.set("", "is-slow", "");
  ASSERT_TRUE(kubelet_->wait([&] { return condition("Ready")["status"] == "False"; }));
}

TEST_F(FakeKubeletTest, WhatEndedStartsAnewAndIsNotReadyAtFirst) {
  start("1.36", [](FakeKubeletOptions& options) { options.run = true; });
  const std::string file = tree_.path() + "/is-ready";
  Json app = container("app", "64Mi");
  const std::string end = tree_.path() + "/end";
  app["command"] = {"sh", "-c", "until [ -e " + end + " ]; do sleep 0.05; done; rm " + end};
  app["readinessProbe"] = {{"exec", {{"command", {"test", "-e", file}}}}};
  create(pod_of({app}));
  tree_.set("", "is-ready", "");
  ASSERT_TRUE(kubelet_->wait([&] { return condition("Ready")["status"] == "True"; }));
  const auto before = kubelet_->place("demo/web", "app");

  std::filesystem::remove(file);
  tree_.set("", "end", "");
  ASSERT_TRUE(kubelet_->wait([&] { return status_in(pod_status())["restartCount"] == 1; }));
  const Json status = status_in(pod_status());
  EXPECT_EQ(status["ready"], false);
  EXPECT_EQ(condition("Ready")["status"], "False");
  EXPECT_EQ(member(member(status["lastState"], "terminated"), "containerID"),
            "containerd://" + before->id);
  EXPECT_NE(status["containerID"], "containerd://" + before->id);
  const auto after = kubelet_->place("demo/web", "app");
  EXPECT_NE(after->group, before->group);
  EXPECT_LT(*before->running_since, *before->pod_ready_since);
  EXPECT_LT(*before->pod_ready_since, *after->running_since);
  EXPECT_FALSE(after->pod_ready_since);
  // kubelet_ goes before the tree that its containers are in.
  kubelet_.reset();
}

TEST_F(FakeKubeletTest, ADeletedPodIsTakenDown) {
  start();
  create(pod_of({container("app", "64Mi")}));
  const auto place = kubelet_->place("demo/web", "app");
  ASSERT_EQ(api_->request("DELETE", "/api/v1/namespaces/demo/pods/web").status, 200);
  ASSERT_TRUE(kubelet_->wait([&] { return pod().is_null(); }));
  ASSERT_TRUE(kubelet_->wait([&] { return !kubelet_->place("demo/web", "app"); }));
}

}  // namespace
}  // namespace plimsoll::test::fake_kubelet_test
