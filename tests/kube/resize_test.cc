// SPDX-License-Identifier: Apache-2.0
#include "kube/resize.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kube/pod_json.h"
#include "kube/status.h"
#include "tests/kube/recording.h"

namespace plimsoll::kube::resize_test {
namespace {

using nlohmann::json;
using test::recorded;

constexpr Bytes mib(std::uint64_t n) { return {n * kMiB}; }

// As kube-apiserver 1.36 with a node that declares all features.
constexpr ResizeAbility kNewest{
    .path = ResizePath::kSubresource, .minor = 36, .init_containers = true, .pod_level = true};

Container container_of(std::string name, Bytes request, Bytes limit,
                       ContainerKind kind = ContainerKind::kMain) {
  Container container;
  container.name = std::move(name);
  container.kind = kind;
  container.resources.requests = {.memory = request, .cpu = MilliCpu{100}};
  container.resources.limits = {.memory = limit, .cpu = MilliCpu{500}};
  container.status.emplace();
  container.status->state = ContainerState::kRunning;
  container.status->resources = container.resources;
  return container;
}

Pod burstable() {
  Pod pod;
  pod.id = {.uid = "u-1", .namespace_name = "demo", .name = "web"};
  pod.node_name = "node-a";
  pod.phase = PodPhase::kRunning;
  pod.qos = QosClass::kBurstable;
  pod.containers = {container_of("app", mib(128), mib(256)),
                    container_of("side", mib(32), mib(64))};
  return pod;
}

Pod guaranteed() {
  Pod pod = burstable();
  pod.qos = QosClass::kGuaranteed;
  for (Container& container : pod.containers) {
    container.resources.requests = container.resources.limits;
  }
  return pod;
}

ResizeChange limit_change(std::string name, Bytes limit) {
  ResizeChange change;
  change.container = std::move(name);
  change.limits.memory = limit;
  return change;
}

TEST(ResizeRequest, IsAStrategicMergeWithTheUidAndOnlyWhatChanges) {
  const Resize resize{.pod = {"uid-7", "demo", "web"}, .changes = {limit_change("app", mib(384))}};
  const Request request = resize_request(resize, ResizePath::kSubresource, "plimsoll");
  EXPECT_EQ(request.method, Method::kPatch);
  EXPECT_EQ(request.path,
            "/api/v1/namespaces/demo/pods/web/resize?fieldManager=plimsoll&fieldValidation=Strict");
  EXPECT_EQ(request.content_type, "application/strategic-merge-patch+json");
  EXPECT_EQ(json::parse(request.body), json::parse(R"({"metadata":{"uid":"uid-7"},"spec":{
    "containers":[{"name":"app","resources":{"limits":{"memory":"384Mi"}}}]}})"));
}

TEST(ResizeRequest, HasTheSpecOfTheRecordedOneThatWasTaken) {
  for (const char* name : {"10-resize-smp-memory-up", "20b-guaranteed-both", "25c-limitrange-ok"}) {
    const test::RecordedReply reply = recorded(name).front();
    ASSERT_EQ(reply.status, 200) << name;
    const json sent = json::parse(reply.request_body);
    const json resources = sent["spec"]["containers"][0]["resources"];
    Resize resize;
    resize.changes.push_back(
        limit_change(sent["spec"]["containers"][0]["name"],
                     parse_memory(resources["limits"]["memory"].get<std::string>()).value()));
    if (resources.contains("requests")) {
      resize.changes[0].requests.memory =
          parse_memory(resources["requests"]["memory"].get<std::string>()).value();
    }
    const Request request = resize_request(resize, ResizePath::kSubresource, "kx");
    EXPECT_EQ(json::parse(request.body)["spec"], sent["spec"]) << name;
    EXPECT_TRUE(request.path.find("?fieldManager=kx") != std::string::npos);
  }
}

TEST(ResizeRequest, NamesAllContainersOfOnePodInOnePatch) {
  Resize resize{.pod = {"u", "demo", "web"}, .changes = {limit_change("app", mib(512))}};
  resize.changes.push_back(limit_change("proxy", mib(96)));
  resize.changes[1].kind = ContainerKind::kSidecar;
  resize.changes.push_back(limit_change("other", mib(7)));
  resize.changes[2].requests.memory = mib(7);
  resize.changes[2].limits.cpu = MilliCpu{1500};
  const json spec = json::parse(resize_request(resize, ResizePath::kSubresource, "p").body)["spec"];
  EXPECT_EQ(spec, json::parse(R"({
    "containers":[{"name":"app","resources":{"limits":{"memory":"512Mi"}}},
                  {"name":"other","resources":{"limits":{"memory":"7Mi","cpu":"1500m"},
                                               "requests":{"memory":"7Mi"}}}],
    "initContainers":[{"name":"proxy","resources":{"limits":{"memory":"96Mi"}}}]})"));
}

TEST(ResizeRequest, GoesWhereTheServerTakesIt) {
  Resize resize{.pod = {"u", "demo", "web"}, .changes = {limit_change("app", mib(1))}};
  EXPECT_EQ(resize_request(resize, ResizePath::kPodPatch, "a b").path,
            "/api/v1/namespaces/demo/pods/web?fieldManager=a%20b&fieldValidation=Strict");
  resize.dry_run = true;
  EXPECT_EQ(resize_request(resize, ResizePath::kSubresource, "p").path,
            "/api/v1/namespaces/demo/pods/web/resize?fieldManager=p&fieldValidation=Strict"
            "&dryRun=All");
}

struct PodRow {
  const char* what;
  std::function<void(Pod&, ResizeAbility&)> change;
  Resizability expected;
};

TEST(Resizability, OfAPod) {
  const std::vector<PodRow> rows{
      {"Burstable on 1.36", [](Pod&, auto&) {}, Resizability::kYes},
      {"Guaranteed", [](Pod& pod, auto&) { pod = guaranteed(); }, Resizability::kYes},
      {"no subresource", [](Pod&, auto& api) { api.path = ResizePath::kNone; },
       Resizability::kNoApi},
      {"1.27 patches the pod",
       [](Pod&, auto& api) {
         api = {ResizePath::kPodPatch, 27};
       },
       Resizability::kYes},
      {"another node", [](Pod& pod, auto&) { pod.node_name = "node-b"; }, Resizability::kOtherNode},
      {"not bound", [](Pod& pod, auto&) { pod.node_name.clear(); }, Resizability::kOtherNode},
      {"mirror", [](Pod& pod, auto&) { pod.annotations["kubernetes.io/config.mirror"] = "x"; },
       Resizability::kMirror},
      {"windows", [](Pod& pod, auto&) { pod.windows = true; }, Resizability::kWindows},
      {"BestEffort", [](Pod& pod, auto&) { pod.qos = QosClass::kBestEffort; },
       Resizability::kBestEffort},
      {"claims of any container",
       [](Pod& pod, auto&) { pod.containers[1].resources.has_claims = true; },
       Resizability::kClaims},
      {"terminating", [](Pod& pod, auto&) { pod.deleted_at = ApiTime{}; },
       Resizability::kTerminating},
      {"succeeded", [](Pod& pod, auto&) { pod.phase = PodPhase::kSucceeded; },
       Resizability::kFinished},
      {"failed", [](Pod& pod, auto&) { pod.phase = PodPhase::kFailed; }, Resizability::kFinished},
      {"an old kubelet", [](Pod& pod, auto&) { pod.containers[0].status->resources.reset(); },
       Resizability::kOldNode},
      {"only the first that runs counts",
       [](Pod& pod, auto&) { pod.containers[1].status->resources.reset(); }, Resizability::kYes},
      {"none runs: allowed",
       [](Pod& pod, auto&) {
         for (Container& each : pod.containers) {
           each.status->state = ContainerState::kWaiting;
           each.status->resources.reset();
         }
       },
       Resizability::kYes},
      {"pod-level on 1.34",
       [](Pod& pod, auto& api) {
         pod.resources.emplace();
         api.minor = 34;
       },
       Resizability::kPodLevel},
      {"pod-level on 1.35 with the gate off",
       [](Pod& pod, auto& api) {
         pod.resources.emplace();
         api.minor = 35;
         api.pod_level = false;
       },
       Resizability::kPodLevel},
      {"containers of a pod with pod-level resources on 1.36",
       [](Pod& pod, auto& api) {
         pod.resources.emplace();
         api.pod_level = false;
       },
       Resizability::kYes},
  };
  for (const PodRow& row : rows) {
    Pod pod = burstable();
    ResizeAbility api = kNewest;
    row.change(pod, api);
    EXPECT_EQ(can_resize(pod, api, "node-a"), row.expected) << row.what;
  }
}

TEST(Resizability, OfAContainer) {
  const std::vector<PodRow> rows{
      {"ordinary", [](Pod&, auto&) {}, Resizability::kYes},
      {"absent", [](Pod& pod, auto&) { pod.containers[0].name = "x"; },
       Resizability::kNoSuchContainer},
      {"no limit", [](Pod& pod, auto&) { pod.containers[0].resources.limits.memory.reset(); },
       Resizability::kNoLimit},
      {"the defaulting trap",
       [](Pod& pod, auto&) { pod.containers[0].resources.requests.memory.reset(); },
       Resizability::kNoRequest},
      {"restarts for memory",
       [](Pod& pod, auto&) { pod.containers[0].memory_resize = ResizePolicy::kRestartContainer; },
       Resizability::kRestart},
      {"restarts for cpu only",
       [](Pod& pod, auto&) { pod.containers[0].cpu_resize = ResizePolicy::kRestartContainer; },
       Resizability::kYes},
      {"sidecar on 1.33",
       [](Pod& pod, auto& api) {
         pod.containers[0].kind = ContainerKind::kSidecar;
         api.minor = 33;
       },
       Resizability::kYes},
      {"sidecar on 1.32",
       [](Pod& pod, auto& api) {
         pod.containers[0].kind = ContainerKind::kSidecar;
         api.minor = 32;
       },
       Resizability::kInit},
      {"a running init container on 1.36",
       [](Pod& pod, auto&) { pod.containers[0].kind = ContainerKind::kInit; }, Resizability::kYes},
      {"... whose node does not declare it",
       [](Pod& pod, auto& api) {
         pod.containers[0].kind = ContainerKind::kInit;
         api.init_containers = false;
       },
       Resizability::kInit},
      {"... that has ended",
       [](Pod& pod, auto&) {
         pod.containers[0].kind = ContainerKind::kInit;
         pod.containers[0].status->state = ContainerState::kTerminated;
       },
       Resizability::kInit},
      {"init container on 1.35",
       [](Pod& pod, auto& api) {
         pod.containers[0].kind = ContainerKind::kInit;
         api.minor = 35;
       },
       Resizability::kInit},
      {"ended in a pod that restarts nothing",
       [](Pod& pod, auto&) {
         pod.restart_policy = RestartPolicy::kNever;
         pod.containers[0].status->state = ContainerState::kTerminated;
       },
       Resizability::kNotRunning},
      {"requests of a critical pod",
       [](Pod& pod, auto&) {
         pod = guaranteed();
         pod.priority = 2'000'001'000;
       },
       Resizability::kCritical},
      {"only the limit of a critical pod", [](Pod& pod, auto&) { pod.priority = 2'000'001'000; },
       Resizability::kYes},
  };
  for (const PodRow& row : rows) {
    Pod pod = burstable();
    ResizeAbility api = kNewest;
    row.change(pod, api);
    EXPECT_EQ(can_resize_memory(pod, "app", api), row.expected) << row.what;
  }
}

TEST(Resizability, OfAChange) {
  struct Row {
    const char* what;
    std::vector<ResizeChange> changes;
    Resizability expected;
    std::function<void(Pod&, ResizeAbility&)> change = [](Pod&, ResizeAbility&) {};
  };
  ResizeChange both = limit_change("app", mib(512));
  both.limits.cpu = MilliCpu{900};
  ResizeChange request_up = limit_change("app", mib(512));
  request_up.requests.memory = mib(600);
  const std::vector<Row> rows{
      {"up", {limit_change("app", mib(512))}, Resizability::kYes},
      {"down on 1.36", {limit_change("app", mib(200))}, Resizability::kYes},
      {"down on 1.33",
       {limit_change("app", mib(200))},
       Resizability::kDecrease,
       [](Pod&, auto& api) { api.minor = 33; }},
      {"down on 1.34",
       {limit_change("app", mib(200))},
       Resizability::kYes,
       [](Pod&, auto& api) { api.minor = 34; }},
      {"below its request (24)", {limit_change("app", mib(64))}, Resizability::kBelowRequest},
      {"request above limit (24b)", {request_up}, Resizability::kBelowRequest},
      {"Guaranteed, limit only (20)",
       {limit_change("app", mib(512))},
       Resizability::kQos,
       [](Pod& pod, auto&) { pod = guaranteed(); }},
      {"Burstable becomes Guaranteed (20e)",
       {limit_change("app", mib(128))},
       Resizability::kQos,
       [](Pod& pod, auto&) {
         pod.containers.resize(1);
         pod.containers[0].resources.requests.cpu = MilliCpu{500};
       }},
      {"cpu and memory", {both}, Resizability::kYes},
      {"cpu and memory, cpu restarts",
       {both},
       Resizability::kRestart,
       [](Pod& pod, auto&) { pod.containers[0].cpu_resize = ResizePolicy::kRestartContainer; }},
      {"cpu and memory, memory restarts",
       {both},
       Resizability::kRestart,
       [](Pod& pod, auto&) { pod.containers[0].memory_resize = ResizePolicy::kRestartContainer; }},
      {"above the pod-level limit (70)",
       {limit_change("app", mib(512))},
       Resizability::kAbovePod,
       [](Pod& pod, auto&) {
         pod.resources.emplace();
         pod.resources->requests = {.memory = mib(128), .cpu = MilliCpu{100}};
         pod.resources->limits = {.memory = mib(400), .cpu = MilliCpu{900}};
       }},
      {"no such container (21)", {limit_change("ghost", mib(512))}, Resizability::kNoSuchContainer},
      {"one of two is bad",
       {limit_change("side", mib(128)), limit_change("app", mib(64))},
       Resizability::kBelowRequest},
  };
  for (const Row& row : rows) {
    Pod pod = burstable();
    ResizeAbility api = kNewest;
    row.change(pod, api);
    EXPECT_EQ(can_apply(pod, row.changes, api), row.expected) << row.what;
  }
}

// What the API server computed for the pods of the recordings is what we compute.
TEST(QosClassOf, AgreesWithTheApiServer) {
  std::size_t compared = 0;
  for (const std::string& text : test::recorded_pods()) {
    const Result<Pod> pod = parse_pod(text);
    ASSERT_TRUE(pod) << pod.error().message;
    if (!pod->qos) continue;
    EXPECT_EQ(qos_of(*pod), *pod->qos) << text;
    ++compared;
  }
  EXPECT_GT(compared, 100u);
}

// A real 1.36 API server on each pod and PATCH: it took those of the left, refused those of the
// right column.
TEST(CanApply, AgreesWithTheApiServer) {
  const Pod guar = parse_pod(recorded("20b-guaranteed-both").front().body).value();
  EXPECT_EQ(recorded("20-guaranteed-limits-only").front().status, 422);
  const Bytes now = *guar.containers[0].resources.limits.memory;
  EXPECT_EQ(can_apply(guar, std::vector{limit_change("app", now + now)}, kNewest),
            Resizability::kQos);
  const auto following = memory_change(guar, "app", now + now);
  ASSERT_TRUE(following);
  EXPECT_EQ(following->requests.memory, now + now);
  EXPECT_EQ(can_apply(guar, std::vector{*following}, kNewest), Resizability::kYes);

  const Pod web = parse_pod(recorded("10-resize-smp-memory-up").front().body).value();
  EXPECT_EQ(can_resize(web, kNewest, web.node_name), Resizability::kYes);
  const auto up = memory_change(web, "app", mib(1024));
  ASSERT_TRUE(up);
  EXPECT_FALSE(up->requests.memory) << "only the limit of a Burstable pod";
  EXPECT_FALSE(memory_change(web, "app", *web.containers[0].resources.limits.memory))
      << "nothing changes";

  EXPECT_EQ(recorded("38-node-without-resize").back().status, 422);
  EXPECT_EQ(recorded("20c-besteffort-add-limit").back().status, 422);
}

TEST(PodMemoryLimit, IsWhatTheKubeletWritesToTheSlice) {
  Pod pod = burstable();
  EXPECT_EQ(pod_memory_limit(pod), mib(320));
  pod.overhead.memory = mib(20);
  EXPECT_EQ(pod_memory_limit(pod), mib(340));
  pod.containers.push_back(container_of("proxy", mib(8), mib(16), ContainerKind::kSidecar));
  EXPECT_EQ(pod_memory_limit(pod), mib(356));
  pod.containers.push_back(container_of("init", mib(8), mib(1000), ContainerKind::kInit));
  EXPECT_EQ(pod_memory_limit(pod), mib(1036)) << "init containers run beside earlier sidecars";
  pod.containers[1].resources.limits.memory.reset();
  EXPECT_EQ(pod_memory_limit(pod), std::nullopt) << "one without a limit: none for the pod";
  pod.resources.emplace();
  pod.resources->limits.memory = mib(700);
  EXPECT_EQ(pod_memory_limit(pod), mib(720)) << "pod-level limits win";
}

TEST(Resizability, OfACpuLimit) {
  struct Row {
    const char* what;
    std::function<void(Pod&)> change;
    Resizability why;
  };
  const std::vector<Row> rows{
      {"as it is", [](Pod&) {}, Resizability::kYes},
      {"no limit", [](Pod& pod) { pod.containers[0].resources.limits.cpu.reset(); },
       Resizability::kNoLimit},
      {"no request", [](Pod& pod) { pod.containers[0].resources.requests.cpu.reset(); },
       Resizability::kNoRequest},
      {"restarts", [](Pod& pod) { pod.containers[0].cpu_resize = ResizePolicy::kRestartContainer; },
       Resizability::kRestart},
      {"restarts for memory only",
       [](Pod& pod) { pod.containers[0].memory_resize = ResizePolicy::kRestartContainer; },
       Resizability::kYes},
      {"guaranteed", [](Pod& pod) { pod = guaranteed(); }, Resizability::kQos},
      {"init, not running",
       [](Pod& pod) {
         pod.containers[0].kind = ContainerKind::kInit;
         pod.containers[0].status->state = ContainerState::kWaiting;
       },
       Resizability::kInit},
  };
  for (const Row& row : rows) {
    Pod pod = burstable();
    row.change(pod);
    EXPECT_EQ(can_resize_cpu(pod, "app", kNewest), row.why) << row.what;
  }
}

TEST(CpuChange, IsTheLimitOnly) {
  const Pod pod = burstable();
  const auto change = cpu_change(pod, "app", MilliCpu{2000});
  ASSERT_TRUE(change);
  EXPECT_EQ(change->limits, (Amounts{.memory = std::nullopt, .cpu = MilliCpu{2000}}));
  EXPECT_EQ(change->requests, Amounts{});
  EXPECT_FALSE(cpu_change(pod, "app", MilliCpu{500})) << "it is that already";
  EXPECT_FALSE(cpu_change(pod, "none", MilliCpu{2000}));
}

TEST(PodCpuLimit, IsTheSumWhereAllHaveOne) {
  Pod pod = burstable();
  EXPECT_EQ(pod_cpu_limit(pod), MilliCpu{1000});
  pod.containers[1].resources.limits.cpu.reset();
  EXPECT_EQ(pod_cpu_limit(pod), std::nullopt);
  pod.resources.emplace();
  pod.resources->limits.cpu = MilliCpu{700};
  EXPECT_EQ(pod_cpu_limit(pod), MilliCpu{700});
}

TEST(CanApply, NoCpuLimitAboveThePods) {
  Pod pod = burstable();
  pod.resources.emplace();
  pod.resources->limits = {.memory = mib(512), .cpu = MilliCpu{1500}};
  const std::vector changes{*cpu_change(pod, "app", MilliCpu{2000})};
  EXPECT_EQ(can_apply(pod, changes, kNewest), Resizability::kAbovePod);
}

TEST(ResizeReply, HasTheNewGenerationAndLimits) {
  const test::RecordedReply recording = recorded("10-resize-smp-memory-up").front();
  const Response response{.status = recording.status, .body = recording.body};
  const Result<Pod> pod = parse_resize_reply(response);
  ASSERT_TRUE(pod) << pod.error().message;
  EXPECT_EQ(pod->generation, 2);
  EXPECT_EQ(pod->resource_version, "234");
  EXPECT_EQ(pod->containers[0].resources.limits.memory, mib(384));
  EXPECT_EQ(parse_resize_reply({.status = 200, .body = "{}"}).error().code, Code::kMalformed);
  EXPECT_EQ(parse_resize_reply({.status = 403, .body = recording.body}).error().code,
            Code::kMalformed);
}

TEST(Resizability, HasWordsForEveryReason) {
  std::vector<std::string_view> names;
  for (int why = 0; why <= static_cast<int>(Resizability::kDecrease); ++why) {
    EXPECT_GT(explain(static_cast<Resizability>(why)).size(), 10u);
    names.push_back(to_string(static_cast<Resizability>(why)));
  }
  std::sort(names.begin(), names.end());
  EXPECT_EQ(std::adjacent_find(names.begin(), names.end()), names.end());
}

}  // namespace
}  // namespace plimsoll::kube::resize_test
