// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/strategic_merge.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

namespace plimsoll::test {
namespace {

constexpr std::string_view kDirective = "$patch";
constexpr std::string_view kOrder = "$setElementOrder/";

// Lists of the objects that are served here which merge by a key; every other list is replaced.
std::string_view merge_key(std::string_view list) {
  constexpr std::array kKeys{
      std::pair{std::string_view("containers"), std::string_view("name")},
      std::pair{std::string_view("initContainers"), std::string_view("name")},
      std::pair{std::string_view("ephemeralContainers"), std::string_view("name")},
      std::pair{std::string_view("volumes"), std::string_view("name")},
      std::pair{std::string_view("env"), std::string_view("name")},
      std::pair{std::string_view("volumeMounts"), std::string_view("mountPath")},
      std::pair{std::string_view("ownerReferences"), std::string_view("uid")},
      std::pair{std::string_view("conditions"), std::string_view("type")},
      std::pair{std::string_view("podIPs"), std::string_view("ip")},
      std::pair{std::string_view("hostIPs"), std::string_view("ip")}};
  for (const auto& [name, key] : kKeys) {
    if (name == list) return key;
  }
  return {};
}

struct Refused {
  Reply reply;
};

std::ptrdiff_t index_of(const Json& list, std::string_view key, const Json& value) {
  const auto found = std::find_if(list.begin(), list.end(),
                                  [&](const Json& entry) { return member(entry, key) == value; });
  return found == list.end() ? -1 : found - list.begin();
}

Json merged(const Json& object, const Json& patch);

// Elements that the patch does not name keep their places among those that it does; the order of
// these is that of the patch.
Json in_order(const std::vector<Json>& left, const std::vector<Json>& right, const Json& old,
              std::string_view key) {
  Json list = Json::array();
  std::size_t i = 0;
  std::size_t j = 0;
  while (i < left.size() || j < right.size()) {
    bool take_left = j == right.size();
    if (i < left.size() && j < right.size()) {
      const std::ptrdiff_t l = index_of(old, key, member(left[i], key));
      const std::ptrdiff_t r = index_of(old, key, member(right[j], key));
      take_left = l >= 0 && r >= 0 && l < r;
    }
    list.push_back(take_left ? left[i++] : right[j++]);
  }
  return list;
}

// `order` is $setElementOrder, or null.
Json merged_list(const Json& old, const Json& patch, std::string_view key, const Json& order) {
  std::vector<Json> changed;
  std::vector<Json> untouched;
  std::vector<Json> removed;
  for (const Json& entry : patch) {
    if (text_at(entry, kDirective) == "replace") {
      Json list = Json::array();
      for (const Json& other : patch) {
        if (!other.contains(kDirective)) list.push_back(other);
      }
      return list;
    }
    const Json& name = member(entry, key);
    if (name.is_null()) {
      throw Refused{status_reply(
          500, "",
          "map: " + go_text(entry) + " does not contain declared merge key: " + std::string(key))};
    }
    if (text_at(entry, kDirective) == "delete") {
      removed.push_back(name);
      continue;
    }
    const std::ptrdiff_t at = index_of(old, key, name);
    changed.push_back(merged(at < 0 ? Json::object() : old[static_cast<std::size_t>(at)], entry));
  }
  for (const Json& entry : old) {
    const Json& name = member(entry, key);
    const auto same = [&](const Json& other) { return member(other, key) == name; };
    if (std::find(removed.begin(), removed.end(), name) != removed.end()) continue;
    if (std::none_of(changed.begin(), changed.end(), same)) untouched.push_back(entry);
  }
  if (order.is_array()) {
    // Elements that the order names count as named by the patch.
    std::vector<Json> ordered;
    for (const Json& entry : order) {
      const Json& name = member(entry, key);
      for (std::vector<Json>* from : {&changed, &untouched}) {
        const auto found = std::find_if(from->begin(), from->end(), [&](const Json& other) {
          return member(other, key) == name;
        });
        if (found == from->end()) continue;
        ordered.push_back(*found);
        from->erase(found);
      }
    }
    changed.insert(changed.begin(), ordered.begin(), ordered.end());
  }
  return in_order(untouched, changed, old, key);
}

Json merged(const Json& object, const Json& patch) {
  if (!patch.is_object()) return patch;
  if (text_at(patch, kDirective) == "replace") {
    Json replaced = patch;
    replaced.erase(std::string(kDirective));
    return replaced;
  }
  Json result = object.is_object() ? object : Json::object();
  for (const auto& [key, value] : patch.items()) {
    if (key.empty() || key[0] == '$') continue;
    if (value.is_null()) {
      result.erase(key);
      continue;
    }
    const std::string_view list_key = merge_key(key);
    if (value.is_array() && !list_key.empty()) {
      const Json& old = member(object, key);
      result[key] = merged_list(old.is_array() ? old : Json::array(), value, list_key,
                                member(patch, std::string(kOrder) + key));
    } else {
      result[key] = merged(member(object, key), value);
    }
  }
  return result;
}

}  // namespace

Patched strategic_merge(const Json& object, const Json& patch) {
  try {
    return merged(object, patch);
  } catch (const Refused& refused) {
    return refused.reply;
  }
}

Patched merge_patch(const Json& object, const Json& patch) {
  Json result = object;
  result.merge_patch(patch);
  return result;
}

Patched json_patch(const Json& object, const Json& operations) {
  try {
    return object.patch(operations);
  } catch (const Json::exception&) {
    // One sentence for every fault of a JSON patch, a test that fails among them.
    return status_reply(422, "Invalid",
                        "the server rejected our request due to an error in our request",
                        Json::object());
  }
}

Patched apply_patch(const Json& object, const std::string& content_type, const Json& patch) {
  const std::string type = content_type.substr(0, content_type.find(';'));
  if (type == "application/strategic-merge-patch+json") return strategic_merge(object, patch);
  if (type == "application/merge-patch+json") return merge_patch(object, patch);
  if (type == "application/json-patch+json") return json_patch(object, patch);
  return status_reply(415, "UnsupportedMediaType", "415: Unsupported Media Type", Json::object());
}

}  // namespace plimsoll::test
