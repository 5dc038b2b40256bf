// SPDX-License-Identifier: Apache-2.0
//
// Route: what a method and a path ask for, in the words of authorization.
#pragma once

#include <string>

#include "tests/fake_api/http_message.h"
#include "tests/fake_api/identity.h"

namespace plimsoll::test {

struct Route {
  enum class Kind { kOther, kResource, kUnknownResource, kWrongMethod };

  Kind kind = Kind::kOther;
  Access access;  // resource with its subresource: "pods/resize"
  std::string resource;
  std::string subresource;
};

// kOther: nothing below a group's version (/version, /healthz, /api/v1 itself).
Route route_of(const HttpRequest& request, bool has_resize);

}  // namespace plimsoll::test
