// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/json.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>

namespace plimsoll::test {
namespace {

// Plain scalars of YAML are typed as its core schema says, without its octal and hexadecimal forms.
Json scalar(const YAML::Node& node) {
  const std::string& text = node.Scalar();
  if (node.Tag() == "!") return text;  // quoted
  if (text.empty() || text == "~" || text == "null") return nullptr;
  if (text == "true") return true;
  if (text == "false") return false;
  Json number = Json::parse(text, nullptr, false);
  return number.is_number() ? number : Json(text);
}

Json from_yaml(const YAML::Node& node) {
  if (node.IsMap()) {
    Json object = Json::object();
    for (const auto& entry : node) object[entry.first.Scalar()] = from_yaml(entry.second);
    return object;
  }
  if (node.IsSequence()) {
    Json list = Json::array();
    for (const auto& entry : node) list.push_back(from_yaml(entry));
    return list;
  }
  return node.IsScalar() ? scalar(node) : Json(nullptr);
}

}  // namespace

const Json& member(const Json& object, std::string_view key) {
  static const Json kNone;
  if (!object.is_object()) return kNone;
  const auto found = object.find(std::string(key));
  return found == object.end() ? kNone : *found;
}

std::string text_at(const Json& object, std::string_view key) {
  const Json& value = member(object, key);
  return value.is_string() ? value.get<std::string>() : std::string();
}

std::vector<std::string> texts(const Json& list) {
  std::vector<std::string> found;
  for (const Json& entry : list) {
    if (entry.is_string()) found.push_back(entry.get<std::string>());
  }
  return found;
}

bool same(const Json& a, const Json& b) {
  if (a.is_object() && b.is_object()) {
    return a.size() == b.size() &&
           std::all_of(a.items().begin(), a.items().end(), [&](const auto& entry) {
             return b.contains(entry.key()) && same(entry.value(), b[entry.key()]);
           });
  }
  if (a.is_array() && b.is_array()) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end(), same);
  }
  return a == b;
}

Result<Json> parse_json_or_yaml(const std::string& text) {
  Json parsed = Json::parse(text, nullptr, false);
  if (!parsed.is_discarded()) return parsed;
  try {
    return from_yaml(YAML::Load(text));
  } catch (const YAML::Exception& error) {
    return fail(Code::kMalformed, std::string("neither JSON nor YAML: ") + error.what());
  }
}

}  // namespace plimsoll::test
