// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/pod_api.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <utility>

#include "tests/fake_api/admission.h"
#include "tests/fake_api/managed_fields.h"
#include "tests/fake_api/pod_life.h"
#include "tests/fake_api/pod_resources.h"
#include "tests/fake_api/pod_validate.h"
#include "tests/fake_api/strategic_merge.h"

namespace plimsoll::test {
namespace {

constexpr std::size_t kLargestBody = 3 * 1024 * 1024;

AdmissionWorld world_of(const Cluster& cluster, const Json& pod, const std::string& space) {
  AdmissionWorld world;
  for (const Object& range : cluster.store.list("limitranges", space)) {
    world.limit_ranges.push_back(*range);
  }
  for (const Object& quota : cluster.store.list("resourcequotas", space)) {
    world.resource_quotas.push_back(*quota);
  }
  const std::string node = text_at(member(pod, "spec"), "nodeName");
  if (const Object found = cluster.store.find("nodes", "", node)) world.node = *found;
  world.node_bound_users = cluster.node_bound_users;
  return world;
}

std::optional<Reply> wrong_version(const Json& patch, const Json& old, const std::string& name) {
  const Json& asked = member(member(patch, "metadata"), "resourceVersion");
  if (!asked.is_string() || asked == "") return std::nullopt;
  const std::string text = asked.get<std::string>();
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    return status_reply(500, "",
                        "strconv.ParseUint: parsing " + in_quotes(text) + ": invalid syntax");
  }
  if (text == text_at(member(old, "metadata"), "resourceVersion")) return std::nullopt;
  return conflict_reply("pods", name);
}

// Up to 1.32 the server itself marks a pod whose requests differ from what the node allocated.
void mark_proposed(const Json& old, Json& changed) {
  const Json& containers = changed["spec"]["containers"];
  for (std::size_t i = 0; i < containers.size(); ++i) {
    const Json& resources = containers[i]["resources"];
    const Json& requests = member(resources, "requests");
    if (requests.is_null() || old["spec"]["containers"][i]["resources"] == resources) continue;
    for (const Json& status : member(member(changed, "status"), "containerStatuses")) {
      if (status["name"] != containers[i]["name"]) continue;
      if (member(status, "allocatedResources") == requests) continue;
      changed["status"]["resize"] = "Proposed";
      return;
    }
  }
}

// A null is no value, but for the times that are always written.
void drop_nulls(Json& value) {
  if (value.is_array()) {
    for (Json& entry : value) drop_nulls(entry);
  }
  if (!value.is_object()) return;
  std::vector<std::string> nulls;
  for (auto& [key, entry] : value.items()) {
    const bool is_time = key == "lastProbeTime" || key == "lastTransitionTime";
    if (entry.is_null() && !is_time) nulls.push_back(key);
    drop_nulls(entry);
  }
  for (const std::string& key : nulls) value.erase(key);
}

// status only; what a kubelet may not clear stays.
Json with_status(const Json& old, const Json& changed) {
  Json kept = old;
  Json status = member(changed, "status").is_object() ? changed["status"] : Json::object();
  drop_nulls(status);
  for (const char* field : {"qosClass", "observedGeneration"}) {
    const Json& before = member(member(old, "status"), field);
    if (!status.contains(field) && !before.is_null()) status[field] = before;
  }
  kept["status"] = std::move(status);
  return kept;
}

struct Parsed {
  Json patch;
  Json changed;
  std::string warning;
};

// The object that the request asks for, as far as it can be read.
std::variant<Parsed, Reply> asked_for(const HttpRequest& request, const Json& old,
                                      const std::string& name) {
  Parsed parsed;
  if (request.body.size() > kLargestBody) {
    return status_reply(413, "RequestEntityTooLarge",
                        "Request entity too large: limit is " + std::to_string(kLargestBody));
  }
  const bool put = request.method == "PUT";
  // Of the type first, whatever the body is.
  if (!put) {
    auto typed = apply_patch(Json::object(), request.header("content-type"), Json::array());
    if (auto* refused = std::get_if<Reply>(&typed); refused && refused->status == 415) {
      return *refused;
    }
  }
  auto body = parsed_body(request);
  if (auto* refused = std::get_if<Reply>(&body)) return std::move(*refused);
  parsed.patch = std::move(std::get<Json>(body));
  Patched patched =
      put ? Patched(parsed.patch) : apply_patch(old, request.header("content-type"), parsed.patch);
  if (auto* refused = std::get_if<Reply>(&patched)) return std::move(*refused);
  parsed.changed = std::move(std::get<Json>(patched));

  const std::string named = text_at(member(parsed.changed, "metadata"), "name");
  if (named != name) {
    return status_reply(
        400, "BadRequest",
        "the name of the object (" + named + ") does not match the name on the URL (" + name + ")");
  }
  const auto bad = [&](const std::string& why) {
    return invalid_reply("", "", {invalid_cause("patch", in_quotes(go_text(parsed.patch)), why)});
  };
  const std::vector<std::string> unknown = unknown_pod_fields(parsed.patch);
  if (!unknown.empty()) {
    if (request.parameter("fieldValidation") == "Strict") {
      std::string fields;
      for (const std::string& field : unknown) {
        fields += (fields.empty() ? "" : ", ") + ("unknown field " + in_quotes(field));
      }
      return bad("strict decoding error: " + fields);
    }
    parsed.warning = "unknown field " + in_quotes(unknown.front());
  }
  if (normalize_quantities(parsed.changed)) {
    return bad(
        "quantities must match the regular expression "
        "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'");
  }
  return parsed;
}

// Unknown fields of the result are dropped, as decoding does.
void drop_unknown(Json& pod) {
  for (const std::string& path : unknown_pod_fields(pod)) {
    std::string pointer = "/" + path;
    for (char& c : pointer) {
      if (c == '.' || c == '[') c = '/';
    }
    pointer.erase(std::remove(pointer.begin(), pointer.end(), ']'), pointer.end());
    const Json::json_pointer whole(pointer);
    pod[whole.parent_pointer()].erase(whole.back());
  }
}

std::optional<Reply> refused_change(const Cluster& cluster, const Route& route,
                                    const Identity& identity, const Json& old,
                                    const Json& changed) {
  std::vector<Cause> faults = metadata_faults(old, changed);
  if (!faults.empty()) return invalid_reply("Pod", route.access.name, faults);
  const bool resize = route.subresource == "resize";
  if (resize) {
    faults = resize_faults(old, changed, cluster.rules);
  } else if (route.subresource.empty()) {
    faults = update_faults(old, changed, cluster.rules);
  }
  if (!faults.empty()) return invalid_reply("Pod", route.access.name, faults);
  const bool resources =
      resize || (route.subresource.empty() && !same_amounts(old["spec"], changed["spec"]));
  if (!resources) return std::nullopt;
  return refused_by_admission({route.access.name, identity.user, identity.node, old, changed},
                              world_of(cluster, old, route.access.space), cluster.rules);
}

Json only_ephemeral(const Json& old, const Json& changed) {
  Json kept = old;
  kept["spec"]["ephemeralContainers"] = member(changed["spec"], "ephemeralContainers");
  return kept;
}

}  // namespace

std::string field_manager(const HttpRequest& request) {
  const std::string asked = request.parameter("fieldManager");
  if (!asked.empty()) return asked;
  const std::string agent = request.header("user-agent");
  return agent.substr(0, agent.find('/'));
}

std::variant<Json, Reply> parsed_body(const HttpRequest& request) {
  Json body = Json::parse(request.body, nullptr, false);
  if (!body.is_discarded()) return body;
  // It reads as JSON as far as it goes, and more is missing.
  const std::string tail = request.body + "!";
  std::string message = "unexpected end of JSON input";
  try {
    body = Json::parse(tail);
  } catch (const Json::parse_error& error) {
    if (error.byte <= request.body.size()) {
      message = "invalid character in JSON input at offset " + std::to_string(error.byte);
    }
  }
  return status_reply(400, "BadRequest", message);
}

Reply shown(const HttpRequest& request, Json object, int status) {
  const std::string accept = request.header("accept");
  Reply reply{status};
  if (accept.find("as=PartialObjectMetadata") != std::string::npos) {
    reply.body = {{"kind", "PartialObjectMetadata"},
                  {"apiVersion", "meta.k8s.io/v1"},
                  {"metadata", object["metadata"]}};
    return reply;
  }
  reply.body = std::move(object);
  return reply;
}

Reply get_pod(const Cluster& cluster, const HttpRequest& request, const Route& route) {
  const Object pod = cluster.store.find("pods", route.access.space, route.access.name);
  if (!pod) return not_found_reply("pods", route.access.name);
  return shown(request, *pod);
}

Reply change_pod(Cluster& cluster, const HttpRequest& request, const Route& route,
                 const Identity& identity) {
  const Object stored = cluster.store.find("pods", route.access.space, route.access.name);
  if (!stored) return not_found_reply("pods", route.access.name);
  const Json& old = *stored;
  auto asked = asked_for(request, old, route.access.name);
  if (auto* refused = std::get_if<Reply>(&asked)) return std::move(*refused);
  Parsed& parsed = std::get<Parsed>(asked);
  if (auto refused = wrong_version(parsed.patch, old, route.access.name)) return *refused;
  Json wanted = std::move(parsed.changed);
  drop_unknown(wanted);
  wanted = pod_in_order(wanted);
  default_resources(wanted, cluster.rules);

  const std::string node =
      identity.user.rfind("system:node:", 0) == 0 ? identity.user.substr(12) : "";
  if (!node.empty() && node != text_at(old["spec"], "nodeName")) {
    return forbidden_reply("pods", route.access.name,
                           "node " + in_quotes(node) +
                               " can only update pod status for pods with spec.nodeName set to "
                               "itself");
  }
  // What must not move is looked at before it is put back.
  const Json uid{{"metadata", {{"uid", text_at(wanted["metadata"], "uid")}}}};
  if (auto faults = metadata_faults(old, uid); !faults.empty()) {
    return invalid_reply("Pod", route.access.name, faults);
  }
  Json changed;
  if (route.subresource == "resize") {
    changed = only_resize(old, wanted);
  } else if (route.subresource == "status") {
    changed = with_status(old, wanted);
  } else if (route.subresource == "ephemeralcontainers") {
    changed = only_ephemeral(old, wanted);
  } else {
    changed = std::move(wanted);
    changed["status"] = old["status"];
  }
  if (auto refused = refused_change(cluster, route, identity, old, changed)) return *refused;

  const std::string manager = field_manager(request);
  const bool spec_moves =
      route.subresource != "status" && !same_amounts(old["spec"], changed["spec"]);
  if (spec_moves && cluster.rules.counts_generation()) {
    changed["metadata"]["generation"] = old["metadata"].value("generation", 1) + 1;
  }
  if (spec_moves && cluster.rules.has_status_resize()) mark_proposed(old, changed);
  if (!same(changed, old)) {
    if (route.subresource == "status") {
      own_part(changed, "status", member(parsed.patch, "status"), manager, "status");
    } else {
      own_resources(changed, old, manager, route.subresource);
    }
    if (request.parameter("dryRun") != "All") {
      changed = *cluster.store.put("pods", std::move(changed));
      account_pod(cluster, route.access.space, old, changed);
      cluster.changed.notify_all();
    }
  }
  Reply reply = shown(request, std::move(changed));
  if (!parsed.warning.empty()) {
    reply.headers["Warning"] = "299 - " + in_quotes(parsed.warning);
  }
  return reply;
}

}  // namespace plimsoll::test
