// SPDX-License-Identifier: Apache-2.0
//
// The API fake against the real server: each recorded request, in the recorded state, gets the
// recorded answer as far as an agent reads it. Where they differ, the fake is wrong.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "tests/fake_api/status.h"
#include "tests/fake_api_unit/recorded_world.h"
#include "tests/fake_api_unit/recording.h"

namespace plimsoll::test::recordings_test {
namespace {

// Compared in other tests of this folder.
const std::set<std::string>& compared_elsewhere() {
  static const std::set<std::string> kNames{"00-version",
                                            "50-list",
                                            "51-watch",
                                            "51b-watch-graceful-delete",
                                            "51c-watch-selector-leave",
                                            "52-watchlist",
                                            "52b-watch-rv0",
                                            "53-watch-410",
                                            "53b-list-410-compacted",
                                            "54-watch-future-rv",
                                            "54b-watch-bad-rv",
                                            "55b-watch-resume-after-restart",
                                            "64-413",
                                            "95-429"};
  return kNames;
}

// Not covered by the fake, and why.
const std::map<std::string, std::string>& not_covered() {
  static const std::string kApply = "server-side apply: the agent sends strategic merges";
  static const std::map<std::string, std::string> kNames{
      {"13-resize-ssa-conflict", kApply},
      {"13b-resize-ssa-force", kApply},
      {"13c-resize-ssa-again", kApply},
      {"13d-resize-ssa-omit-owned", kApply},
      {"13e-resize-ssa-no-manager", kApply},
      {"13f-resize-ssa-absent-pod", kApply},
      {"55-watch-apiserver-stops", "a server that lingers for a minute: FakeApi::go() is at once"},
      {"63-big-list", "the bodies were not kept"},
      {"66-kubectl-resize", "what kubectl prints, no exchange"},
      {"81-tokenrequest", "tokens are made by the kubelet, never by the agent"},
      {"v10-kubelet-resize-events", "Events that a kubelet wrote; see fake_kubelet_unit"},
      {"v3b-kubelet-deferred-then-room",
       "the deletion of another pod, whose state is not recorded"}};
  return kNames;
}

std::vector<std::string> compared_here() {
  std::vector<std::string> names;
  for (const std::string& name : recording_names()) {
    if (compared_elsewhere().count(name) == 0 && not_covered().count(name) == 0) {
      names.push_back(name);
    }
  }
  return names;
}

// The diff that the real server adds to this sentence is Go's.
std::string comparable(const std::string& message) {
  return message.substr(0, message.find("\n@@"));
}

std::set<std::pair<std::string, std::string>> causes_of(const Json& status) {
  std::set<std::pair<std::string, std::string>> causes;
  for (const Json& cause : member(member(status, "details"), "causes")) {
    causes.emplace(text_at(cause, "reason") + " " + text_at(cause, "field"),
                   comparable(text_at(cause, "message")));
  }
  return causes;
}

// A name that the server made differs: that of `real` is put in its place.
Json with_name_of(const Json& real, Json fake) {
  const std::string from = text_at(member(fake, "details"), "name");
  const std::string to = text_at(member(real, "details"), "name");
  if (from.empty() || from == to) return fake;
  std::string message = text_at(fake, "message");
  if (const std::size_t at = message.find(from); at != std::string::npos) {
    fake["message"] = message.replace(at, from.size(), to);
  }
  fake["details"]["name"] = to;
  return fake;
}

void expect_same_status(const Json& real, const Json& fake) {
  EXPECT_EQ(text_at(fake, "reason"), text_at(real, "reason"));
  EXPECT_EQ(comparable(text_at(fake, "message")), comparable(text_at(real, "message")));
  EXPECT_EQ(causes_of(fake), causes_of(real));
  EXPECT_EQ(member(real, "details").is_null(), member(fake, "details").is_null());
  for (const char* key : {"name", "kind", "group"}) {
    EXPECT_EQ(text_at(member(fake, "details"), key), text_at(member(real, "details"), key)) << key;
  }
  EXPECT_EQ(member(member(fake, "details"), "causes").size(),
            member(member(real, "details"), "causes").size());
}

Json resources_of(const Json& pod) {
  Json found = Json::object();
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    for (const Json& container : member(member(pod, "spec"), list)) {
      found[std::string(list) + "/" + text_at(container, "name")] = {
          {"image", text_at(container, "image")},
          {"resources", member(container, "resources")},
          {"resizePolicy", member(container, "resizePolicy")}};
    }
  }
  found["pod"] = member(member(pod, "spec"), "resources");
  return found;
}

// The leaves below "f:resources" of each manager of the resize subresource.
Json resize_owners(const Json& pod) {
  Json owners = Json::object();
  for (const Json& entry : member(member(pod, "metadata"), "managedFields")) {
    if (text_at(entry, "subresource") != "resize") continue;
    owners[text_at(entry, "manager") + " " + text_at(entry, "operation")] = entry["fieldsV1"];
  }
  return owners;
}

Json condition_types(const Json& pod) {
  Json types = Json::object();
  for (const Json& condition : member(member(pod, "status"), "conditions")) {
    types[text_at(condition, "type")] = {text_at(condition, "status"), text_at(condition, "reason"),
                                         text_at(condition, "message"),
                                         member(condition, "observedGeneration")};
  }
  return types;
}

void expect_same_json(const Json& real, const Json& fake, const char* what) {
  EXPECT_TRUE(same(real, fake)) << what << "\nreal: " << real.dump() << "\nfake: " << fake.dump();
}

void expect_same_pod(const Json& real, const Json& fake, bool owners) {
  expect_same_json(resources_of(real), resources_of(fake), "resources");
  expect_same_json(condition_types(real), condition_types(fake), "conditions");
  for (const char* key : {"name", "namespace", "generation", "labels", "annotations"}) {
    expect_same_json(member(real["metadata"], key), member(fake["metadata"], key), key);
  }
  EXPECT_EQ(member(real["metadata"], "deletionTimestamp").is_null(),
            member(fake["metadata"], "deletionTimestamp").is_null());
  for (const char* key : {"phase", "qosClass", "observedGeneration", "containerStatuses"}) {
    expect_same_json(member(real["status"], key), member(fake["status"], key), key);
  }
  if (owners) expect_same_json(resize_owners(real), resize_owners(fake), "owners");
}

bool route_is_resize(const std::string& path) {
  return path.size() > 7 && path.compare(path.size() - 7, 7, "/resize") == 0;
}

std::string version_of(const Json& object) {
  return text_at(member(object, "metadata"), "resourceVersion");
}

class Recordings : public ::testing::TestWithParam<std::string> {};

TEST_P(Recordings, AnsweredAsTheRealServerDid) {
  RecordedWorld world;
  for (const RecordedExchange& exchange : exchanges_of(GetParam())) {
    SCOPED_TRACE(exchange.recording + " exchange " + std::to_string(exchange.index) + ": " +
                 exchange.request.method + " " + exchange.request.path);
    const std::string path = exchange.request.path;
    // The fake has that policy built in, and no others.
    if (path.find("/validatingadmissionpolic") != std::string::npos) continue;
    world.prepare(exchange);
    const std::size_t at = path.find("/pods/");
    const std::string name =
        at == std::string::npos ? "" : path.substr(at + 6, path.find('/', at + 6) - at - 6);
    const std::string space =
        at == std::string::npos ? "" : path.substr(19, path.find('/', 19) - 19);
    const Json before = world.api().object("pods", space, name);
    const Reply reply = world.send(exchange);
    ASSERT_EQ(reply.status, exchange.status) << reply.body.dump();
    if (const std::string warning = text_at(exchange.headers, "Warning"); !warning.empty()) {
      EXPECT_EQ(reply.headers.at("Warning"), warning);
    }
    const std::string kind = text_at(exchange.body, "kind");
    EXPECT_EQ(text_at(reply.body, "kind"), kind);
    EXPECT_EQ(text_at(reply.body, "apiVersion"), text_at(exchange.body, "apiVersion"));
    if (kind == "Status") {
      const bool generated = exchange.request.body.find("generateName") != std::string::npos;
      expect_same_status(exchange.body,
                         generated ? with_name_of(exchange.body, reply.body) : reply.body);
    } else if (kind == "Pod") {
      // Who owned the fields before is only known where a recording showed that state.
      expect_same_pod(exchange.body, reply.body, exchange.recording < "12c");
      // Who owns the fields of an ephemeral container is not kept, and nothing else changed there.
      const bool ephemeral = exchange.request.body.find("ephemeral") != std::string::npos;
      if (!before.is_null() && !(ephemeral && route_is_resize(path))) {
        const auto real_before = pod_before(exchange);
        const bool real_moved = version_of(*real_before) != version_of(exchange.body);
        EXPECT_EQ(version_of(before) != version_of(reply.body), real_moved);
      }
    } else if (kind == "ResourceQuota") {
      expect_same_json(exchange.body["status"]["used"], reply.body["status"]["used"], "used");
    } else if (kind == "Node") {
      expect_same_json(member(member(exchange.body, "status"), "allocatable"),
                       member(member(reply.body, "status"), "allocatable"), "allocatable");
    } else if (kind == "SelfSubjectAccessReview") {
      EXPECT_EQ(reply.body["status"]["allowed"], exchange.body["status"]["allowed"]);
      expect_same_json(exchange.body["spec"], reply.body["spec"], "spec");
    } else if (kind == "Event") {
      for (const char* key : {"reason", "type", "count", "note", "action", "reportingController"}) {
        expect_same_json(member(exchange.body, key), member(reply.body, key), key);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Recordings, ::testing::ValuesIn(compared_here()),
                         [](const auto& one) {
                           std::string name = one.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(RecordingLists, EveryRecordingIsInOne) {
  const std::vector<std::string> all = recording_names();
  ASSERT_GT(all.size(), 150U);
  for (const auto& [name, why] : not_covered()) {
    EXPECT_TRUE(std::find(all.begin(), all.end(), name) != all.end()) << name;
    EXPECT_FALSE(why.empty()) << name;
    EXPECT_EQ(compared_elsewhere().count(name), 0U) << name;
  }
  for (const std::string& name : compared_elsewhere()) {
    EXPECT_TRUE(std::find(all.begin(), all.end(), name) != all.end()) << name;
  }
  EXPECT_EQ(compared_here().size() + compared_elsewhere().size() + not_covered().size(),
            all.size());
}

}  // namespace
}  // namespace plimsoll::test::recordings_test
