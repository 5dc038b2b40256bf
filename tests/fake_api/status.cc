// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/status.h"

#include <algorithm>
#include <utility>

namespace plimsoll::test {
namespace {

// The message says once what the causes say twice.
std::string joined(const std::vector<Cause>& causes) {
  std::vector<std::string> said;
  std::string text;
  for (const Cause& cause : causes) {
    const std::string one = cause.field + ": " + cause.message;
    if (std::find(said.begin(), said.end(), one) != said.end()) continue;
    text += (said.empty() ? "" : ", ") + one;
    said.push_back(one);
  }
  return said.size() == 1 ? text : "[" + text + "]";
}

}  // namespace

std::string in_quotes(std::string_view text) { return Json(text).dump(); }

Cause forbidden_cause(std::string field, const std::string& why) {
  return {"FieldValueForbidden", "Forbidden: " + why, std::move(field)};
}

Cause required_cause(std::string field, const std::string& why) {
  return {"FieldValueRequired", "Required value" + (why.empty() ? "" : ": " + why),
          std::move(field)};
}

Cause invalid_cause(std::string field, const std::string& value, const std::string& why) {
  return {"FieldValueInvalid", "Invalid value: " + value + ": " + why, std::move(field)};
}

Reply status_reply(int code, const std::string& reason, const std::string& message,
                   const Json& details) {
  Reply reply{code};
  reply.body = {{"kind", "Status"},
                {"apiVersion", "v1"},
                {"metadata", Json::object()},
                {"status", "Failure"},
                {"message", message}};
  // Some errors of the server have no reason.
  if (!reason.empty()) reply.body["reason"] = reason;
  if (!details.is_null()) reply.body["details"] = details;
  reply.body["code"] = code;
  return reply;
}

Reply invalid_reply(const std::string& kind, const std::string& name,
                    const std::vector<Cause>& causes, const std::string& group) {
  Json details = Json::object();
  if (!name.empty()) details["name"] = name;
  if (!group.empty()) details["group"] = group;
  if (!kind.empty()) details["kind"] = kind;
  details["causes"] = Json::array();
  for (const Cause& cause : causes) {
    details["causes"].push_back(
        {{"reason", cause.reason}, {"message", cause.message}, {"field", cause.field}});
  }
  const std::string qualified = group.empty() ? kind : kind + "." + group;
  return status_reply(422, "Invalid",
                      qualified + " " + in_quotes(name) + " is invalid: " + joined(causes),
                      details);
}

Reply forbidden_reply(const std::string& resource, const std::string& name, const std::string& why,
                      const Json& causes) {
  Json details = Json::object();
  if (!name.empty()) details["name"] = name;
  details["kind"] = resource;
  if (!causes.is_null()) details["causes"] = causes;
  return status_reply(
      403, "Forbidden",
      resource + (name.empty() ? "" : " " + in_quotes(name)) + " is forbidden: " + why, details);
}

Reply not_found_reply(const std::string& resource, const std::string& name) {
  return status_reply(404, "NotFound", resource + " " + in_quotes(name) + " not found",
                      {{"name", name}, {"kind", resource}});
}

Reply conflict_reply(const std::string& resource, const std::string& name) {
  return status_reply(409, "Conflict",
                      "Operation cannot be fulfilled on " + resource + " " + in_quotes(name) +
                          ": the object has been modified; please apply your changes to the latest "
                          "version and try again",
                      {{"name", name}, {"kind", resource}});
}

std::string go_text(const Json& value) {
  if (value.is_object()) {
    // Go sorts the keys that it prints.
    std::string text;
    for (const auto& [key, entry] : value.get<std::map<std::string, Json>>()) {
      if (!text.empty()) text += ' ';
      text += key + ":" + go_text(entry);
    }
    return "map[" + text + "]";
  }
  if (value.is_array()) {
    std::string text;
    for (const Json& entry : value) {
      if (!text.empty()) text += ' ';
      text += go_text(entry);
    }
    return "[" + text + "]";
  }
  if (value.is_string()) return value.get<std::string>();
  if (value.is_null()) return "<nil>";
  return value.dump();
}

}  // namespace plimsoll::test
