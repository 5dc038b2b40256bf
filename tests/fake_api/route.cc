// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/route.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <vector>

namespace plimsoll::test {
namespace {

struct Served {
  std::string_view group;
  std::string_view resource;
  std::string_view verbs;  // g get, l list, w watch, c create, p patch, u update, d delete
};

constexpr std::array kServed{Served{"", "pods", "glwcpud"},
                             Served{"", "pods/status", "gpu"},
                             Served{"", "pods/resize", "gpu"},
                             Served{"", "pods/ephemeralcontainers", "gpu"},
                             Served{"", "nodes", "glwcpud"},
                             Served{"", "nodes/status", "gpu"},
                             Served{"", "events", "glcpud"},
                             Served{"", "limitranges", "glcpud"},
                             Served{"", "resourcequotas", "glcpud"},
                             Served{"", "resourcequotas/status", "gpu"},
                             Served{"", "namespaces", "glcpud"},
                             Served{"events.k8s.io", "events", "glcpud"},
                             Served{"authorization.k8s.io", "selfsubjectaccessreviews", "c"}};

std::vector<std::string> segments(const std::string& path) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  while (begin < path.size()) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    if (end > begin) parts.push_back(path.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

bool asks_to_watch(const HttpRequest& request) {
  const std::string watch = request.parameter("watch");
  return watch == "1" || watch == "true";
}

std::string verb_of(const HttpRequest& request, bool named) {
  if (request.method == "GET") {
    if (asks_to_watch(request)) return "watch";
    return named ? "get" : "list";
  }
  if (request.method == "POST") return "create";
  if (request.method == "PATCH") return "patch";
  if (request.method == "PUT") return "update";
  if (request.method == "DELETE") return named ? "delete" : "deletecollection";
  return request.method;
}

}  // namespace

Route route_of(const HttpRequest& request, bool has_resize) {
  Route route;
  std::vector<std::string> parts = segments(request.path);
  const bool core = parts.size() > 2 && parts[0] == "api" && parts[1] == "v1";
  const bool grouped = parts.size() > 3 && parts[0] == "apis";
  if (!core && !grouped) return route;
  Access& access = route.access;
  if (grouped) access.group = parts[1];
  parts.erase(parts.begin(), parts.begin() + (core ? 2 : 3));
  if (parts[0] == "namespaces" && parts.size() > 2) {
    access.space = parts[1];
    parts.erase(parts.begin(), parts.begin() + 2);
  }
  route.resource = parts[0];
  if (parts.size() > 1) access.name = parts[1];
  if (parts.size() > 2) route.subresource = parts[2];
  access.resource = route.resource + (route.subresource.empty() ? "" : "/" + route.subresource);
  access.verb = verb_of(request, !access.name.empty());
  const auto served = std::find_if(kServed.begin(), kServed.end(), [&](const Served& entry) {
    return entry.group == access.group && entry.resource == access.resource;
  });
  if (served == kServed.end() || (access.resource == "pods/resize" && !has_resize)) {
    route.kind = Route::Kind::kUnknownResource;
  } else if (served->verbs.find(access.verb[0]) == std::string_view::npos) {
    route.kind = Route::Kind::kWrongMethod;
  } else {
    route.kind = Route::Kind::kResource;
  }
  return route;
}

}  // namespace plimsoll::test
