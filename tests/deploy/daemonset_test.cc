// SPDX-License-Identifier: Apache-2.0
//
// deploy/ as a whole: the objects belong together, the agent runs with what it needs and no more,
// and the files that they name are right.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>

#include "agent/config/config.h"
#include "agent/config/keys.h"
#include "agent/config/parse.h"
#include "agent/node/handover.h"
#include "agent/state/declared_limits.h"
#include "agent/state/state_file.h"
#include "agent/systemd/units.h"
#include "agent/telemetry/event_poster.h"
#include "agent/telemetry/explain_server.h"
#include "tests/deploy/manifest.h"
#include "tests/support/source_path.h"

namespace plimsoll::test::daemonset_test {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;
using testing::UnorderedElementsAre;

std::string text(const YAML::Node& node) { return node.as<std::string>(); }
std::vector<std::string> texts(const YAML::Node& node) {
  return node.as<std::vector<std::string>>();
}

YAML::Node pod() { return manifest("DaemonSet")["spec"]["template"]["spec"]; }
YAML::Node agent_container() { return pod()["containers"][0]; }

// The entry of a list with this name.
YAML::Node named(const YAML::Node& list, const std::string& name) {
  for (const YAML::Node& each : list) {
    if (text(each["name"]) == name) return each;
  }
  throw std::runtime_error("no " + name);
}

// Its host path's, for the mount at `path`.
YAML::Node host_path_at(const std::string& path) {
  for (const YAML::Node& mount : agent_container()["volumeMounts"]) {
    if (text(mount["mountPath"]) == path) {
      return named(pod()["volumes"], text(mount["name"]))["hostPath"];
    }
  }
  throw std::runtime_error("nothing is mounted at " + path);
}

TEST(DaemonSet, ObjectsAreThereOnceAndInThatOrder) {
  std::vector<std::string> kinds;
  std::set<std::string> namespaces;
  for (const YAML::Node& each : manifests("daemonset.yaml")) {
    kinds.push_back(text(each["kind"]));
    if (const YAML::Node place = each["metadata"]["namespace"]) namespaces.insert(text(place));
  }
  EXPECT_THAT(kinds, ElementsAre("Namespace", "ServiceAccount", "ClusterRole", "ClusterRoleBinding",
                                 "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
                                 "ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding",
                                 "NetworkPolicy", "PriorityLevelConfiguration", "FlowSchema",
                                 "ResourceQuota", "ConfigMap", "DaemonSet"));
  EXPECT_THAT(namespaces, ElementsAre(text(manifest("Namespace")["metadata"]["name"])));
}

TEST(DaemonSet, NamesOfOneObjectInAnotherAreRight) {
  const std::string account = text(manifest("ServiceAccount")["metadata"]["name"]);
  const std::string place = text(manifest("ServiceAccount")["metadata"]["namespace"]);
  EXPECT_EQ(text(pod()["serviceAccountName"]), account);
  const YAML::Node binding = manifest("ClusterRoleBinding");
  EXPECT_EQ(text(binding["roleRef"]["name"]), text(manifest("ClusterRole")["metadata"]["name"]));
  EXPECT_EQ(text(binding["subjects"][0]["name"]), account);
  EXPECT_EQ(text(binding["subjects"][0]["namespace"]), place);
  const YAML::Node schema = manifest("FlowSchema")["spec"];
  EXPECT_EQ(text(schema["priorityLevelConfiguration"]["name"]),
            text(manifest("PriorityLevelConfiguration")["metadata"]["name"]));
  const YAML::Node rule = schema["rules"][0];
  EXPECT_EQ(text(rule["subjects"][0]["serviceAccount"]["name"]), account);
  EXPECT_EQ(text(rule["subjects"][0]["serviceAccount"]["namespace"]), place);
  EXPECT_THAT(rights_of(schema["rules"][0]["resourceRules"]), ElementsAre("patch pods/resize"));
  for (const char* name : {"plimsoll-own-node", "plimsoll-own-events"}) {
    const YAML::Node policy = manifest("ValidatingAdmissionPolicy", name);
    const YAML::Node bound = manifest("ValidatingAdmissionPolicyBinding", name)["spec"];
    EXPECT_EQ(text(bound["policyName"]), name);
    EXPECT_THAT(texts(bound["validationActions"]), ElementsAre("Deny"));
    EXPECT_EQ(text(policy["spec"]["failurePolicy"]), "Fail");
    EXPECT_EQ(text(policy["spec"]["matchConditions"][0]["expression"]),
              "request.userInfo.username == 'system:serviceaccount:" + place + ":" + account + "'");
  }
  const YAML::Node set = manifest("DaemonSet")["spec"];
  EXPECT_EQ(text(set["selector"]["matchLabels"]["app.kubernetes.io/name"]),
            text(set["template"]["metadata"]["labels"]["app.kubernetes.io/name"]));
}

// The expressions are those of a policy that was tried against an API server: recording 90.
TEST(DaemonSet, AnAgentResizesPodsOfItsOwnNodeOnly) {
  std::ifstream file(source_path("tests/contract/kube/90-vap-node-bound-resize.json"));
  ASSERT_TRUE(file) << "the recording is not there";
  const YAML::Node recording = YAML::Load(file);  // JSON is YAML
  const YAML::Node tried = recording["exchanges"][0]["request"]["body"]["spec"];
  const YAML::Node policy = manifest("ValidatingAdmissionPolicy", "plimsoll-own-node")["spec"];
  const YAML::Node rule = policy["matchConstraints"]["resourceRules"][0];
  EXPECT_THAT(texts(rule["resources"]), UnorderedElementsAre("pods/resize", "pods"));
  EXPECT_THAT(texts(rule["operations"]), ElementsAre("UPDATE"));
  for (const std::size_t i : {0U, 1U}) {
    EXPECT_EQ(text(policy["variables"][i]["name"]), text(tried["variables"][i]["name"]));
    EXPECT_EQ(text(policy["variables"][i]["expression"]),
              text(tried["variables"][i]["expression"]));
    EXPECT_EQ(text(policy["validations"][i]["expression"]),
              text(tried["validations"][i]["expression"]));
    EXPECT_EQ(text(policy["validations"][i]["reason"]), "Forbidden");
  }
  EXPECT_EQ(policy["validations"].size(), 2U);
}

// Of every namespace's Events an agent makes and changes its own.
TEST(DaemonSet, AnAgentWritesItsOwnEventsOnly) {
  const YAML::Node own_node = manifest("ValidatingAdmissionPolicy", "plimsoll-own-node")["spec"];
  const YAML::Node policy = manifest("ValidatingAdmissionPolicy", "plimsoll-own-events")["spec"];
  const YAML::Node rule = policy["matchConstraints"]["resourceRules"][0];
  EXPECT_THAT(texts(rule["apiGroups"]), ElementsAre("events.k8s.io"));
  EXPECT_THAT(texts(rule["resources"]), ElementsAre("events"));
  // A PATCH is an UPDATE there.
  EXPECT_THAT(texts(rule["operations"]), UnorderedElementsAre("CREATE", "UPDATE"));
  EXPECT_EQ(text(policy["variables"][0]["expression"]),
            text(own_node["variables"][0]["expression"]));
  ASSERT_EQ(policy["validations"].size(), 3U);
  EXPECT_EQ(text(policy["validations"][0]["expression"]),
            std::string("object.reportingController == '") + agent::kReportingController + "'");
  EXPECT_THAT(text(policy["validations"][1]["expression"]),
              HasSubstr("variables.userNode.startsWith(object.reportingInstance)"));
  EXPECT_THAT(text(policy["validations"][2]["expression"]),
              HasSubstr("oldObject.reportingController == object.reportingController"));
}

TEST(DaemonSet, MetricsAreForNamespacesWithALabel) {
  const YAML::Node policy = manifest("NetworkPolicy")["spec"];
  EXPECT_EQ(text(policy["podSelector"]["matchLabels"]["app.kubernetes.io/name"]),
            text(manifest(
                "DaemonSet")["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/name"]));
  EXPECT_THAT(texts(policy["policyTypes"]), ElementsAre("Ingress"));
  ASSERT_EQ(policy["ingress"].size(), 1U);
  const YAML::Node from = policy["ingress"][0]["from"];
  ASSERT_EQ(from.size(), 1U);
  EXPECT_EQ(from[0]["namespaceSelector"]["matchLabels"].size(), 1U);
  ASSERT_EQ(policy["ingress"][0]["ports"].size(), 1U);
  EXPECT_EQ(text(policy["ingress"][0]["ports"][0]["port"]),
            text(agent_container()["ports"][0]["name"]));
}

// docs/decisions/0021-update-without-a-gap.md: two on one node for a while, and never none.
TEST(DaemonSet, AnUpdateStartsTheNextAgentFirst) {
  const YAML::Node strategy = manifest("DaemonSet")["spec"]["updateStrategy"]["rollingUpdate"];
  EXPECT_EQ(strategy["maxSurge"].as<int>(), 1);
  EXPECT_EQ(strategy["maxUnavailable"].as<int>(), 0);
  // Two cannot have one port, nor may the old one be asked in the name of the new one.
  EXPECT_FALSE(pod()["hostNetwork"].as<bool>());
  EXPECT_FALSE(agent_container()["ports"][0]["hostPort"]);
  // What ends the old one takes nothing back.
  EXPECT_FALSE(agent_container()["lifecycle"]);
  EXPECT_THAT(texts(agent_container()["args"]), Not(testing::Contains("--restore")));
  EXPECT_THAT(agent::handover_path(agent::kStatePath), StartsWith("/run/plimsoll/"));
}

TEST(DaemonSet, TheAgentHasWhatItNeedsAndNoMore) {
  const YAML::Node security = agent_container()["securityContext"];
  EXPECT_FALSE(security["privileged"].as<bool>());
  EXPECT_FALSE(security["allowPrivilegeEscalation"].as<bool>());
  EXPECT_TRUE(security["readOnlyRootFilesystem"].as<bool>());
  EXPECT_EQ(security["runAsUser"].as<int>(), 0);
  EXPECT_EQ(text(security["seccompProfile"]["type"]), "RuntimeDefault");
  EXPECT_THAT(texts(security["capabilities"]["drop"]), ElementsAre("ALL"));
  EXPECT_THAT(texts(security["capabilities"]["add"]),
              UnorderedElementsAre("BPF", "PERFMON", "SYS_NICE", "IPC_LOCK", "SYS_RESOURCE"));
  for (const char* of_host : {"hostNetwork", "hostPID"}) {
    EXPECT_FALSE(pod()[of_host].as<bool>()) << of_host;
  }
  EXPECT_FALSE(pod()["hostIPC"]);
  EXPECT_EQ(pod()["containers"].size(), 1U);
  EXPECT_FALSE(pod()["initContainers"]);
  EXPECT_EQ(text(pod()["priorityClassName"]), "system-node-critical");
  EXPECT_EQ(text(pod()["tolerations"][0]["operator"]), "Exists");
  EXPECT_FALSE(pod()["tolerations"][0]["key"]);
  EXPECT_TRUE(agent_container()["resources"]["limits"]["memory"]);
  EXPECT_FALSE(agent_container()["resources"]["limits"]["cpu"]);
}

// Each capability is explained by the file that needs it.
TEST(DaemonSet, EveryCapabilityIsExplainedByAFileThatExists) {
  std::ifstream file(source_path("deploy/daemonset.yaml"));
  std::string line;
  std::string comment;
  int capabilities = 0;
  bool inside = false;
  while (std::getline(file, line)) {
    const std::size_t from = line.find_first_not_of(' ');
    if (line.ends_with(" add:")) {
      inside = true;
    } else if (inside && from != std::string::npos && line[from] == '#') {
      comment += line.substr(from + 1);
    } else if (inside && from != std::string::npos && line[from] == '-') {
      ++capabilities;
      EXPECT_FALSE(comment.empty()) << line;
      const std::size_t open = comment.find(".cc");
      if (open != std::string::npos) {
        const std::size_t start = comment.find_last_of("( ", open) + 1;
        const std::string name = comment.substr(start, open + 3 - start);
        EXPECT_TRUE(std::ifstream(source_path(name))) << name;
      }
      comment.clear();
    } else {
      inside = false;
    }
  }
  EXPECT_EQ(capabilities, 5);
}

TEST(DaemonSet, WhatTheAgentOpensIsMounted) {
  EXPECT_EQ(text(host_path_at("/sys/fs/cgroup")["path"]), "/sys/fs/cgroup");
  EXPECT_EQ(text(host_path_at("/run/plimsoll")["path"]), "/run/plimsoll");
  EXPECT_THAT(agent::kStatePath, StartsWith("/run/plimsoll/"));
  EXPECT_THAT(agent::kExplainSocket, StartsWith("/run/plimsoll/"));
  EXPECT_EQ(text(host_path_at("/var/lib/plimsoll")["path"]), "/var/lib/plimsoll");
  EXPECT_THAT(agent::kFloorsPath, StartsWith("/var/lib/plimsoll/"));
  for (const YAML::Node& volume : pod()["volumes"]) {
    if (!volume["hostPath"]) continue;
    EXPECT_THAT(text(volume["hostPath"]["path"]), Not(HasSubstr("systemd")))
        << "a way to root on the host";
  }
  EXPECT_THAT(texts(agent_container()["args"]), testing::Contains("--systemd=none"));
  for (const YAML::Node& mount : agent_container()["volumeMounts"]) {
    const bool writable = !mount["readOnly"] || !mount["readOnly"].as<bool>();
    const std::string path = text(mount["mountPath"]);
    EXPECT_EQ(writable,
              path == "/sys/fs/cgroup" || path == "/run/plimsoll" || path == "/var/lib/plimsoll")
        << path;
  }
}

TEST(DaemonSet, TheOverlayGivesSystemdsSocketToThoseWhoWantIt) {
  const YAML::Node overlay = manifests("systemd/kustomization.yaml").at(0);
  EXPECT_THAT(texts(overlay["resources"]), ElementsAre(".."));
  const YAML::Node patch = overlay["patches"][0];
  EXPECT_EQ(text(patch["target"]["kind"]), "DaemonSet");
  EXPECT_EQ(text(patch["target"]["name"]), text(manifest("DaemonSet")["metadata"]["name"]));
  const YAML::Node operations = YAML::Load(text(patch["patch"]));
  ASSERT_EQ(operations.size(), 4U);
  // What it replaces is what is there.
  const std::string args = "/spec/template/spec/containers/0/args/";
  const std::string place = text(operations[0]["path"]);
  ASSERT_THAT(place, StartsWith(args));
  EXPECT_EQ(texts(agent_container()["args"]).at(std::stoul(place.substr(args.size()))),
            text(operations[0]["value"]));
  EXPECT_EQ(text(operations[1]["path"]), place);
  EXPECT_EQ(text(operations[1]["value"]), "--systemd=" + agent::SystemdBus{}.socket);
  EXPECT_TRUE(operations[2]["value"]["readOnly"].as<bool>());
  EXPECT_EQ(text(operations[2]["value"]["name"]), text(operations[3]["value"]["name"]));
  EXPECT_EQ(text(operations[3]["value"]["hostPath"]["path"]),
            text(operations[2]["value"]["mountPath"]));
}

TEST(DaemonSet, TheAgentIsStartedAsItsCommandLineWantsIt) {
  const YAML::Node container = agent_container();
  const std::vector<std::string> args = texts(container["args"]);
  ASSERT_FALSE(args.empty());
  EXPECT_EQ(args[0], "agent");
  const YAML::Node node = named(container["env"], "NODE_NAME");
  EXPECT_EQ(text(node["valueFrom"]["fieldRef"]["fieldPath"]), "spec.nodeName");
  const std::string mount = text(named(container["volumeMounts"], "config")["mountPath"]);
  const YAML::Node data = manifest("ConfigMap")["data"];
  ASSERT_EQ(data.size(), 1U);
  EXPECT_THAT(args, testing::Contains("--config=" + mount + "/" + text(data.begin()->first)));
  EXPECT_EQ(text(named(pod()["volumes"], "config")["configMap"]["name"]),
            text(manifest("ConfigMap")["metadata"]["name"]));
}

TEST(DaemonSet, TheConfigurationIsGoodAndSaysTheDefaults) {
  const auto config =
      agent::parse_config(text(manifest("ConfigMap")["data"]["plimsoll.yaml"]), "plimsoll.yaml");
  ASSERT_TRUE(config) << config.error().message;
  for (const agent::ConfigKey& key : agent::config_keys()) {
    EXPECT_EQ(value_text(key, *config), value_text(key, agent::Config{})) << key.name;
  }
  EXPECT_EQ(config->node, agent::NodeConfig{});
}

TEST(DaemonSet, ProbesAskWhereTheMetricsAre) {
  const YAML::Node container = agent_container();
  const auto port = container["ports"][0]["containerPort"].as<std::uint16_t>();
  EXPECT_EQ(port, agent::NodeConfig{}.metrics_address.port);
  const std::string name = text(container["ports"][0]["name"]);
  EXPECT_EQ(text(container["livenessProbe"]["httpGet"]["port"]), name);
  EXPECT_EQ(text(container["livenessProbe"]["httpGet"]["path"]), "/healthz");
  EXPECT_EQ(text(container["readinessProbe"]["httpGet"]["port"]), name);
  EXPECT_EQ(text(container["readinessProbe"]["httpGet"]["path"]), "/readyz");
  const YAML::Node annotations =
      manifest("DaemonSet")["spec"]["template"]["metadata"]["annotations"];
  EXPECT_EQ(text(annotations["prometheus.io/port"]), std::to_string(port));
}

TEST(DaemonSet, TheImageIsTheOneThatTheScriptMakes) {
  std::ifstream script(source_path("scripts/image"));
  ASSERT_TRUE(script);
  const std::string all{std::istreambuf_iterator<char>(script), {}};
  std::ifstream cmake(source_path("CMakeLists.txt"));
  std::string version;
  for (std::string line; version.empty() && std::getline(cmake, line);) {
    const std::size_t at = line.find("  VERSION ");
    if (at == 0) version = line.substr(10);
  }
  const std::string image = text(agent_container()["image"]);
  EXPECT_EQ(image, "plimsoll.dev/plimsoll:" + version);
  EXPECT_THAT(all, HasSubstr("\"plimsoll.dev/plimsoll\""));
  const YAML::Node kustomization = manifests("kustomization.yaml").at(0);
  EXPECT_EQ(
      text(kustomization["images"][0]["name"]) + ":" + text(kustomization["images"][0]["newTag"]),
      image);
  EXPECT_THAT(texts(kustomization["resources"]), ElementsAre("daemonset.yaml"));
}

}  // namespace
}  // namespace plimsoll::test::daemonset_test
