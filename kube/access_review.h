// SPDX-License-Identifier: Apache-2.0
//
// "May I?", asked of the API server before the first emergency: one SelfSubjectAccessReview per
// verb that the agent needs. Everybody who is authenticated may ask. Pure.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "kube/http.h"

namespace plimsoll::kube {

struct AccessQuestion {
  std::string verb;            // "patch"
  std::string resource;        // "pods"
  std::string subresource;     // "resize"; empty: the resource itself
  std::string group;           // empty: the core group
  std::string namespace_name;  // empty: all namespaces

  bool operator==(const AccessQuestion&) const = default;
};
std::string to_string(const AccessQuestion& question);  // "patch pods/resize in all namespaces"

struct AccessAnswer {
  bool allowed = false;
  std::string reason;            // whose rule it is, where the server says so
  std::string evaluation_error;  // what the server could not look at; an answer all the same

  bool operator==(const AccessAnswer&) const = default;
};

Request access_request(const AccessQuestion& question);

// Of a reply of status 201. kMalformed: no review, or one without an answer.
Result<AccessAnswer> parse_access_answer(std::string_view body);

}  // namespace plimsoll::kube
