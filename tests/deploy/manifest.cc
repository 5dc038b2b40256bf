// SPDX-License-Identifier: Apache-2.0
#include "tests/deploy/manifest.h"
#include "tests/support/source_path.h"

#include <sstream>
#include <stdexcept>

namespace plimsoll::test {
namespace {

std::vector<std::string> parts_of(const std::string& path) {
  std::vector<std::string> parts;
  std::istringstream stream(path.substr(0, path.find('?')));
  for (std::string part; std::getline(stream, part, '/');) {
    if (!part.empty()) parts.push_back(part);
  }
  return parts;
}

Right right(const std::string& verb, const std::string& resource, const std::string& group) {
  return verb + " " + resource + (group.empty() ? "" : "." + group);
}

}  // namespace

std::vector<YAML::Node> manifests(const std::string& name) {
  return YAML::LoadAllFromFile(source_path("deploy/" + name));
}

YAML::Node manifest(const std::string& kind, const std::string& name) {
  std::vector<YAML::Node> found;
  for (const YAML::Node& each : manifests("daemonset.yaml")) {
    if (each["kind"].as<std::string>() != kind) continue;
    if (name.empty() || each["metadata"]["name"].as<std::string>() == name) found.push_back(each);
  }
  if (found.size() != 1) throw std::runtime_error(std::to_string(found.size()) + " of " + kind);
  return found.front();
}

std::set<Right> rights_of(const YAML::Node& rules) {
  std::set<Right> rights;
  for (const YAML::Node& rule : rules) {
    for (const YAML::Node& group : rule["apiGroups"]) {
      for (const YAML::Node& resource : rule["resources"]) {
        for (const YAML::Node& verb : rule["verbs"]) {
          rights.insert(
              right(verb.as<std::string>(), resource.as<std::string>(), group.as<std::string>()));
        }
      }
    }
  }
  return rights;
}

// /api/v1/[namespaces/NS/]RESOURCE[/NAME[/SUBRESOURCE]], /apis/GROUP/VERSION/..., as the API
// server's own resolver reads it.
Right right_for(const kube::Request& request) {
  std::vector<std::string> parts = parts_of(request.path);
  const bool core = !parts.empty() && parts[0] == "api";
  const std::size_t prefix = core ? 2 : 3;
  if (parts.size() <= prefix || (!core && parts[0] != "apis")) return "";
  const std::string group = core ? "" : parts[1];
  parts.erase(parts.begin(), parts.begin() + static_cast<std::ptrdiff_t>(prefix));
  if (parts[0] == "namespaces" && parts.size() > 2) parts.erase(parts.begin(), parts.begin() + 2);
  if (group == "authorization.k8s.io" && parts[0] == "selfsubjectaccessreviews") return "";
  const bool named = parts.size() > 1;
  const std::string resource = parts[0] + (parts.size() > 2 ? "/" + parts[2] : "");
  switch (request.method) {
    case kube::Method::kPost:
      return right("create", resource, group);
    case kube::Method::kPatch:
      return right("patch", resource, group);
    case kube::Method::kGet:
      break;
  }
  const bool watch = request.path.find("watch=true") != std::string::npos;
  return right(named ? "get" : watch ? "watch" : "list", resource, group);
}

}  // namespace plimsoll::test
