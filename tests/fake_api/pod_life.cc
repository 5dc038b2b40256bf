// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/pod_life.h"

#include <utility>

#include "tests/fake_api/admission.h"
#include "tests/fake_api/managed_fields.h"
#include "tests/fake_api/pod_api.h"
#include "tests/fake_api/pod_resources.h"
#include "tests/fake_api/pod_validate.h"
#include "tests/fake_api/quantity.h"

namespace plimsoll::test {
namespace {

void default_pod(Json& pod, const VersionRules& rules) {
  Json& spec = pod["spec"];
  const Json defaults{{"restartPolicy", "Always"},
                      {"terminationGracePeriodSeconds", 30},
                      {"dnsPolicy", "ClusterFirst"},
                      {"serviceAccountName", "default"},
                      {"serviceAccount", "default"},
                      {"securityContext", Json::object()},
                      {"schedulerName", "default-scheduler"},
                      {"priority", 0},
                      {"enableServiceLinks", true},
                      {"preemptionPolicy", "PreemptLowerPriority"}};
  const Json container_defaults{{"resources", Json::object()},
                                {"terminationMessagePath", "/dev/termination-log"},
                                {"terminationMessagePolicy", "File"},
                                {"imagePullPolicy", "IfNotPresent"}};
  for (const auto& [key, value] : defaults.items()) {
    if (!spec.contains(key)) spec[key] = value;
  }
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[list]) {
      for (const auto& [key, value] : container_defaults.items()) {
        if (!container.contains(key)) container[key] = value;
      }
    }
  }
  default_resources(pod, rules);
}

}  // namespace

Json pod_in_order(const Json& pod) {
  Json ordered{{"kind", "Pod"}, {"apiVersion", "v1"}};
  for (const char* key : {"metadata", "spec", "status"}) {
    ordered[key] = pod.contains(key) ? pod[key] : Json::object();
  }
  return ordered;
}

void account_pod(Cluster& cluster, const std::string& space, const Json& old, const Json& changed) {
  for (const Object& quota : cluster.store.list("resourcequotas", space)) {
    Json moved = *quota;
    bool any = false;
    for (const auto& [name, hard] : member(member(*quota, "spec"), "hard").items()) {
      const auto before = quota_usage(old, name);
      const auto after = quota_usage(changed, name);
      if (!before || !after || *before == *after) continue;
      auto used = quantity_of(member(member(member(moved, "status"), "used"), name));
      Quantity sum = used.value_or(Quantity{0, quantity_of(hard)->format});
      const Int128 unit = name.find("cpu") != std::string::npos ? 1'000'000 : 1'000'000'000;
      sum.nano += (*after - *before) * unit;
      moved["status"]["used"][name] = to_string(sum);
      any = true;
    }
    if (any) cluster.store.put("resourcequotas", std::move(moved));
  }
}

Reply create_pod(Cluster& cluster, const HttpRequest& request, const Route& route) {
  auto body = parsed_body(request);
  if (auto* refused = std::get_if<Reply>(&body)) return std::move(*refused);
  Json pod = pod_in_order(std::get<Json>(body));
  Json metadata = Json::object();
  std::string name = text_at(pod["metadata"], "name");
  if (name.empty()) name = text_at(pod["metadata"], "generateName") + random_suffix(5);
  if (cluster.store.find("pods", route.access.space, name)) {
    return status_reply(409, "AlreadyExists", "pods " + in_quotes(name) + " already exists",
                        {{"name", name}, {"kind", "pods"}});
  }
  metadata["name"] = name;
  metadata["namespace"] = route.access.space;
  metadata["uid"] = random_uid();
  metadata["resourceVersion"] = "";
  if (cluster.rules.counts_generation()) metadata["generation"] = 1;
  metadata["creationTimestamp"] = timestamp();
  for (const auto& [key, value] : pod["metadata"].items()) {
    if (!metadata.contains(key)) metadata[key] = value;
  }
  const Json spec = pod["spec"];
  pod["metadata"] = std::move(metadata);
  if (normalize_quantities(pod)) {
    return status_reply(400, "BadRequest", "quantities must match the regular expression");
  }
  default_pod(pod, cluster.rules);
  if (auto faults = resize_faults(pod, pod, cluster.rules);
      !faults.empty() && faults.front().reason != "FieldValueForbidden") {
    return invalid_reply("Pod", name, faults);
  }
  pod["status"] = {{"phase", "Pending"}, {"qosClass", qos_class(pod)}};
  own_part(pod, "spec", spec, field_manager(request), "");
  const Object stored = cluster.store.put("pods", std::move(pod));
  account_pod(cluster, route.access.space, Json::object(), *stored);
  cluster.changed.notify_all();
  return shown(request, *stored, 201);
}

Reply delete_pod(Cluster& cluster, const HttpRequest& request, const Route& route) {
  const Object pod = cluster.store.find("pods", route.access.space, route.access.name);
  if (!pod) return not_found_reply("pods", route.access.name);
  Json changed = *pod;
  const Json options = Json::parse(request.body, nullptr, false);
  Json grace = changed["spec"]["terminationGracePeriodSeconds"];
  if (options.is_object() && options.contains("gracePeriodSeconds")) {
    grace = options["gracePeriodSeconds"];
  }
  if (const std::string asked = request.parameter("gracePeriodSeconds"); !asked.empty()) {
    grace = Json::parse(asked, nullptr, false);
  }
  const std::int64_t seconds = grace.is_number() ? grace.get<std::int64_t>() : 30;
  const bool bound = !text_at(changed["spec"], "nodeName").empty();
  const bool going = changed["metadata"].contains("deletionTimestamp");
  if (bound && seconds > 0 && going) return shown(request, *pod);
  if (bound) {
    if (!going) {
      changed["metadata"]["deletionTimestamp"] = timestamp();
      if (cluster.rules.counts_generation()) {
        changed["metadata"]["generation"] = changed["metadata"].value("generation", 1) + 1;
      }
    }
    changed["metadata"]["deletionGracePeriodSeconds"] = seconds;
    changed = *cluster.store.put("pods", std::move(changed));
  }
  if (!bound || seconds == 0) {
    account_pod(cluster, route.access.space, *pod, Json{{"status", {{"phase", "Succeeded"}}}});
    cluster.store.remove("pods", route.access.space, route.access.name);
  }
  cluster.changed.notify_all();
  return shown(request, std::move(changed));
}

}  // namespace plimsoll::test
