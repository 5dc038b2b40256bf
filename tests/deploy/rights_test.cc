// SPDX-License-Identifier: Apache-2.0
//
// Every request that the code makes has its access right in deploy/, and no right is unused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <regex>
#include <set>
#include <string>

#include "kube/access_review.h"
#include "kube/discovery.h"
#include "kube/event.h"
#include "kube/node.h"
#include "kube/pod_watch.h"
#include "kube/resize.h"
#include "tests/deploy/manifest.h"
#include "tests/support/source_path.h"

namespace plimsoll::test::rights_test {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

kube::Request resize(kube::ResizePath path, bool dry_run) {
  const kube::Resize wanted{.pod = {.uid = "u", .namespace_name = "dev", .name = "web"},
                            .changes = {{.container = "app"}},
                            .dry_run = dry_run};
  return kube::resize_request(wanted, path, "plimsoll");
}

// What a watcher of pods asks first, and what it asks when that went well.
std::vector<kube::Request> watch_requests() {
  kube::PodWatch watch("node-a", 1, [](kube::PodChange&&) {});
  const MonotonicTime now{std::chrono::seconds(100)};
  std::vector<kube::Request> requests{watch.next_request(now)};
  watch.on_data(R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"5"},)"
                R"("items":[]})",
                now);
  watch.on_end(kube::Response{.status = 200}, now);
  requests.push_back(watch.next_request(now));
  return requests;
}

std::vector<kube::Request> all_requests() {
  std::vector<kube::Request> requests = watch_requests();
  requests.push_back(resize(kube::ResizePath::kSubresource, false));
  requests.push_back(resize(kube::ResizePath::kSubresource, true));
  requests.push_back(kube::node_request("node-a"));
  requests.push_back(kube::version_request());
  requests.push_back(kube::discovery_request());
  requests.push_back(kube::access_request({.verb = "patch", .resource = "pods"}));
  requests.push_back(kube::create_event({.name = "web.1", .subject = {.name_space = "dev"}}));
  requests.push_back(kube::update_series("dev", "web.1", 2, {}));
  return requests;
}

TEST(Rights, ARequestIsReadAsTheApiServerReadsIt) {
  EXPECT_EQ(right_for(resize(kube::ResizePath::kSubresource, true)), "patch pods/resize");
  EXPECT_EQ(right_for(resize(kube::ResizePath::kPodPatch, false)), "patch pods");
  EXPECT_EQ(right_for({.path = "/api/v1/namespaces/dev"}), "get namespaces");
  EXPECT_EQ(right_for({.path = "/apis/apps/v1/namespaces/x/deployments?watch=true"}),
            "watch deployments.apps");
  EXPECT_EQ(right_for({.path = "/api/v1"}), "");
}

TEST(Rights, AreThoseThatTheRequestsNeed) {
  std::set<Right> needed;
  for (const kube::Request& request : all_requests()) needed.insert(right_for(request));
  needed.erase("");
  EXPECT_EQ(rights_of(manifest("ClusterRole")["rules"]), needed);
}

TEST(Rights, OfTheOldWayAreInLegacy) {
  const YAML::Node kustomization = manifests("legacy/kustomization.yaml").at(0);
  const YAML::Node patch = kustomization["patches"][0];
  EXPECT_EQ(patch["target"]["kind"].as<std::string>(), "ClusterRole");
  EXPECT_EQ(patch["target"]["name"].as<std::string>(),
            manifest("ClusterRole")["metadata"]["name"].as<std::string>());
  const YAML::Node operations = YAML::Load(patch["patch"].as<std::string>());
  ASSERT_EQ(operations.size(), 1U);
  EXPECT_EQ(operations[0]["op"].as<std::string>(), "add");
  EXPECT_EQ(operations[0]["path"].as<std::string>(), "/rules/-");
  YAML::Node rules;
  rules.push_back(operations[0]["value"]);
  EXPECT_THAT(rights_of(rules), ElementsAre(right_for(resize(kube::ResizePath::kPodPatch, false))));
}

// The right to patch pods is bound to the fields that a resize has: whatever else the API server
// lets anybody change of a pod that runs is named by the policy, and compared with what it was.
TEST(Rights, OfTheOldWayAreForResourcesOnly) {
  const YAML::Node kustomization = manifests("legacy/kustomization.yaml").at(0);
  EXPECT_THAT(kustomization["resources"].as<std::vector<std::string>>(),
              ElementsAre("..", "resources-only.yaml"));
  const std::vector<YAML::Node> objects = manifests("legacy/resources-only.yaml");
  ASSERT_EQ(objects.size(), 2U);
  const YAML::Node policy = objects[0]["spec"];
  EXPECT_EQ(policy["failurePolicy"].as<std::string>(), "Fail");
  const YAML::Node own_node = manifest("ValidatingAdmissionPolicy", "plimsoll-own-node")["spec"];
  EXPECT_EQ(policy["matchConditions"][0]["expression"].as<std::string>(),
            own_node["matchConditions"][0]["expression"].as<std::string>());
  const YAML::Node rule = policy["matchConstraints"]["resourceRules"][0];
  EXPECT_THAT(rule["resources"].as<std::vector<std::string>>(), ElementsAre("pods"));
  EXPECT_THAT(rule["operations"].as<std::vector<std::string>>(), ElementsAre("UPDATE"));
  std::string all;
  for (const YAML::Node& each : policy["validations"]) {
    all += each["expression"].as<std::string>() + "\n";
    EXPECT_EQ(each["reason"].as<std::string>(), "Forbidden");
  }
  for (const char* same : {"metadata.?labels", "metadata.?annotations", "metadata.?ownerReferences",
                           "metadata.?finalizers", "spec.?tolerations",
                           "spec.?activeDeadlineSeconds", "spec.?terminationGracePeriodSeconds",
                           "spec.?schedulingGates", "spec.?nodeSelector", "spec.?affinity"}) {
    EXPECT_THAT(all, testing::HasSubstr(std::string("object.") + same + " == oldObject." + same));
  }
  EXPECT_THAT(all, testing::HasSubstr("o.?image == c.?image"));
  EXPECT_EQ(objects[1]["spec"]["policyName"].as<std::string>(),
            objects[0]["metadata"]["name"].as<std::string>());
  EXPECT_THAT(objects[1]["spec"]["validationActions"].as<std::vector<std::string>>(),
              ElementsAre("Deny"));
}

// A path of the API that none of the requests above is about would need a right that nobody
// compares.
TEST(Rights, NoOtherPathOfTheApiIsInTheCode) {
  const std::regex path(R"re("(/apis?/[^"]*|/api|/version[^"]*)")re");
  std::set<std::string> found;
  for (const std::string folder : {"kube", "agent"}) {
    for (const auto& entry : std::filesystem::recursive_directory_iterator(source_path(folder))) {
      if (entry.path().extension() != ".cc" && entry.path().extension() != ".h") continue;
      std::ifstream file(entry.path());
      for (std::string line; std::getline(file, line);) {
        // Comments show requests to whoever reads them.
        if (line.find("//") < line.find('"')) continue;
        for (std::sregex_iterator at(line.begin(), line.end(), path), end; at != end; ++at) {
          found.insert((*at)[1].str());
        }
      }
    }
  }
  EXPECT_THAT(found,
              UnorderedElementsAre("/api/v1", "/version", "/api/v1/nodes/", "/api/v1/namespaces/",
                                   "/api/v1/pods?fieldSelector=spec.nodeName%3D",
                                   "/apis/events.k8s.io/v1/namespaces/",
                                   "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"))
      << "add the request to all_requests() here, and its right to deploy/";
}

}  // namespace
}  // namespace plimsoll::test::rights_test
