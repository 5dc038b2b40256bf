// SPDX-License-Identifier: Apache-2.0
//
// Reply: what a request is answered with, and the Status objects that refusals are made of, in the
// words of the real server.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fake_api/json.h"

namespace plimsoll::test {

using Headers = std::map<std::string, std::string>;

struct Reply {
  int status = 200;
  Json body;
  Headers headers;
  std::string text;  // instead of a body, with its own Content-Type
};

// One thing wrong with a field.
struct Cause {
  std::string reason;   // FieldValueInvalid, FieldValueForbidden, FieldValueRequired
  std::string message;  // begins with the kind of error: "Invalid value: …"
  std::string field;
};

Cause forbidden_cause(std::string field, const std::string& why);
Cause required_cause(std::string field, const std::string& why = "");
// `value` as the server prints it: strings quoted.
Cause invalid_cause(std::string field, const std::string& value, const std::string& why);

std::string in_quotes(std::string_view text);

Reply status_reply(int code, const std::string& reason, const std::string& message,
                   const Json& details = nullptr);
// 422 of an object: `Pod "web" is invalid: [field: message, …]`.
Reply invalid_reply(const std::string& kind, const std::string& name,
                    const std::vector<Cause>& causes, const std::string& group = "");
// 403 of a pod: `pods "web" is forbidden: <why>`.
Reply forbidden_reply(const std::string& resource, const std::string& name, const std::string& why,
                      const Json& causes = nullptr);
Reply not_found_reply(const std::string& resource, const std::string& name);
Reply conflict_reply(const std::string& resource, const std::string& name);

// A value as Go prints it: map[a:1 b:[x y]], keys sorted.
std::string go_text(const Json& value);

}  // namespace plimsoll::test
