// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/object_api.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "tests/fake_api/managed_fields.h"
#include "tests/fake_api/pod_api.h"
#include "tests/fake_api/strategic_merge.h"

namespace plimsoll::test {
namespace {

struct Discovered {
  std::string_view name;
  std::string_view kind;
  bool namespaced;
  std::string_view verbs;  // comma-separated
};

constexpr std::array kCore{
    Discovered{"events", "Event", true, "create,delete,get,list,patch,update,watch"},
    Discovered{"limitranges", "LimitRange", true, "create,delete,get,list,patch,update,watch"},
    Discovered{"namespaces", "Namespace", false, "create,delete,get,list,patch,update,watch"},
    Discovered{"nodes", "Node", false, "create,delete,get,list,patch,update,watch"},
    Discovered{"nodes/status", "Node", false, "get,patch,update"},
    Discovered{"pods", "Pod", true, "create,delete,deletecollection,get,list,patch,update,watch"},
    Discovered{"pods/ephemeralcontainers", "Pod", true, "get,patch,update"},
    Discovered{"pods/resize", "Pod", true, "get,patch,update"},
    Discovered{"pods/status", "Pod", true, "get,patch,update"},
    Discovered{"resourcequotas", "ResourceQuota", true,
               "create,delete,get,list,patch,update,watch"}};

Json verbs_of(std::string_view list) {
  Json verbs = Json::array();
  while (!list.empty()) {
    const std::string_view one = list.substr(0, list.find(','));
    verbs.push_back(one);
    list.remove_prefix(std::min(one.size() + 1, list.size()));
  }
  return verbs;
}

Json discovery(const VersionRules& rules) {
  Json resources = Json::array();
  for (const Discovered& entry : kCore) {
    if (entry.name == "pods/resize" && !rules.has_resize_subresource()) continue;
    std::string singular(entry.kind);
    std::transform(singular.begin(), singular.end(), singular.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    const bool sub = entry.name.find('/') != std::string_view::npos;
    resources.push_back({{"name", entry.name},
                         {"singularName", sub ? "" : singular},
                         {"namespaced", entry.namespaced},
                         {"kind", entry.kind},
                         {"verbs", verbs_of(entry.verbs)}});
  }
  return {{"kind", "APIResourceList"}, {"groupVersion", "v1"}, {"resources", resources}};
}

Json version_info(const VersionRules& rules) {
  return {{"major", "1"},
          {"minor", std::to_string(rules.minor)},
          {"gitVersion", rules.git_version},
          {"gitCommit", "0000000000000000000000000000000000000000"},
          {"gitTreeState", "clean"},
          {"buildDate", "2026-01-01T00:00:00Z"},
          {"goVersion", "go1.26.10"},
          {"compiler", "gc"},
          {"platform", "linux/amd64"}};
}

std::optional<Cause> too_long(const Json& event, const char* key, const char* field,
                              std::size_t most) {
  if (text_at(event, key).size() <= most) return std::nullopt;
  return invalid_cause(field, "\"\"", "can have at most " + std::to_string(most) + " characters");
}

bool is_name_part(std::string_view text) {
  const auto good = [](unsigned char c) { return std::isalnum(c) != 0; };
  return !text.empty() && text.size() <= 63 && good(static_cast<unsigned char>(text.front())) &&
         good(static_cast<unsigned char>(text.back())) &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return good(static_cast<unsigned char>(c)) || c == '-' || c == '_' || c == '.';
         });
}

bool is_subdomain(std::string_view text) {
  return is_name_part(text) && std::none_of(text.begin(), text.end(), [](char c) {
           return c == '_' || std::isupper(static_cast<unsigned char>(c)) != 0;
         });
}

// Of events.k8s.io/v1, which is strict where core/v1 is not.
std::vector<Cause> new_event_faults(const Json& event) {
  std::vector<Cause> faults;
  const auto add = [&](std::optional<Cause> cause) {
    if (cause) faults.push_back(std::move(*cause));
  };
  const std::string controller = text_at(event, "reportingController");
  const std::size_t slash = controller.find('/');
  const std::string part = slash == std::string::npos ? controller : controller.substr(slash + 1);
  if (controller.empty()) {
    faults.push_back(required_cause("reportingController"));
  } else if (!is_name_part(part)) {
    faults.push_back(invalid_cause(
        "reportingController", in_quotes(controller),
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and "
        "end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex "
        "used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"));
  }
  if (text_at(event, "reportingInstance").empty()) {
    faults.push_back(required_cause("reportingInstance"));
  }
  add(too_long(event, "reportingInstance", "reportingInstance", 128));
  if (text_at(event, "action").empty()) faults.push_back(required_cause("action"));
  add(too_long(event, "action", "action", 128));
  if (text_at(event, "reason").empty()) faults.push_back(required_cause("reason"));
  add(too_long(event, "reason", "reason", 128));
  add(too_long(event, "note", "message", 1024));
  if (member(event, "eventTime").is_null()) faults.push_back(required_cause("eventTime"));
  const std::string type = text_at(event, "type");
  if (type != "Normal" && type != "Warning") {
    faults.push_back(invalid_cause("type", "\"\"", "has invalid value: " + type));
  }
  return faults;
}

std::optional<Reply> refused_event(const Json& event, const Route& route, const std::string& name) {
  const bool strict = route.access.group == "events.k8s.io";
  const Json& about = member(event, strict ? "regarding" : "involvedObject");
  std::vector<Cause> faults;
  if (strict && !is_subdomain(name)) {
    faults.push_back(invalid_cause(
        "metadata.name", in_quotes(name),
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
        "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex "
        "used "
        "for validation is "
        "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"));
  }
  const std::string about_space = text_at(about, "namespace");
  if (about_space.empty() ? route.access.space != "default" : about_space != route.access.space) {
    faults.push_back(invalid_cause("involvedObject.namespace", in_quotes(about_space),
                                   "does not match event.namespace"));
  }
  if (strict) {
    const std::vector<Cause> more = new_event_faults(event);
    faults.insert(faults.end(), more.begin(), more.end());
  }
  if (faults.empty()) return std::nullopt;
  return invalid_reply("Event", name, faults);
}

Reply review(const Cluster& cluster, Json body, const Identity& identity) {
  const Json& asked = member(member(body, "spec"), "resourceAttributes");
  const std::string sub = text_at(asked, "subresource");
  const Access access{text_at(asked, "verb"), text_at(asked, "group"),
                      text_at(asked, "resource") + (sub.empty() ? "" : "/" + sub),
                      text_at(asked, "namespace"), text_at(asked, "name")};
  Reply reply{201};
  const bool allowed = cluster.gate.allows(identity, access);
  reply.body = {{"kind", "SelfSubjectAccessReview"},
                {"apiVersion", "authorization.k8s.io/v1"},
                {"metadata", Json::object()},
                {"spec", body["spec"]},
                {"status", {{"allowed", allowed}}}};
  if (allowed) {
    reply.body["status"]["reason"] = "RBAC: allowed by a rule of " + in_quotes(identity.user);
  }
  return reply;
}

}  // namespace

Reply get_other(const Cluster& cluster, const HttpRequest& request) {
  std::string path = request.path;
  if (path.size() > 1 && path.back() == '/') path.pop_back();
  Reply reply;
  if (path == "/version") {
    reply.body = version_info(cluster.rules);
  } else if (path == "/api/v1") {
    reply.body = discovery(cluster.rules);
  } else if (path == "/api") {
    reply.body = {{"kind", "APIVersions"}, {"versions", {"v1"}}};
  } else if (path == "/healthz" || path == "/readyz" || path == "/livez") {
    reply.text = "ok";
    reply.headers["Content-Type"] = "text/plain; charset=utf-8";
  } else {
    reply.status = 404;
    reply.text = "404 page not found\n";
    reply.headers["Content-Type"] = "text/plain; charset=utf-8";
  }
  return reply;
}

Reply get_object(const Cluster& cluster, const HttpRequest& request, const Route& route) {
  const Object found = cluster.store.find(route.resource, route.access.space, route.access.name);
  if (!found) return not_found_reply(route.resource, route.access.name);
  return shown(request, *found);
}

Reply create_object(Cluster& cluster, const HttpRequest& request, const Route& route,
                    const Identity& identity) {
  auto body = parsed_body(request);
  if (auto* refused = std::get_if<Reply>(&body)) return std::move(*refused);
  Json object = std::move(std::get<Json>(body));
  if (route.resource == "selfsubjectaccessreviews") {
    return review(cluster, std::move(object), identity);
  }
  const std::string space = text_at(member(object, "metadata"), "namespace");
  if (!space.empty() && space != route.access.space) {
    return status_reply(
        400, "BadRequest",
        "the namespace of the provided object does not match the namespace sent on the request");
  }
  Json metadata = Json::object();
  std::string name = text_at(member(object, "metadata"), "name");
  if (name.empty()) name = text_at(member(object, "metadata"), "generateName") + random_suffix(5);
  if (route.resource == "events") {
    if (auto refused = refused_event(object, route, name)) return *refused;
  }
  if (cluster.store.find(route.resource, route.access.space, name)) {
    return status_reply(409, "AlreadyExists",
                        route.resource + " " + in_quotes(name) + " already exists",
                        {{"name", name}, {"kind", route.resource}});
  }
  metadata["name"] = name;
  if (!route.access.space.empty()) metadata["namespace"] = route.access.space;
  metadata["uid"] = random_uid();
  metadata["resourceVersion"] = "";
  metadata["creationTimestamp"] = timestamp();
  for (const auto& [key, value] : member(object, "metadata").items()) {
    if (!metadata.contains(key)) metadata[key] = value;
  }
  object["metadata"] = std::move(metadata);
  const Object stored = cluster.store.put(route.resource, std::move(object));
  cluster.changed.notify_all();
  return shown(request, *stored, 201);
}

Reply change_object(Cluster& cluster, const HttpRequest& request, const Route& route) {
  const Object old = cluster.store.find(route.resource, route.access.space, route.access.name);
  if (!old) return not_found_reply(route.resource, route.access.name);
  auto body = parsed_body(request);
  if (auto* refused = std::get_if<Reply>(&body)) return std::move(*refused);
  Patched patched = request.method == "PUT"
                        ? Patched(std::get<Json>(body))
                        : apply_patch(*old, request.header("content-type"), std::get<Json>(body));
  if (auto* refused = std::get_if<Reply>(&patched)) return std::move(*refused);
  Json changed = std::move(std::get<Json>(patched));
  if (!same(changed, *old)) {
    changed = *cluster.store.put(route.resource, std::move(changed));
    cluster.changed.notify_all();
  }
  return shown(request, std::move(changed));
}

Reply delete_object(Cluster& cluster, const HttpRequest& request, const Route& route) {
  const Object old = cluster.store.find(route.resource, route.access.space, route.access.name);
  if (!old) return not_found_reply(route.resource, route.access.name);
  cluster.store.remove(route.resource, route.access.space, route.access.name);
  cluster.changed.notify_all();
  return shown(request, *old);
}

}  // namespace plimsoll::test
