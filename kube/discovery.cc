// SPDX-License-Identifier: Apache-2.0
#include "kube/discovery.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "base/units.h"

namespace plimsoll::kube {
namespace {

constexpr std::size_t kLargestDiscovery = kMiB;  // /api/v1 of 1.36 has 12 KiB
constexpr int kDeepest = 8;

nlohmann::json parse(std::string_view body) {
  const auto keep = [](int depth, nlohmann::json::parse_event_t, nlohmann::json&) {
    return depth <= kDeepest;
  };
  return body.size() > kLargestDiscovery
             ? nlohmann::json()
             : nlohmann::json::parse(body, keep, /*allow_exceptions=*/false);
}

std::string text_of(const nlohmann::json& object, const char* key) {
  if (!object.is_object()) return {};
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

// The number that a text begins with: "36", "36+", "36-gke.100".
std::optional<int> leading_number(std::string_view text) {
  int number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_one = error == std::errc() && number >= 0;
  const bool ends_well = rest == text.data() + text.size() || *rest == '+' || *rest == '-';
  return is_one && ends_well ? std::optional(number) : std::nullopt;
}

Request get(std::string path) {
  Request request;
  request.path = std::move(path);
  request.largest_body = kLargestDiscovery;
  return request;
}

}  // namespace

std::string_view to_string(ResizePath path) {
  switch (path) {
    case ResizePath::kSubresource:
      return "subresource";
    case ResizePath::kPodPatch:
      return "pod_patch";
    case ResizePath::kNone:
      return "none";
  }
  return "unknown";
}

Request version_request() { return get("/version"); }
Request discovery_request() { return get("/api/v1"); }

Result<ServerVersion> parse_version(std::string_view body) {
  const nlohmann::json object = parse(body);
  const auto major = leading_number(text_of(object, "major"));
  const auto minor = leading_number(text_of(object, "minor"));
  if (!major || !minor) {
    return fail(Code::kMalformed, "GET /version: no major and minor number in the reply");
  }
  return ServerVersion{*major, *minor, text_of(object, "gitVersion")};
}

Result<bool> lists_resize(std::string_view body) {
  const nlohmann::json object = parse(body);
  const auto resources = object.is_object() ? object.find("resources") : object.end();
  if (text_of(object, "kind") != "APIResourceList" || resources == object.end() ||
      !resources->is_array()) {
    return fail(Code::kMalformed, "GET /api/v1: the reply is no APIResourceList");
  }
  return std::any_of(resources->begin(), resources->end(), [](const nlohmann::json& resource) {
    if (text_of(resource, "name") != "pods/resize") return false;
    const auto verbs = resource.find("verbs");
    return verbs != resource.end() && verbs->is_array() &&
           std::find(verbs->begin(), verbs->end(), nlohmann::json("patch")) != verbs->end();
  });
}

ResizePath resize_path(const ServerVersion& version, bool resize_is_listed) {
  if (resize_is_listed) return ResizePath::kSubresource;
  // From 1.32 on the pod itself takes no resize any more, also where the gate is off.
  const bool by_pod = version.at_least(1, 27) && !version.at_least(1, 32);
  return by_pod ? ResizePath::kPodPatch : ResizePath::kNone;
}

}  // namespace plimsoll::kube
