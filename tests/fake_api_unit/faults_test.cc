// SPDX-License-Identifier: Apache-2.0
//
// The API fake over TLS and out of order, seen through the agent's own client: what each fault
// looks like from outside, and that all of it is over when it is taken away.
#include <gtest/gtest.h>

#include <filesystem>
#include <memory>
#include <string>

#include "kube/client.h"
#include "kube/kubeconfig.h"
#include "tests/fake_api/fake_api.h"
#include "tests/fake_api/http_client.h"
#include "tests/fake_api_unit/recording.h"

namespace plimsoll::test::faults_test {
namespace {

using kube::TransportError;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr const char* kResize = "/api/v1/namespaces/demo/pods/web/resize";

class FaultsTest : public ::testing::Test {
 protected:
  FaultsTest() {
    api_.restore("nodes", exchanges_of("00-node-node-a").at(1).body);
    EXPECT_EQ(
        api_.create_pod(Json::parse(exchanges_of("01-create-pod-and-status").at(0).request.body))
            .status,
        201);
    client_ = connect();
  }

  std::unique_ptr<kube::Client> connect() {
    kube::ClientConfig config;
    config.server = api_.url();
    config.credentials.ca.file = api_.directory() + "/ca.crt";
    config.credentials.token.file = api_.directory() + "/token";
    auto client = kube::Client::make(config);
    EXPECT_TRUE(client.has_value());
    return std::move(*client);
  }

  kube::Reply get(const std::string& path = "/version", Nanoseconds deadline = seconds(20)) {
    kube::Request request;
    request.path = path;
    request.deadline = deadline;
    return client_->send(request);
  }
  kube::Reply patch(const char* memory, Nanoseconds deadline = seconds(20)) {
    kube::Request request;
    request.method = kube::Method::kPatch;
    request.path = kResize;
    request.content_type = "application/strategic-merge-patch+json";
    request.body =
        std::string(R"({"spec":{"containers":[{"name":"app","resources":{"limits":{"memory":")") +
        memory + R"("}}}]}})";
    request.deadline = deadline;
    return client_->send(request);
  }
  void set(const std::string& fault) {
    const Result<Fault> parsed = fault_of(Json::parse(fault));
    ASSERT_TRUE(parsed.has_value()) << parsed.error().message;
    api_.add_fault(*parsed);
  }
  std::string limit() {
    return text_at(
        api_.object("pods", "demo", "web")["spec"]["containers"][0]["resources"]["limits"],
        "memory");
  }

  FakeApi api_;
  std::unique_ptr<kube::Client> client_;
};

TEST_F(FaultsTest, InOrderItServesAndCounts) {
  ASSERT_TRUE(get().has_value());
  const auto reply = patch("384Mi");
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 200);
  EXPECT_EQ(limit(), "384Mi");
  EXPECT_EQ(api_.count("patch", "pods/resize"), 1U);
  EXPECT_EQ(api_.count("get", "version"), 1U);
  EXPECT_EQ(api_.count("*", "*"), 2U);
  const auto records = api_.requests();
  EXPECT_EQ(records[1].access.name, "web");
  EXPECT_EQ(records[1].status, 200);
  EXPECT_EQ(records[1].user, "system:serviceaccount:plimsoll-system:plimsoll");
  api_.clear_requests();
  EXPECT_EQ(api_.count("*", "*"), 0U);
}

TEST_F(FaultsTest, LateButRight) {
  set(R"({"verb":"patch","resource":"pods/resize","delay_ms":60000,"times":1})");
  EXPECT_TRUE(get().has_value());
  const auto hasty = patch("384Mi", milliseconds(100));
  ASSERT_FALSE(hasty.has_value());
  EXPECT_EQ(hasty.error().kind, TransportError::Kind::kDeadline);
  EXPECT_TRUE(hasty.error().sent);
  EXPECT_EQ(limit(), "256Mi");
  set(R"({"verb":"patch","resource":"pods/resize","delay_ms":50})");
  EXPECT_TRUE(patch("400Mi").has_value());
  EXPECT_EQ(limit(), "400Mi");
  // The delay begins a moment before the request is counted.
  EXPECT_GE(api_.requests().back().took, milliseconds(25));
}

TEST_F(FaultsTest, EveryRefusalHasItsStatus) {
  const std::vector<std::pair<std::string, int>> kinds{
      {"quota", 403},    {"limitrange", 403},   {"rbac", 403},        {"node-capacity", 403},
      {"policy", 403},   {"webhook", 403},      {"not-ready", 403},   {"throttled", 429},
      {"conflict", 409}, {"server-error", 500}, {"unavailable", 503}, {"timeout", 504}};
  for (const auto& [kind, status] : kinds) {
    SCOPED_TRACE(kind);
    set(R"({"verb":"patch","kind":"refusal","times":1,"refusal":")" + kind + "\"}");
    const auto reply = patch("512Mi");
    ASSERT_TRUE(reply.has_value());
    EXPECT_EQ(reply->status, status);
  }
  EXPECT_EQ(limit(), "256Mi");
  EXPECT_EQ(patch("512Mi")->status, 200);
}

TEST_F(FaultsTest, RetryAfterIsSaid) {
  set(R"({"kind":"refusal","refusal":"unavailable","retry_after":7})");
  EXPECT_EQ(get()->retry_after, Nanoseconds(seconds(7)));
}

TEST_F(FaultsTest, ABlackHoleTakesAndSaysNothing) {
  set(R"({"resource":"pods/resize","kind":"black-hole"})");
  const auto reply = patch("384Mi", milliseconds(150));
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().kind, TransportError::Kind::kDeadline);
  EXPECT_EQ(limit(), "256Mi");
  EXPECT_TRUE(get().has_value());
}

TEST_F(FaultsTest, ALostReplyWasCarriedOut) {
  set(R"({"verb":"patch","kind":"lose-reply","times":1})");
  const auto reply = patch("384Mi");
  ASSERT_FALSE(reply.has_value());
  EXPECT_TRUE(reply.error().sent);
  EXPECT_EQ(reply.error().status, 0);
  EXPECT_EQ(limit(), "384Mi");
}

TEST_F(FaultsTest, ResetsAndGarbage) {
  for (const char* kind : {"reset", "garbage"}) {
    SCOPED_TRACE(kind);
    set(std::string(R"({"times":2,"kind":")") + kind + "\"}");
    EXPECT_FALSE(get().has_value());
    api_.clear_faults();
    EXPECT_TRUE(get().has_value());
  }
  set(R"({"kind":"garbage-body"})");
  const auto reply = get();
  ASSERT_TRUE(reply.has_value());
  EXPECT_EQ(reply->status, 200);
  EXPECT_TRUE(Json::parse(reply->body, nullptr, false).is_discarded());
}

TEST_F(FaultsTest, AWatchIsCutInMidLine) {
  set(R"({"verb":"watch","kind":"cut","bytes":100})");
  kube::Request request;
  request.path = "/api/v1/pods?watch=1&timeoutSeconds=20";
  std::string came;
  const auto reply = client_->stream(
      request,
      [&](std::string_view piece) {
        came += piece;
        return true;
      },
      seconds(20));
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().kind, TransportError::Kind::kCut);
  EXPECT_EQ(came.size(), 100U);
  EXPECT_EQ(came.find('\n'), std::string::npos);
}

TEST_F(FaultsTest, GoneInBothForms) {
  set(R"({"verb":"watch","kind":"gone","times":1})");
  EXPECT_EQ(get("/api/v1/pods?watch=1&timeoutSeconds=1")->status, 410);
  set(R"({"verb":"watch","kind":"gone-event","times":1})");
  const auto event = get("/api/v1/pods?watch=1&timeoutSeconds=1");
  EXPECT_EQ(event->status, 200);
  EXPECT_EQ(Json::parse(event->body)["object"]["code"], 410);
}

TEST_F(FaultsTest, AFaultBeginsLaterAndEnds) {
  set(R"({"kind":"refusal","refusal":"unavailable","after":1,"times":1})");
  EXPECT_EQ(get()->status, 200);
  EXPECT_EQ(get()->status, 503);
  EXPECT_EQ(get()->status, 200);
}

TEST_F(FaultsTest, GoneAndBackOnTheSamePort) {
  ASSERT_TRUE(get().has_value());
  const std::uint16_t port = api_.port();
  api_.go();
  const auto refused = get();
  ASSERT_FALSE(refused.has_value());
  EXPECT_EQ(refused.error().kind, TransportError::Kind::kConnect);
  EXPECT_FALSE(refused.error().sent);
  api_.back();
  EXPECT_EQ(api_.port(), port);
  EXPECT_TRUE(get().has_value());
}

TEST_F(FaultsTest, SilenceIsNotEvenAHandshake) {
  api_.set_silent(true);
  EXPECT_FALSE(get("/version", milliseconds(150)).has_value());
  api_.set_silent(false);
  EXPECT_TRUE(get().has_value());
}

TEST_F(FaultsTest, AnExpiredTokenIs401UntilTheFileIsRenewed) {
  ASSERT_EQ(get("/api/v1/pods")->status, 200);
  const std::string old = api_.token();
  api_.expire_token(old);
  EXPECT_EQ(get("/api/v1/pods")->status, 401);
  api_.rotate_token();
  // The client reads the file again by itself.
  EXPECT_EQ(get("/api/v1/pods")->status, 200);
  EXPECT_NE(api_.token(), old);
}

TEST_F(FaultsTest, AnotherAuthorityIsNotTrustedUntilItIsPublished) {
  ASSERT_TRUE(get().has_value());
  api_.rotate_authority(false);
  const auto reply = get();
  ASSERT_FALSE(reply.has_value());
  EXPECT_EQ(reply.error().kind, TransportError::Kind::kTls);
  api_.rotate_authority(true);
  client_ = connect();
  EXPECT_TRUE(get().has_value());
}

TEST_F(FaultsTest, BothKubeconfigsWork) {
  for (const char* name : {"kubeconfig", "kubeconfig-certificate"}) {
    SCOPED_TRACE(name);
    const auto config = kube::load_kubeconfig(api_.directory() + "/" + name);
    ASSERT_TRUE(config.has_value()) << config.error().message;
    auto client = kube::Client::make(*config);
    ASSERT_TRUE(client.has_value()) << client.error().message;
    kube::Request request;
    request.path = "/api/v1/pods";
    const auto reply = (*client)->send(request);
    ASSERT_TRUE(reply.has_value()) << reply.error().error.message;
    EXPECT_EQ(reply->status, 200);
  }
  EXPECT_EQ(api_.requests().back().user, "admin");
}

TEST_F(FaultsTest, TheControlPortSetsAndReads) {
  const auto say = [&](const char* method, const std::string& target,
                       const std::string& body = "") {
    return plain_json(api_.control_port(), {method, target, body, {}});
  };
  ASSERT_TRUE(say("POST", "/fake/fault", "{kind: refusal, refusal: unavailable}").has_value());
  EXPECT_EQ(get()->status, 503);
  say("POST", "/fake/clear-faults");
  EXPECT_EQ(get()->status, 200);
  EXPECT_EQ(*say("GET", "/fake/counts"), (Json{{"get version", 2}}));
  EXPECT_EQ(text_at(*say("POST", "/fake/fault", "{kind: odd}"), "message"),
            "no fault is called 'odd'");
  const auto made = say("POST", "/fake/pods",
                        "{count: 2, template: {metadata: {name: many, namespace: demo}, spec: "
                        "{nodeName: node-a, containers: [{name: app, image: none}]}}}");
  ASSERT_TRUE(made.has_value());
  EXPECT_EQ(made->at(1)["name"], "many-1");
  // What comes over the control port is not counted, nor does a fault fall on it.
  ASSERT_TRUE(say("POST", "/fake/fault", "{kind: reset}").has_value());
  EXPECT_EQ(text_at(*say("GET", "/version"), "major"), "1");
  EXPECT_EQ(api_.count("*", "*"), 2U);
}

}  // namespace
}  // namespace plimsoll::test::faults_test
