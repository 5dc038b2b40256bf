// SPDX-License-Identifier: Apache-2.0
//
// What differs between the versions that the API fake can be, by the table 1.4 of the contract:
// nothing of it is recorded, for the recordings are of 1.36.
#include <gtest/gtest.h>

#include <string>

#include "tests/fake_api/fake_api.h"
#include "tests/fake_api_unit/recording.h"

namespace plimsoll::test::versions_test {
namespace {

constexpr const char* kPod = "/api/v1/namespaces/demo/pods/web";

Json memory(const Json& limit) {
  return {
      {"spec",
       {{"containers", {{{"name", "app"}, {"resources", {{"limits", {{"memory", limit}}}}}}}}}}};
}

class Versions : public ::testing::TestWithParam<const char*> {
 protected:
  Versions() : api_(options()) {
    api_.restore("nodes", exchanges_of("00-node-node-a").at(1).body);
    Json pod = Json::parse(exchanges_of("01-create-pod-and-status").at(0).request.body);
    pod["status"] = pod_in("01-create-pod-and-status", 2)["status"];
    EXPECT_EQ(api_.create_pod(pod).status, 200);
  }
  static FakeApiOptions options() {
    FakeApiOptions given;
    given.version = GetParam();
    return given;
  }
  int minor() const { return std::stoi(std::string(GetParam()).substr(2)); }
  Reply resize(const Json& limit) {
    return api_.request("PATCH", std::string(kPod) + (minor() >= 32 ? "/resize" : ""),
                        memory(limit));
  }
  std::string message(const Reply& reply) const { return text_at(reply.body, "message"); }

  FakeApi api_;
};

TEST_P(Versions, DiscoveryTellsTheWay) {
  bool found = false;
  const Reply discovery = api_.request("GET", "/api/v1");
  for (const Json& resource : discovery.body["resources"]) {
    found = found || resource["name"] == "pods/resize";
  }
  EXPECT_EQ(found, minor() >= 32);
  EXPECT_EQ(text_at(api_.request("GET", "/version").body, "minor"), std::to_string(minor()));
}

TEST_P(Versions, TheOtherWayIsShut) {
  if (minor() >= 32) {
    const Reply main = api_.request("PATCH", kPod, memory("512Mi"));
    EXPECT_EQ(main.status, 422);
    EXPECT_NE(message(main).find("pod updates may not change fields other than"),
              std::string::npos);
  } else {
    const Reply absent = api_.request("PATCH", std::string(kPod) + "/resize", memory("512Mi"));
    EXPECT_EQ(absent.status, 404);
    EXPECT_EQ(message(absent), "the server could not find the requested resource");
    EXPECT_FALSE(member(absent.body, "details").contains("name"));
  }
}

TEST_P(Versions, ARaiseIsStored) {
  const Reply reply = resize("512Mi");
  ASSERT_EQ(reply.status, 200) << reply.body.dump();
  EXPECT_EQ(reply.body["spec"]["containers"][0]["resources"]["limits"]["memory"], "512Mi");
  EXPECT_EQ(member(reply.body["metadata"], "generation"), minor() >= 33 ? Json(2) : Json(nullptr));
  EXPECT_EQ(reply.body["spec"]["containers"][0].contains("resizePolicy"), minor() <= 32);
}

TEST_P(Versions, ALoweringOnlyFailsIn133) {
  ASSERT_EQ(resize("512Mi").status, 200);
  const Reply reply = resize("300Mi");
  if (minor() != 33) {
    EXPECT_EQ(reply.status, 200);
    return;
  }
  EXPECT_EQ(reply.status, 422);
  EXPECT_NE(message(reply).find("memory limits cannot be decreased unless resizePolicy is "
                                "RestartContainer"),
            std::string::npos);
}

TEST_P(Versions, RequestsBeyondTheNodeAre403From136On) {
  const Json big{
      {"spec",
       {{"containers",
         {{{"name", "app"},
           {"resources",
            {{"requests", {{"memory", "40Gi"}}}, {"limits", {{"memory", "40Gi"}}}}}}}}}}};
  const Reply reply =
      api_.request("PATCH", std::string(kPod) + (minor() >= 32 ? "/resize" : ""), big);
  EXPECT_EQ(reply.status, minor() >= 36 ? 403 : 200) << message(reply);
}

TEST_P(Versions, OldServersMarkAChangedRequestProposed) {
  const Json requests{
      {"spec",
       {{"containers",
         {{{"name", "app"}, {"resources", {{"requests", {{"memory", "160Mi"}}}}}}}}}}};
  const Reply reply =
      api_.request("PATCH", std::string(kPod) + (minor() >= 32 ? "/resize" : ""), requests);
  ASSERT_EQ(reply.status, 200);
  EXPECT_EQ(text_at(reply.body["status"], "resize"), minor() <= 32 ? "Proposed" : "");
}

INSTANTIATE_TEST_SUITE_P(All, Versions,
                         ::testing::Values("1.27", "1.31", "1.32", "1.33", "1.34", "1.36"),
                         [](const auto& one) { return "v1_" + std::string(one.param).substr(2); });

TEST(Gate, WithoutItThereIsNoWay) {
  for (const char* version : {"1.27", "1.32"}) {
    FakeApiOptions options;
    options.version = version;
    options.resize_enabled = false;
    FakeApi api(options);
    ASSERT_EQ(
        api.create_pod(Json::parse(exchanges_of("01-create-pod-and-status").at(0).request.body))
            .status,
        201);
    EXPECT_EQ(api.request("PATCH", std::string(kPod) + "/resize", memory("512Mi")).status, 404);
    EXPECT_EQ(api.request("PATCH", kPod, memory("512Mi")).status, 422);
  }
}

TEST(Claims, MakeEvenANoOpFail) {
  FakeApi api;
  api.restore("nodes", exchanges_of("00-node-node-a").at(1).body);
  Json pod = Json::parse(exchanges_of("01-create-pod-and-status").at(0).request.body);
  pod["spec"]["containers"][0]["resources"]["claims"] = {{{"name", "gpu"}}};
  ASSERT_EQ(api.create_pod(pod).status, 201);
  const Reply reply = api.request("PATCH", std::string(kPod) + "/resize", memory("256Mi"));
  EXPECT_EQ(reply.status, 422);
  EXPECT_NE(text_at(reply.body, "message").find("only cpu and memory resources are mutable"),
            std::string::npos);
}

}  // namespace
}  // namespace plimsoll::test::versions_test
