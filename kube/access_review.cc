// SPDX-License-Identifier: Apache-2.0
#include "kube/access_review.h"

#include <nlohmann/json.hpp>

#include "base/units.h"

namespace plimsoll::kube {
namespace {

constexpr std::size_t kLargestReview = 64 * kKiB;
constexpr int kDeepest = 8;  // managedFields go deeper; they are dropped

std::string text_of(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

std::string to_string(const AccessQuestion& question) {
  std::string text = question.verb + " " + question.resource;
  if (!question.subresource.empty()) text += "/" + question.subresource;
  if (!question.group.empty()) text += " of " + question.group;
  return text + (question.namespace_name.empty() ? std::string(" in all namespaces")
                                                 : " in namespace " + question.namespace_name);
}

Request access_request(const AccessQuestion& question) {
  nlohmann::json attributes = {{"verb", question.verb}, {"resource", question.resource}};
  if (!question.subresource.empty()) attributes["subresource"] = question.subresource;
  if (!question.group.empty()) attributes["group"] = question.group;
  if (!question.namespace_name.empty()) attributes["namespace"] = question.namespace_name;
  const nlohmann::json review = {{"apiVersion", "authorization.k8s.io/v1"},
                                 {"kind", "SelfSubjectAccessReview"},
                                 {"spec", {{"resourceAttributes", attributes}}}};
  Request request;
  request.method = Method::kPost;
  request.path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
  request.content_type = "application/json";
  request.body = review.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  request.largest_body = kLargestReview;
  return request;
}

Result<AccessAnswer> parse_access_answer(std::string_view body) {
  const auto malformed = [] {
    return fail(Code::kMalformed, "the reply is no SelfSubjectAccessReview with an answer");
  };
  if (body.size() > kLargestReview) return malformed();
  const auto keep = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth <= kDeepest;
  };
  const nlohmann::json review = nlohmann::json::parse(body, keep, /*allow_exceptions=*/false);
  if (!review.is_object() || text_of(review, "kind") != "SelfSubjectAccessReview") {
    return malformed();
  }
  const auto status = review.find("status");
  if (status == review.end() || !status->is_object()) return malformed();
  const auto allowed = status->find("allowed");
  if (allowed == status->end() || !allowed->is_boolean()) return malformed();
  return AccessAnswer{allowed->get<bool>(), text_of(*status, "reason"),
                      text_of(*status, "evaluationError")};
}

}  // namespace plimsoll::kube
