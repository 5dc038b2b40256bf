// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_json.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/kube/recording.h"

namespace plimsoll::kube::pod_json_test {
namespace {

using Json = nlohmann::json;
using std::chrono::sys_days;
using std::chrono::year;

Json last_pod(const std::string& recording) {
  return Json::parse(test::recorded(recording).back().body);
}

Pod parsed(const Json& json) {
  auto pod = parse_pod(json.dump());
  EXPECT_TRUE(pod) << pod.error().message;
  return pod.value_or(Pod{});
}

Json small_pod() {
  return Json::parse(R"({"metadata":{"name":"p","namespace":"ns","uid":"u1"},
                         "spec":{"containers":[{"name":"app","resources":{}}]},"status":{}})");
}

Pod last_event(const std::string& recording) {
  std::string text = test::recorded_watch_events(recording);
  text.pop_back();
  return parsed(Json::parse(text.substr(text.rfind('\n') + 1)).at("object"));
}

TEST(PodJson, ReadsARunningPod) {
  const Pod pod = parsed(last_pod("01-create-pod-and-status"));
  Pod expected;
  expected.id = {"73010e0f-0fb2-4ba3-8d0d-fb43a43c8532", "demo", "web"};
  expected.resource_version = "233";
  expected.node_name = "node-a";
  expected.labels = {{"app", "web"}};
  expected.generation = 1;
  expected.priority = 0;
  expected.phase = PodPhase::kRunning;
  expected.qos = QosClass::kBurstable;
  expected.observed_generation = 1;
  const Amounts requests{.memory = Bytes{128 * kMiB}, .cpu = MilliCpu{100}};
  const Resources resources{.requests = requests,
                            .limits = {.memory = Bytes{256 * kMiB}, .cpu = MilliCpu{500}}};
  ContainerStatus status{
      .id = "containerd://963f4cd6a9fbcec2444b976a00b5fd753a32eb91e89083b202e3e9b709466c52",
      .state = ContainerState::kRunning,
      .started_at = sys_days(year(2026) / 11 / 21) + std::chrono::minutes(21 * 60 + 31),
      .ready = true,
      .started = true,
      .resources = resources,
      .allocated = requests};
  expected.containers = {{.name = "app", .resources = resources, .status = status}};
  EXPECT_EQ(pod, expected);
  EXPECT_EQ(resize_phase(pod), ResizePhase::kNone);
  EXPECT_EQ(last_resized_by(pod), nullptr);
}

TEST(PodJson, ReadsEveryRecordedPod) {
  for (const std::string& text : test::recorded_pods()) {
    const auto pod = parse_pod(text);
    ASSERT_TRUE(pod) << pod.error().message << "\n" << text.substr(0, 300);
    const Json json = Json::parse(text);
    EXPECT_EQ(pod->id.name, json.at("metadata").at("name").get<std::string>());
    EXPECT_EQ(pod->containers.size(),
              json.at("spec").at("containers").size() +
                  json.at("spec").value("initContainers", Json::array()).size());
    EXPECT_TRUE(pod->qos);
    const PodGlimpse glimpse = glimpse_pod(text);
    EXPECT_EQ(glimpse.id, pod->id);
    EXPECT_EQ(glimpse.resource_version, pod->resource_version);
  }
}

TEST(PodJson, TellsSidecarsFromInitContainers) {
  const Pod pod = parsed(last_pod("34-sidecar"));
  ASSERT_EQ(pod.containers.size(), 3U);
  EXPECT_EQ(pod.containers[0].name, "app");
  EXPECT_EQ(pod.containers[0].kind, ContainerKind::kMain);
  EXPECT_EQ(pod.containers[1].name, "log");
  EXPECT_EQ(pod.containers[1].kind, ContainerKind::kSidecar);
  EXPECT_EQ(pod.containers[1].status->state, ContainerState::kRunning);
  EXPECT_EQ(pod.containers[1].resources.limits.memory, Bytes{96 * kMiB});
  EXPECT_EQ(pod.containers[1].status->resources->limits.memory, Bytes{64 * kMiB});
  EXPECT_EQ(pod.containers[2].name, "init");
  EXPECT_EQ(pod.containers[2].kind, ContainerKind::kInit);
  EXPECT_EQ(pod.containers[2].status->state, ContainerState::kTerminated);
  EXPECT_EQ(pod.containers[2].status->reason, "Completed");
  EXPECT_EQ(resize_phase(pod), ResizePhase::kProposed);  // generation 2, seen 1
}

// Both lists have a place of their own in the spec.
TEST(PodJson, AStatusInTheWrongListIsNobodys) {
  Json json = small_pod();
  json["status"]["initContainerStatuses"] = {{{"name", "app"}, {"containerID", "containerd://x"}}};
  EXPECT_FALSE(parsed(json).containers.at(0).status);
  json["status"]["containerStatuses"] = json["status"]["initContainerStatuses"];
  EXPECT_EQ(parsed(json).containers.at(0).status->id, "containerd://x");
}

TEST(PodJson, ReadsResizePolicies) {
  const Pod pod = parsed(last_pod("33-resizepolicy-restart"));
  EXPECT_EQ(pod.containers.at(0).memory_resize, ResizePolicy::kRestartContainer);
  EXPECT_EQ(pod.containers.at(0).cpu_resize, ResizePolicy::kNotRequired);

  Json unknown = small_pod();
  unknown["spec"]["containers"][0]["resizePolicy"] =
      Json::parse(R"([{"resourceName":"memory","restartPolicy":"NotRequired"},
                      {"resourceName":"cpu","restartPolicy":"SomethingNew"}])");
  EXPECT_EQ(parsed(unknown).containers[0].memory_resize, ResizePolicy::kNotRequired);
  EXPECT_EQ(parsed(unknown).containers[0].cpu_resize, ResizePolicy::kRestartContainer);
}

TEST(PodJson, KnowsWhetherAProbeTellsOfTheStart) {
  const auto has_probe = [](std::string_view members) {
    Json json = small_pod();
    json["spec"]["containers"][0].update(Json::parse(members));
    return parsed(json).containers.at(0).has_probe;
  };
  EXPECT_FALSE(has_probe("{}"));
  EXPECT_TRUE(has_probe(R"({"readinessProbe":{"httpGet":{"path":"/","port":80}}})"));
  EXPECT_TRUE(has_probe(R"({"startupProbe":{"exec":{"command":["true"]},"periodSeconds":1}})"));
  EXPECT_FALSE(has_probe(R"({"livenessProbe":{"tcpSocket":{"port":80}}})"));
  EXPECT_FALSE(has_probe(R"({"readinessProbe":null,"startupProbe":null})"));

  Json sidecar = small_pod();
  sidecar["spec"]["initContainers"] = Json::parse(
      R"([{"name":"log","restartPolicy":"Always","startupProbe":{"grpc":{"port":1}}}])");
  const Pod pod = parsed(sidecar);
  EXPECT_FALSE(pod.containers.at(0).has_probe);
  EXPECT_TRUE(pod.containers.at(1).has_probe);
}

// A probe is skipped as it is read: neither its size nor its words matter.
TEST(PodJson, WhatIsInAProbeIsNotKept) {
  Json json = small_pod();
  Json& probe = json["spec"]["containers"][0]["readinessProbe"];
  probe = Json::parse(R"({"name":"other","resources":{"limits":{"memory":"lots"}},
                          "resizePolicy":7,"startupProbe":{"restartPolicy":"Always"}})");
  for (std::size_t i = 0; i < kMostValues; ++i) probe["exec"]["command"].push_back("x");
  json["spec"]["containers"].push_back({{"name", "next"}});
  const Pod pod = parsed(json);
  ASSERT_EQ(pod.containers.size(), 2U);
  EXPECT_EQ(pod.containers[0], (Container{.name = "app", .has_probe = true}));
  EXPECT_EQ(pod.containers[1], (Container{.name = "next"}));
}

TEST(PodJson, KnowsAMirrorPod) {
  const Pod pod = parsed(Json::parse(test::recorded("32-mirror-pod").front().body));
  EXPECT_TRUE(is_mirror(pod));
  EXPECT_EQ(cgroup_uid(pod), "c0ffee");
  EXPECT_EQ(pod.annotations.size(), 3U);
  EXPECT_EQ(pod.owner, (Owner{"Node", "node-a"}));
  EXPECT_EQ(pod.phase, PodPhase::kPending);
  EXPECT_FALSE(pod.containers.at(0).status);

  const Pod ordinary = parsed(last_pod("01-create-pod-and-status"));
  EXPECT_FALSE(is_mirror(ordinary));
  EXPECT_EQ(cgroup_uid(ordinary), ordinary.id.uid);
}

TEST(PodJson, ReadsPodLevelResources) {
  const Pod pod = last_event("v8-kubelet-podlevel");
  ASSERT_TRUE(pod.resources);
  EXPECT_EQ(pod.resources->limits.memory, Bytes{160 * kMiB});
  EXPECT_EQ(pod.resources->limits.cpu, MilliCpu{500});
  ASSERT_TRUE(pod.status_resources);
  EXPECT_EQ(pod.status_resources->limits.memory, Bytes{160 * kMiB});
  EXPECT_EQ(pod.status_resources->requests.cpu, MilliCpu{79});
  EXPECT_EQ(pod.allocated, (Amounts{.memory = Bytes{64 * kMiB}, .cpu = MilliCpu{100}}));
  EXPECT_FALSE(pod.containers.at(0).resources.limits.memory);
}

TEST(PodJson, ReadsHowContainersEnded) {
  const Pod pod = last_event("v7-kubelet-oomkill");
  const ContainerStatus& status = *pod.containers.at(0).status;
  EXPECT_EQ(status.state, ContainerState::kWaiting);
  EXPECT_EQ(status.reason, "RunContainerError");
  EXPECT_EQ(status.restart_count, 5U);
  EXPECT_EQ(status.last_state->reason, "StartError");
  EXPECT_EQ(status.last_state->exit_code, 128);
  EXPECT_FALSE(status.ready);

  const Pod killed = parsed(last_pod("31c-crashloop-oomkilled"));
  EXPECT_EQ(killed.containers.at(0).status->last_state->reason, "OOMKilled");
  EXPECT_EQ(killed.containers.at(0).status->last_state->exit_code, 137);
  EXPECT_EQ(killed.containers.at(0).status->reason, "CrashLoopBackOff");
}

TEST(PodJson, ReadsTheResizeOfARealKubelet) {
  const Pod deferred = last_event("v3-kubelet-deferred");
  EXPECT_EQ(resize_phase(deferred), ResizePhase::kDeferred);
  EXPECT_EQ(deferred.resize.pending->observed_generation, 2);
  EXPECT_TRUE(deferred.resize.pending->message.starts_with("Node didn't have enough resource"));

  const Pod failing = last_event("v2-kubelet-shrink-below-usage");
  EXPECT_EQ(resize_phase(failing), ResizePhase::kError);
  EXPECT_TRUE(failing.resize.in_progress->message.starts_with("cannot decrease memory limits"));

  const Pod done = last_event("v1-kubelet-raise");
  EXPECT_EQ(resize_phase(done), ResizePhase::kNone);
  EXPECT_EQ(done.containers.at(0).status->resources->limits.memory, Bytes{70 * kMiB});
  ASSERT_NE(last_resized_by(done), nullptr);
  EXPECT_EQ(last_resized_by(done)->manager, "kx");
}

// The replies to one resize, from the PATCH to its end.
TEST(PodJson, FollowsAResizeThroughItsConditions) {
  std::vector<ResizePhase> phases;
  for (const auto& reply : test::recorded("60-resize-conditions")) {
    phases.push_back(resize_phase(parsed(Json::parse(reply.body))));
  }
  EXPECT_EQ(phases,
            (std::vector{ResizePhase::kProposed, ResizePhase::kDeferred, ResizePhase::kInfeasible,
                         ResizePhase::kInProgress, ResizePhase::kError, ResizePhase::kNone}));
}

TEST(PodJson, ReadsTheResizeStatusOfOldVersions) {
  const std::pair<std::string, ResizePhase> words[] = {{"Proposed", ResizePhase::kProposed},
                                                       {"InProgress", ResizePhase::kInProgress},
                                                       {"Deferred", ResizePhase::kDeferred},
                                                       {"Infeasible", ResizePhase::kInfeasible},
                                                       {"", ResizePhase::kNone}};
  for (const auto& [word, phase] : words) {
    Json json = small_pod();
    json["status"]["resize"] = word;
    EXPECT_EQ(resize_phase(parsed(json)), phase) << word;
  }
}

TEST(PodJson, AConditionThatIsFalseIsNone) {
  Json json = small_pod();
  json["status"]["conditions"] =
      Json::parse(R"([{"type":"PodResizePending","status":"False","reason":"Deferred"}])");
  EXPECT_EQ(resize_phase(parsed(json)), ResizePhase::kNone);
}

// A pending resize hides an older one that is still being carried out.
TEST(PodJson, PendingComesBeforeInProgress) {
  Json json = small_pod();
  json["status"]["conditions"] = Json::parse(
      R"([{"type":"PodResizeInProgress","status":"True","reason":"Error","message":"x"},
          {"type":"PodResizePending","status":"True","reason":"Infeasible"}])");
  const Pod pod = parsed(json);
  EXPECT_EQ(resize_phase(pod), ResizePhase::kInfeasible);
  EXPECT_EQ(pod.resize.in_progress->reason, "Error");
}

TEST(PodJson, NamesWhoResizedLast) {
  Json json = small_pod();
  json["metadata"]["managedFields"] = Json::parse(
      R"([{"manager":"vpa","subresource":"resize","time":"2026-11-21T21:00:02Z","fieldsV1":{"a":{}}},
          {"manager":"plimsoll","subresource":"resize","time":"2026-11-21T21:00:01Z"},
          {"manager":"kubelet","subresource":"status","time":"2026-11-21T22:00:00Z"},
          {"manager":"kubectl","time":"2026-11-21T23:00:00Z"}])");
  const Pod pod = parsed(json);
  ASSERT_EQ(pod.resized_by.size(), 2U);
  EXPECT_EQ(last_resized_by(pod)->manager, "vpa");
}

// manager: containers whose memory limit is its, containers whose CPU limit is.
std::string owners(const Pod& pod) {
  std::string text;
  for (const ResizedBy& each : pod.resized_by) {
    text += each.manager + ":";
    for (const std::string& name : each.memory_limits) text += " " + name;
    text += " /";
    for (const std::string& name : each.cpu_limits) text += " " + name;
    text += "; ";
  }
  return text;
}

TEST(PodJson, NamesWhoseALimitIs) {
  const auto recorded = [](const char* name) { return owners(parsed(last_pod(name))); };
  EXPECT_EQ(recorded("01-create-pod-and-status"), "") << "declared, not resized";
  EXPECT_EQ(recorded("10-resize-smp-memory-up"), "kx: app /; ");
  EXPECT_EQ(recorded("13b-resize-ssa-force"), "autofit: app /; ") << "kx has lost it";
  EXPECT_EQ(recorded("14-resize-put"), "autofit: /; kx: app /; ");
  EXPECT_EQ(owners(last_event("v6-kubelet-guaranteed")), "kx: app /; ");
  EXPECT_EQ(owners(last_event("v8-kubelet-podlevel")), "kx: /; ") << "of the pod";

  Json json = small_pod();
  json["metadata"]["managedFields"] = Json::parse(
      R"([{"manager":"vpa","subresource":"resize","fieldsV1":{"f:spec":{
             "f:containers":{"k:{\"name\":\"app\"}":{"f:resources":{
                "f:limits":{"f:cpu":{}},"f:requests":{"f:memory":{}}}}},
             "f:initContainers":{"k:{\"name\":\"side\"}":{"f:resources":{
                "f:limits":{"f:cpu":{},"f:memory":{}}}},
                                 "k:{\"other\":\"x\"}":{"f:resources":{"f:limits":{"f:cpu":{}}}}}}}},
          {"manager":"bare","subresource":"resize"},
          {"manager":"kubectl","fieldsV1":{"f:spec":{"f:containers":{"k:{\"name\":\"app\"}":{
             "f:resources":{"f:limits":{"f:memory":{}}}}}}}}])");
  EXPECT_EQ(owners(parsed(json)), "vpa: side / app side; bare: /; ");
}

TEST(PodJson, KeepsLabelsAndOurAnnotationsOnly) {
  Json json = small_pod();
  json["metadata"]["labels"] = {{"app", "web"}, {"memory", "x"}, {"example.com/team", "a"}};
  json["metadata"]["annotations"] = {{"plimsoll.dev/memory-ceiling", "4Gi"},
                                     {"plimsoll.dev.evil/x", "1"},
                                     {"kubernetes.io/config.seen", "2026"},
                                     {"kubernetes.io/config.source", "api"},
                                     {"kubectl.kubernetes.io/last-applied-configuration", "{}"}};
  const Pod pod = parsed(json);
  EXPECT_EQ(pod.labels, (TextMap{{"app", "web"}, {"example.com/team", "a"}, {"memory", "x"}}));
  EXPECT_EQ(pod.annotations, (TextMap{{"kubernetes.io/config.source", "api"},
                                      {"plimsoll.dev/memory-ceiling", "4Gi"}}));
}

// Whoever may patch a pod chooses them, and the agent keeps those of every pod of the node.
TEST(PodJson, KeepsOnlySoMuchOfAnnotations) {
  Json json = small_pod();
  json["metadata"]["annotations"] = {{"plimsoll.dev/announce", "make=" + std::string(5000, '9')}};
  const std::string value = parsed(json).annotations.at("plimsoll.dev/announce");
  EXPECT_EQ(value.size(), kLongestAnnotation + 3);
  EXPECT_TRUE(value.ends_with("9...")) << "nobody takes it for a number";

  for (int i = 0; i < 200; ++i) {
    json["metadata"]["annotations"]["plimsoll.dev/x" + std::to_string(i)] =
        std::string(kLongestAnnotation, 'y');
  }
  std::size_t kept = 0;
  for (const auto& [key, text] : parsed(json).annotations) kept += key.size() + text.size();
  EXPECT_LE(kept, kMostAnnotationBytes);
  EXPECT_GT(kept, kMostAnnotationBytes / 2);
}

TEST(PodJson, ReadsTheRestOfTheSpec) {
  Json json = small_pod();
  json["metadata"]["deletionTimestamp"] = "2026-11-21T21:31:30Z";
  json["metadata"]["ownerReferences"] = Json::parse(
      R"([{"kind":"Other","name":"a"},{"kind":"ReplicaSet","name":"web-1","controller":true}])");
  json["spec"]["priority"] = 2000001000;
  json["spec"]["priorityClassName"] = "system-node-critical";
  json["spec"]["restartPolicy"] = "Never";
  json["spec"]["os"] = {{"name", "windows"}};
  json["spec"]["runtimeClassName"] = "gvisor";
  json["spec"]["overhead"] = {{"memory", "120Mi"}, {"cpu", "250m"}};
  json["spec"]["containers"][0]["resources"] =
      Json::parse(R"({"claims":[{"name":"gpu","request":"one"}],"limits":{"memory":1048576}})");
  const Pod pod = parsed(json);
  EXPECT_EQ(pod.deleted_at,
            sys_days(year(2026) / 11 / 21) + std::chrono::seconds((21 * 60 + 31) * 60 + 30));
  EXPECT_EQ(pod.owner, (Owner{"ReplicaSet", "web-1"}));
  EXPECT_EQ(pod.priority, 2'000'001'000);
  EXPECT_EQ(pod.priority_class, "system-node-critical");
  EXPECT_EQ(pod.restart_policy, RestartPolicy::kNever);
  EXPECT_TRUE(pod.windows);
  EXPECT_EQ(pod.runtime_class, "gvisor");
  EXPECT_EQ(pod.overhead, (Amounts{.memory = Bytes{120 * kMiB}, .cpu = MilliCpu{250}}));
  EXPECT_TRUE(pod.containers[0].resources.has_claims);
  EXPECT_EQ(pod.containers[0].resources.limits.memory, Bytes{kMiB});
}

TEST(PodJson, AbsentIsNotZero) {
  const Pod pod = parsed(small_pod());
  EXPECT_FALSE(pod.priority);
  EXPECT_FALSE(pod.generation);
  EXPECT_FALSE(pod.observed_generation);
  EXPECT_FALSE(pod.qos);
  EXPECT_FALSE(pod.resources);
  EXPECT_FALSE(pod.owner);
  EXPECT_FALSE(pod.containers.at(0).resources.limits.memory);
  EXPECT_FALSE(pod.containers.at(0).status);
  EXPECT_EQ(pod.phase, PodPhase::kUnknown);
}

struct Malformed {
  std::string where;  // JSON pointer
  Json value;
  std::string message;
};

TEST(PodJson, NamesTheFieldThatIsWrong) {
  const Malformed cases[] = {
      {"/metadata/uid", nullptr, "metadata has no usable uid"},
      {"/metadata/name", "", "metadata has no usable name"},
      {"/metadata/namespace", "a/b", "metadata has no usable namespace"},
      {"/metadata/uid", std::string(300, 'a'), "metadata has no usable uid"},
      {"/metadata/uid", 7, "metadata.uid is not a string"},
      {"/metadata/labels", {{"a", 1}}, "metadata.labels.a is not a string"},
      {"/metadata/labels", "a", "metadata.labels is not an object"},
      {"/metadata/generation", "1", "metadata.generation is not a whole number"},
      {"/metadata/generation", 1.5, "metadata.generation is not a whole number"},
      {"/metadata/generation", 18446744073709551615U, "metadata.generation is not a whole number"},
      {"/metadata/deletionTimestamp", "soon", "metadata.deletionTimestamp is not a time"},
      {"/spec", 1, "spec is not an object"},
      {"/spec/priority", 3'000'000'000, "spec.priority is out of range"},
      {"/spec/containers", "none", "spec.containers is not an array"},
      {"/spec/containers/0", "app", "spec.containers[0] is not an object"},
      {"/spec/containers/0/name", Json::array(), "spec.containers[0].name is not a string"},
      {"/spec/containers/0/resources/limits",
       {{"memory", "lots"}},
       "spec.containers[0].resources.limits.memory \"lots\" is not a quantity"},
      {"/spec/containers/0/resources/requests",
       {{"cpu", "-1"}},
       "spec.containers[0].resources.requests.cpu \"-1\" is below 0"},
      {"/status/containerStatuses",
       {{{"name", "app"}, {"ready", "yes"}}},
       "status.containerStatuses[0].ready is neither true nor false"},
      {"/kind", "Node", "kind is not Pod"},
  };
  for (const auto& [where, value, message] : cases) {
    Json json = small_pod();
    json[Json::json_pointer(where)] = value;
    const auto pod = parse_pod(json.dump());
    ASSERT_FALSE(pod) << where;
    EXPECT_EQ(pod.error().code, Code::kMalformed);
    EXPECT_TRUE(pod.error().message.starts_with(message)) << pod.error().message;
  }
}

TEST(PodJson, RefusesWhatIsNoJson) {
  for (const std::string_view text :
       {"", " ", "{", "{}}", "null", "[]", "7", R"("pod")", R"({"metadata":{"uid":"a)",
        "{\"metadata\":{\"uid\":\"\xff\"}}"}) {
    const auto pod = parse_pod(text);
    ASSERT_FALSE(pod) << text;
    EXPECT_EQ(pod.error().code, Code::kMalformed) << text;
  }
  const std::string whole = small_pod().dump();
  ASSERT_TRUE(parse_pod(whole));
  for (std::size_t end = 0; end < whole.size(); ++end) {
    EXPECT_FALSE(parse_pod(whole.substr(0, end))) << end;
  }
  EXPECT_FALSE(parse_pod(whole + "x"));
}

TEST(PodJson, Bounds) {
  Json containers = small_pod();
  for (std::size_t i = 1; i < kMostContainers; ++i) {
    containers["spec"]["containers"].push_back({{"name", "c" + std::to_string(i)}});
  }
  EXPECT_TRUE(parse_pod(containers.dump()));
  containers["spec"]["initContainers"].push_back({{"name", "one-more"}});
  EXPECT_FALSE(parse_pod(containers.dump()));

  Json labels = small_pod();
  for (std::size_t i = 0; i < kMostLabels; ++i)
    labels["metadata"]["labels"][std::to_string(i)] = "";
  EXPECT_TRUE(parse_pod(labels.dump()));
  labels["metadata"]["labels"]["more"] = "";
  const auto cut = parse_pod(labels.dump());
  ASSERT_TRUE(cut) << "it has requests that count";
  EXPECT_EQ(cut->labels.size(), kMostLabels);

  Json values = small_pod();
  for (std::size_t i = 0; i < kMostValues; ++i) values["status"]["conditions"].push_back(1);
  EXPECT_NE(parse_pod(values.dump()).error().message.find("values"), std::string::npos);
  // What is not read does not count.
  Json unread = small_pod();
  for (std::size_t i = 0; i < kMostValues; ++i) unread["status"]["podIPs"].push_back({{"ip", "a"}});
  EXPECT_TRUE(parse_pod(unread.dump()));

  Json deep = small_pod();
  Json nested = 1;
  for (int i = 0; i < kDeepestNesting; ++i) nested = Json::array({nested});
  deep["status"]["other"] = nested;
  EXPECT_NE(parse_pod(deep.dump()).error().message.find("nested"), std::string::npos);
  // Brackets in a text are no nesting.
  Json text = small_pod();
  text["status"]["other"] = std::string(1000, '[') + "\\\"" + std::string(1000, '{');
  EXPECT_TRUE(parse_pod(text.dump()));

  Json large = small_pod();
  large["status"]["other"] = std::string(kLargestPod, 'a');
  EXPECT_NE(parse_pod(large.dump()).error().message.find("4 MiB"), std::string::npos);

  Json message = small_pod();
  message["status"]["conditions"] = {{{"type", "PodResizePending"},
                                      {"status", "True"},
                                      {"message", "a" + std::string(2000, '\0')}}};
  std::string accents = "a";
  for (int i = 0; i < 1000; ++i) accents += "\u00e9";
  message["status"]["conditions"][0]["message"] = accents;
  const std::string kept = parsed(message).resize.pending->message;
  EXPECT_EQ(kept.size(), kLongestMessage - 1);  // not half a character
  EXPECT_EQ(kept, accents.substr(0, kept.size()));
}

// The parser's filter goes by the path: the same word elsewhere does not confuse it.
TEST(PodJson, WordsInOtherPlacesDoNotMatter) {
  Json json = small_pod();
  json["spec"]["volumes"] =
      Json::parse(R"([{"name":"metadata","status":{"phase":"Failed"}},[[7]]])");
  json["spec"]["containers"][0]["env"] = Json::parse(R"([{"name":"uid","value":"other"}])");
  json["spec"]["affinity"] = {{"metadata", {{"uid", "other"}}}};
  json["status"]["phase"] = "Running";
  const Pod pod = parsed(json);
  EXPECT_EQ(pod.id.uid, "u1");
  EXPECT_EQ(pod.phase, PodPhase::kRunning);
  EXPECT_EQ(pod.containers.at(0).name, "app");
}

TEST(PodGlimpse, SeesWhatComesBeforeTheDamage) {
  const std::string text =
      R"({"kind":"Pod","metadata":{"name":"web","namespace":"demo","labels":{"uid":"no"},)"
      R"("uid":"u1","resourceVersion":"7","x":[{"uid":"no"}]},"spec":{"metadata":{"uid":"no"}}})";
  const PodGlimpse whole{{"u1", "demo", "web"}, "7"};
  EXPECT_EQ(glimpse_pod(text), whole);
  const std::size_t seen = text.find(R"("7")") + 3;
  for (std::size_t end = seen; end < text.size(); ++end) {
    EXPECT_EQ(glimpse_pod(text.substr(0, end)), whole) << end;
  }
  EXPECT_EQ(glimpse_pod(text.substr(0, text.find("\"labels\""))).id.name, "web");
  EXPECT_EQ(glimpse_pod(text.substr(0, text.find("\"labels\""))).id.uid, "");
  EXPECT_EQ(glimpse_pod(""), PodGlimpse{});
  EXPECT_EQ(glimpse_pod("[[[["), PodGlimpse{});
  EXPECT_EQ(glimpse_pod(R"({"metadata":{"uid":{"uid":"a"},"name":7}})"), PodGlimpse{});
}

}  // namespace
}  // namespace plimsoll::kube::pod_json_test
