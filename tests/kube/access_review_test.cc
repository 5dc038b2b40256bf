// SPDX-License-Identifier: Apache-2.0
#include "kube/access_review.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>

#include "tests/kube/recording.h"

namespace plimsoll::kube::access_review_test {
namespace {

TEST(AccessReview, AsksAsTheRealServerWasAsked) {
  const auto replies = test::recorded("67-ssar");
  ASSERT_EQ(replies.size(), 2U);
  const Request request = access_request(
      {.verb = "patch", .resource = "pods", .subresource = "resize", .namespace_name = "demo"});
  EXPECT_EQ(to_string(request.method), replies[0].method);
  EXPECT_EQ(request.path, replies[0].path);
  EXPECT_EQ(request.content_type, "application/json");
  EXPECT_EQ(nlohmann::json::parse(request.body), nlohmann::json::parse(replies[0].request_body));
}

TEST(AccessReview, ReadsWhatTheRealServerAnswered) {
  const auto replies = test::recorded("67-ssar");
  const auto allowed = parse_access_answer(replies.at(0).body);
  ASSERT_TRUE(allowed) << allowed.error().message;
  EXPECT_TRUE(allowed->allowed);
  EXPECT_NE(allowed->reason.find("pod-resizer"), std::string::npos);
  const auto denied = parse_access_answer(replies.at(1).body);
  ASSERT_TRUE(denied) << denied.error().message;
  EXPECT_EQ(*denied, AccessAnswer{});
}

TEST(AccessReview, WholeClusterAndGroupsAreAskedSo) {
  const auto body = nlohmann::json::parse(
      access_request({.verb = "create", .resource = "events", .group = "events.k8s.io"}).body);
  EXPECT_EQ(
      body["spec"]["resourceAttributes"],
      (nlohmann::json{{"verb", "create"}, {"resource", "events"}, {"group", "events.k8s.io"}}));
}

TEST(AccessReview, QuestionsReadAsSentences) {
  EXPECT_EQ(to_string(AccessQuestion{.verb = "patch", .resource = "pods", .subresource = "resize"}),
            "patch pods/resize in all namespaces");
  EXPECT_EQ(to_string(AccessQuestion{.verb = "create",
                                     .resource = "events",
                                     .group = "events.k8s.io",
                                     .namespace_name = "demo"}),
            "create events of events.k8s.io in namespace demo");
}

TEST(AccessReview, WhatHoldsNoAnswerIsMalformed) {
  for (const char* body : {"", "null", "{}", R"({"kind":"SelfSubjectAccessReview"})",
                           R"({"kind":"SelfSubjectAccessReview","status":{}})",
                           R"({"kind":"SelfSubjectAccessReview","status":{"allowed":"true"}})",
                           R"({"kind":"Status","status":{"allowed":true}})"}) {
    const auto answer = parse_access_answer(body);
    ASSERT_FALSE(answer) << body;
    EXPECT_EQ(answer.error().code, Code::kMalformed);
  }
}

TEST(AccessReview, AnEvaluationErrorIsNoRefusal) {
  const auto answer = parse_access_answer(
      R"({"kind":"SelfSubjectAccessReview","status":{"allowed":true,"evaluationError":"x"}})");
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->allowed);
  EXPECT_EQ(answer->evaluation_error, "x");
}

}  // namespace
}  // namespace plimsoll::kube::access_review_test
