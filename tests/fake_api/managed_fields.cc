// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/managed_fields.h"

#include <algorithm>
#include <vector>

#include "tests/fake_api/pod_resources.h"
#include "tests/fake_api/store.h"

namespace plimsoll::test {
namespace {

using Path = std::vector<std::string>;

std::string element(const std::string& key, const Json& value) {
  return "k:" + Json{{key, value}}.dump();
}

// {"f:name":{}} of {"name":…}; elements of lists that merge by name or type are told apart.
Json fields_of(const Json& value) {
  Json fields = Json::object();
  if (value.is_object()) {
    for (const auto& [key, entry] : value.items()) fields["f:" + key] = fields_of(entry);
  } else if (value.is_array()) {
    for (const Json& entry : value) {
      for (const char* key : {"name", "type"}) {
        if (!member(entry, key).is_string() || entry.contains("containerID")) continue;
        Json& own = fields[element(key, entry[key])] = {{".", Json::object()}};
        own.update(fields_of(entry));
        break;
      }
    }
  }
  return fields;
}

bool erase(Json& fields, const Path& path, std::size_t depth) {
  if (!fields.is_object() || !fields.contains(path[depth])) return false;
  if (depth + 1 < path.size()) {
    if (!erase(fields[path[depth]], path, depth + 1)) return false;
    if (!fields[path[depth]].empty()) return true;
  }
  fields.erase(path[depth]);
  return true;
}

void insert(Json& fields, const Path& path) {
  Json* at = &fields;
  for (const std::string& step : path) {
    at = &(*at)[step];
    if (at->is_null()) *at = Json::object();
  }
}

void leaves(const Json& old, const Json& changed, const Path& where, std::vector<Path>& found) {
  for (const char* kind : {"limits", "requests"}) {
    const Json& before = member(member(old, "resources"), kind);
    for (const auto& [name, value] : member(member(changed, "resources"), kind).items()) {
      if (member(before, name) == value) continue;
      Path path = where;
      path.insert(path.end(), {"f:resources", "f:" + std::string(kind), "f:" + name});
      found.push_back(std::move(path));
    }
  }
}

std::vector<Path> changed_leaves(const Json& old, const Json& changed) {
  std::vector<Path> found;
  const Json& before = member(old, "spec");
  const Json& after = member(changed, "spec");
  for (const std::string_view list : {kContainers, kInitContainers}) {
    const Json& olds = member(before, list);
    const Json& news = member(after, list);
    for (std::size_t i = 0; i < news.size() && i < olds.size(); ++i) {
      leaves(olds[i], news[i],
             {"f:spec", "f:" + std::string(list), element("name", news[i]["name"])}, found);
    }
  }
  leaves(before, after, {"f:spec"}, found);
  return found;
}

Json& entry_of(Json& object, const std::string& manager, const std::string& subresource) {
  Json& entries = object["metadata"]["managedFields"];
  if (!entries.is_array()) entries = Json::array();
  const auto own = std::find_if(entries.begin(), entries.end(), [&](const Json& entry) {
    return text_at(entry, "manager") == manager && text_at(entry, "operation") == "Update" &&
           text_at(entry, "subresource") == subresource;
  });
  if (own != entries.end()) {
    (*own)["time"] = timestamp();
    return *own;
  }
  Json entry{{"manager", manager},  {"operation", "Update"},    {"apiVersion", "v1"},
             {"time", timestamp()}, {"fieldsType", "FieldsV1"}, {"fieldsV1", Json::object()}};
  if (!subresource.empty()) entry["subresource"] = subresource;
  entries.push_back(std::move(entry));
  return entries.back();
}

}  // namespace

void own_resources(Json& changed, const Json& old, const std::string& manager,
                   const std::string& subresource) {
  const std::vector<Path> paths = changed_leaves(old, changed);
  if (paths.empty()) return;
  Json& entries = changed["metadata"]["managedFields"];
  if (!entries.is_array()) entries = Json::array();
  for (Json& entry : entries) {
    for (const Path& path : paths) erase(entry["fieldsV1"], path, 0);
  }
  entries.erase(std::remove_if(entries.begin(), entries.end(),
                               [](const Json& entry) { return entry["fieldsV1"].empty(); }),
                entries.end());
  Json& fields = entry_of(changed, manager, subresource)["fieldsV1"];
  for (const Path& path : paths) insert(fields, path);
}

void own_part(Json& object, const std::string& field, const Json& part, const std::string& manager,
              const std::string& subresource) {
  Json& fields = entry_of(object, manager, subresource)["fieldsV1"];
  Json& own = fields["f:" + field];
  if (!own.is_object()) own = Json::object();
  own.update(fields_of(part));
}

}  // namespace plimsoll::test
