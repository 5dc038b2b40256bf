// SPDX-License-Identifier: Apache-2.0
//
// Json: the documents of the API fake. Keys keep their order, for the real server writes them in
// that of its types ("kind" first, "metadata" before "items") and readers may lean on it.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plimsoll::test {

using Json = nlohmann::ordered_json;

// What is at object[key], a null value where there is none or where `object` is no object.
const Json& member(const Json& object, std::string_view key);
// The string at object[key], "" where there is none.
std::string text_at(const Json& object, std::string_view key);
// The strings of a list, none where it is no list.
std::vector<std::string> texts(const Json& list);

// Equal whatever the order of keys is, which operator== of Json looks at.
bool same(const Json& a, const Json& b);

// One document, JSON or YAML; kMalformed says where it stops making sense.
Result<Json> parse_json_or_yaml(const std::string& text);

}  // namespace plimsoll::test
