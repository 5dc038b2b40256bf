// SPDX-License-Identifier: Apache-2.0
//
// What no recording has: other versions of the API server, webhooks, proxies, transports.
#include "kube/status.h"

#include <gtest/gtest.h>

#include <array>
#include <nlohmann/json.hpp>
#include <string>

namespace plimsoll::kube::status_test {
namespace {

Response reply_of(int status, const std::string& message, const std::string& reason = {},
                  const nlohmann::json& details = nlohmann::json::object()) {
  const nlohmann::json body = {{"kind", "Status"},   {"apiVersion", "v1"}, {"status", "Failure"},
                               {"message", message}, {"reason", reason},   {"code", status},
                               {"details", details}};
  return {.status = status, .content_type = "application/json", .body = body.dump()};
}

Cause cause_of_reply(int status, const std::string& message, const std::string& reason = {},
                     const nlohmann::json& details = nlohmann::json::object()) {
  return classify(reply_of(status, message, reason, details)).cause;
}

constexpr std::string_view kForbidden = "pods \"web\" is forbidden: ";

std::string forbidden(std::string_view text) { return std::string(kForbidden) + std::string(text); }

TEST(Status, A403IsToldApartByItsText) {
  const std::vector<std::pair<std::string, Cause>> rows = {
      {forbidden("User \"u\" cannot patch resource \"pods/resize\" in API group \"\""),
       Cause::kRbac},
      {forbidden("exceeded quota: q, requested: limits.memory=1Gi"), Cause::kQuota},
      {forbidden("failed quota: q: must specify limits.memory for: app"), Cause::kQuota},
      {forbidden("status unknown for quota: q, resources: limits.memory"), Cause::kNotReady},
      {forbidden("maximum memory usage per Container is 1Gi, but limit is 2Gi"),
       Cause::kLimitRange},
      {forbidden("minimum memory usage per Pod is 1Gi, but limit is 2Mi"), Cause::kLimitRange},
      {forbidden("[minimum cpu usage per Pod is 1, but limit is 1m, maximum]"), Cause::kLimitRange},
      {forbidden("cpu max limit to request ratio per Pod is 2, but provided ratio is 3"),
       Cause::kLimitRange},
      {forbidden("not yet ready to handle request"), Cause::kNotReady},
      {forbidden("pod resize is only supported on linux nodes"), Cause::kPlatform},
      {"admission webhook \"cap.example\" denied the request: too big", Cause::kAdmission},
      {forbidden("violates PodSecurity \"restricted:latest\": runAsNonRoot"), Cause::kAdmission},
      {forbidden("something new"), Cause::kForbidden},
      {"", Cause::kForbidden},
  };
  for (const auto& [message, cause] : rows) {
    EXPECT_EQ(cause_of_reply(403, message, "Forbidden"), cause) << message;
  }
}

TEST(Status, WhatAPolicySaysIsNotTakenForWhatItQuotes) {
  for (const char* quoted : {"exceeded quota: q", "User \"u\" cannot patch",
                             "pods \"a\" is forbidden: exceeded quota: q",
                             "not yet ready to handle request", "Pod QOS Class may not change"}) {
    const std::string policy = forbidden(
        "ValidatingAdmissionPolicy 'p' with binding 'b' denied request: " + std::string(quoted));
    const std::string webhook =
        "admission webhook \"w\" denied the request: " + std::string(quoted);
    for (const int status : {403, 422}) {
      EXPECT_EQ(cause_of_reply(status, policy), Cause::kAdmission) << status << " " << quoted;
      EXPECT_EQ(cause_of_reply(status, webhook), Cause::kAdmission) << status << " " << quoted;
    }
  }
  // A quota may bear any name.
  EXPECT_EQ(cause_of_reply(403, forbidden("exceeded quota: maximum , requested: a")),
            Cause::kQuota);
}

TEST(Status, A403WithNoReadyPluginIsTriedAgainAfterASecond) {
  const Refusal refusal = classify(reply_of(403, forbidden("not yet ready to handle request")));
  EXPECT_EQ(refusal.code, Code::kUnavailable);
  EXPECT_EQ(refusal.retry_after, std::chrono::seconds(1));
}

TEST(Status, A404OfThePodIsNotOneOfTheSubresource) {
  const nlohmann::json pod = {{"name", "web"}, {"kind", "pods"}};
  EXPECT_EQ(cause_of_reply(404, "pods \"web\" not found", "NotFound", pod), Cause::kPodGone);
  const Refusal absent =
      classify(reply_of(404, "the server could not find the requested resource", "NotFound"));
  EXPECT_EQ(absent.cause, Cause::kSubresourceAbsent);
  EXPECT_EQ(absent.code, Code::kUnsupported);
  EXPECT_EQ(classify(Response{.status = 404, .body = "404 page not found\n"}).cause,
            Cause::kSubresourceAbsent);
}

TEST(Status, A409IsToldApart) {
  EXPECT_EQ(cause_of_reply(409, "the object has been modified", "Conflict",
                           {{"kind", "resourcequotas"}, {"name", "q"}}),
            Cause::kQuotaConflict);
  EXPECT_EQ(cause_of_reply(409, "events \"e\" already exists", "AlreadyExists"),
            Cause::kAlreadyExists);
  EXPECT_EQ(cause_of_reply(409, "Precondition failed: UID in precondition: a, UID in object: b"),
            Cause::kUidChanged);
  EXPECT_EQ(classify(reply_of(409, "the object has been modified")).code, Code::kConflict);
}

TEST(Status, A422OfOtherVersionsIsToldApart) {
  const std::string pod =
      "Pod \"web\" is invalid: spec.containers[0].resources.limits: Forbidden: ";
  const std::vector<std::pair<std::string, Cause>> rows = {
      {pod + "memory limits cannot be decreased unless resizePolicy is RestartContainer",
       Cause::kMemoryDecrease},
      {pod + "memory limits cannot be added unless resizePolicy is RestartContainer",
       Cause::kMemoryDecrease},
      {"Pod \"web\" is invalid: metadata: Invalid value: \"Burstable\": Pod QoS is immutable",
       Cause::kQosClass},
      {pod + "windows pods cannot be resized", Cause::kPlatform},
      {pod + "pods with pod-level resources cannot be resized", Cause::kPodLevelResources},
      {pod + "pods with node allocatable resource claims cannot be resized",
       Cause::kPodLevelResources},
      {pod + "resources for non-sidecar init containers are immutable", Cause::kInitContainer},
      {pod + "resizePolicy is immutable", Cause::kRestartPolicy},
      {pod + "something new", Cause::kInvalid},
  };
  for (const auto& [message, cause] : rows) {
    EXPECT_EQ(cause_of_reply(422, message, "Invalid"), cause) << message;
  }
}

TEST(Status, AnotherUidCountsBeforeEveryOtherFault) {
  const nlohmann::json details = {
      {"causes",
       {{{"field", "spec"}, {"message", "Pod QOS Class may not change"}, {"reason", "F"}},
        {{"field", "metadata.uid"}, {"message", "field is immutable"}, {"reason", "F"}}}}};
  const Refusal refusal = classify(
      reply_of(422, "Pod \"web\" is invalid: [spec: Pod QOS Class may not change, metadata.uid: …]",
               "Invalid", details));
  EXPECT_EQ(refusal.cause, Cause::kUidChanged);
  EXPECT_EQ(refusal.code, Code::kGone);
}

// A fail-closed webhook of one namespace, which is down: a decision about this pod.
TEST(Status, AWebhookThatCannotBeCalledIsARefusal) {
  const Refusal refusal = classify(reply_of(
      500, "Internal error occurred: failed calling webhook \"cap.example.com\": no endpoints"));
  EXPECT_EQ(refusal.cause, Cause::kAdmission);
  EXPECT_EQ(refusal.code, Code::kDenied);
  EXPECT_FALSE(refusal.outcome_unknown);
}

TEST(Status, OnlyKnown500sAreOurMistake) {
  const Refusal etcd = classify(reply_of(500, "etcdserver: request timed out"));
  EXPECT_EQ(etcd.cause, Cause::kServer);
  EXPECT_EQ(etcd.code, Code::kUnavailable);
  EXPECT_TRUE(etcd.outcome_unknown);
  EXPECT_EQ(cause_of_reply(500, "map: x does not contain declared merge key: name"),
            Cause::kBadRequest);
  EXPECT_EQ(cause_of_reply(500, "strconv.ParseUint: parsing \"abc\": invalid syntax"),
            Cause::kBadRequest);
}

TEST(Status, AfterAServersErrorTheOutcomeIsUnknown) {
  for (const int status : {500, 502, 503, 504, 408}) {
    for (const Response& reply : {reply_of(status, "no"), Response{.status = status}}) {
      const Refusal refusal = classify(reply);
      EXPECT_EQ(refusal.code, Code::kUnavailable) << status;
      EXPECT_TRUE(refusal.outcome_unknown) << status;
      EXPECT_FALSE(refusal.message.empty());
    }
  }
}

TEST(Status, ThrottlingIsPlainText) {
  const Refusal refusal = classify(Response{.status = 429,
                                            .content_type = "text/plain; charset=utf-8",
                                            .body = "Too many requests, please try again later.\n",
                                            .retry_after = std::chrono::seconds(1)});
  EXPECT_EQ(refusal.cause, Cause::kThrottled);
  EXPECT_EQ(refusal.code, Code::kUnavailable);
  EXPECT_EQ(refusal.retry_after, std::chrono::seconds(1));
  EXPECT_EQ(refusal.message, "Too many requests, please try again later.");
  EXPECT_FALSE(refusal.outcome_unknown);
}

TEST(Status, RetryAfterOfTheHeaderCountsBeforeTheBodys) {
  Response reply = reply_of(504, "Timeout", "Timeout", {{"retryAfterSeconds", 5}});
  EXPECT_EQ(classify(reply).retry_after, std::chrono::seconds(5));
  reply.retry_after = std::chrono::seconds(2);
  EXPECT_EQ(classify(reply).retry_after, std::chrono::seconds(2));
}

TEST(Status, WhatAProxySaysIsNoRefusalOfTheCluster) {
  for (const int status : {301, 302, 403, 404}) {
    const Refusal refusal = classify(
        Response{.status = status, .content_type = "text/html", .body = "<html>Forbidden</html>"});
    EXPECT_EQ(refusal.cause, Cause::kUnexpected) << status;
    EXPECT_EQ(refusal.code, Code::kUnavailable) << status;
  }
}

TEST(Status, ATransportErrorSaysWhetherTheServerMayHaveActed) {
  TransportError error{.kind = TransportError::Kind::kConnect,
                       .error = {Code::kUnavailable, "no route"}};
  EXPECT_EQ(
      classify(error),
      (Refusal{.code = Code::kUnavailable, .cause = Cause::kTransport, .message = "no route"}));
  error.sent = true;
  EXPECT_TRUE(classify(error).outcome_unknown);
  error.error.code = Code::kMalformed;
  EXPECT_EQ(classify(error).code, Code::kMalformed);
}

TEST(Status, MessagesAreOneShortLine) {
  EXPECT_EQ(classify(reply_of(400, " a\n\n  b\tc ")).message, "a b c");
  const std::string umlauts = [] {
    std::string text;
    for (int i = 0; i < 400; ++i) text += "\xc3\xa4";
    return text;
  }();
  for (const char* prefix : {"", "x"}) {
    const std::string message = classify(reply_of(400, prefix + umlauts)).message;
    EXPECT_LE(message.size(), 512U);
    EXPECT_GE(message.size(), 510U);
    EXPECT_NO_THROW(static_cast<void>(nlohmann::json(message).dump()));  // still UTF-8
  }
}

TEST(Status, WhatIsNoStatusIsAbsent) {
  for (const char* text : {"", "null", "[]", "{}", "{\"kind\":\"Pod\"}", "{\"kind\":", "text"}) {
    EXPECT_FALSE(parse_status(text)) << text;
  }
  EXPECT_FALSE(
      parse_status("{\"kind\":\"Status\",\"message\":\"" + std::string(70'000, 'x') + "\"}"));
}

TEST(Status, AStatusOfOddTypesIsReadAsFarAsItGoes) {
  const auto status =
      parse_status(R"({"kind":"Status","code":"403","reason":3,"message":null,)"
                   R"("details":{"kind":[],"name":7,"causes":[1,{"reason":"R","field":{}}],)"
                   R"("retryAfterSeconds":-5}})");
  ASSERT_TRUE(status);
  EXPECT_EQ(*status, (Status{.causes = {{.reason = "R"}}}));
  const std::string deep = "{\"kind\":\"Status\",\"details\":" + std::string(10'000, '[') +
                           std::string(10'000, ']') + "}";
  EXPECT_TRUE(parse_status(deep));
}

TEST(Status, EveryCauseHasANameOfItsOwn) {
  std::map<std::string_view, int> names;
  for (int i = 0; i <= static_cast<int>(Cause::kPatchRejected); ++i) {
    ++names[to_string(static_cast<Cause>(i))];
  }
  for (const auto& [name, count] : names) {
    EXPECT_EQ(count, 1) << name;
    EXPECT_NE(name, "unknown");
  }
}

}  // namespace
}  // namespace plimsoll::kube::status_test
