// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_api/pod_validate.h"

#include <algorithm>
#include <array>
#include <optional>
#include <set>

#include "tests/fake_api/pod_resources.h"
#include "tests/fake_api/quantity.h"

namespace plimsoll::test {
namespace {

std::string at(const std::string& path, std::size_t index) {
  return path + "[" + std::to_string(index) + "]";
}

bool is_resizable(const std::string& resource) { return resource == "cpu" || resource == "memory"; }

bool is_standard(const std::string& resource) {
  return is_resizable(resource) || resource == "ephemeral-storage" ||
         resource.rfind("hugepages-", 0) == 0 || resource.find('/') != std::string::npos;
}

void add(std::vector<Cause>& to, std::vector<Cause> from) {
  to.insert(to.end(), from.begin(), from.end());
}

std::vector<Cause> amount_faults(const Json& resources, const std::string& path) {
  std::vector<Cause> faults;
  for (const char* kind : {"limits", "requests"}) {
    for (const auto& [name, value] : member(resources, kind).items()) {
      const std::string field = path + "." + kind + "[" + name + "]";
      if (!is_standard(name)) {
        faults.push_back(invalid_cause(field, in_quotes(name),
                                       "must be a standard resource type or fully qualified"));
        faults.push_back(
            invalid_cause(field, in_quotes(name), "must be a standard resource for containers"));
      }
      if (const auto quantity = quantity_of(value); quantity && quantity->nano < 0) {
        faults.push_back(invalid_cause(field, in_quotes(to_string(*quantity)),
                                       "must be greater than or equal to 0"));
      }
    }
  }
  const Json& limits = member(resources, "limits");
  for (const auto& [name, value] : member(resources, "requests").items()) {
    const auto limit = quantity_of(member(limits, name));
    const auto request = quantity_of(value);
    if (limit && request && *request > *limit) {
      faults.push_back(invalid_cause(
          path + ".requests", in_quotes(to_string(*request)),
          "must be less than or equal to " + name + " limit of " + to_string(*limit)));
    }
  }
  return faults;
}

// What holds for a pod's spec however it came to be.
std::vector<Cause> spec_faults(const Json& pod) {
  std::vector<Cause> faults;
  const Json& spec = member(pod, "spec");
  for (const std::string_view list : {kInitContainers, kContainers}) {
    std::size_t index = 0;
    for (const Json& container : member(spec, list)) {
      const std::string path = at("spec." + std::string(list), index++);
      if (text_at(container, "image").empty()) faults.push_back(required_cause(path + ".image"));
      add(faults, amount_faults(member(container, "resources"), path + ".resources"));
    }
  }
  const Json& whole_pod = member(spec, "resources");
  add(faults, amount_faults(whole_pod, "spec.resources"));
  std::size_t index = 0;
  for (const Json& container : member(spec, kContainers)) {
    const std::string path = at("spec.resources.containers", index++);
    for (const auto& [name, value] : member(member(container, "resources"), "limits").items()) {
      const auto most = quantity_of(member(member(whole_pod, "limits"), name));
      const auto limit = quantity_of(value);
      if (most && limit && *limit > *most) {
        faults.push_back(
            invalid_cause(path + "[" + name + "].limits", in_quotes(to_string(*limit)),
                          "must be less than or equal to pod limits of " + to_string(*most)));
      }
    }
  }
  return faults;
}

bool runs_on_old_kubelet(const Json& pod) {
  for (const Json& status : member(member(pod, "status"), "containerStatuses")) {
    if (!member(member(status, "state"), "running").is_null()) {
      return member(status, "resources").is_null();
    }
  }
  return false;
}

bool same_containers(const Json& old, const Json& changed) {
  for (const std::string_view list : {kContainers, kInitContainers}) {
    const Json& before = member(member(old, "spec"), list);
    const Json& after = member(member(changed, "spec"), list);
    if (before.size() != after.size()) return false;
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (text_at(before[i], "name") != text_at(after[i], "name")) return false;
    }
  }
  return true;
}

std::vector<Cause> order_faults(const Json& old, const Json& changed) {
  std::vector<Cause> faults;
  for (const std::string_view list : {kContainers, kInitContainers}) {
    const std::string path = "spec." + std::string(list);
    const Json& before = member(member(old, "spec"), list);
    const Json& after = member(member(changed, "spec"), list);
    if (before.size() != after.size()) {
      faults.push_back(forbidden_cause(path, "containers may not be added or removed on resize"));
      continue;
    }
    for (std::size_t i = 0; i < before.size(); ++i) {
      if (text_at(before[i], "name") == text_at(after[i], "name")) continue;
      faults.push_back(forbidden_cause(at(path, i) + ".name",
                                       "containers may not be renamed or reordered on resize"));
    }
  }
  return faults;
}

bool lost_one(const Json& before, const Json& after) {
  return std::any_of(before.items().begin(), before.items().end(),
                     [&](const auto& entry) { return member(after, entry.key()).is_null(); });
}

bool memory_restarts(const Json& container) {
  const Json& policies = member(container, "resizePolicy");
  return std::any_of(policies.begin(), policies.end(), [](const Json& policy) {
    return text_at(policy, "resourceName") == "memory" &&
           text_at(policy, "restartPolicy") == "RestartContainer";
  });
}

std::vector<Cause> removal_faults(const Json& before, const Json& after, const std::string& path,
                                  const std::string& what) {
  std::vector<Cause> faults;
  for (const char* kind : {"requests", "limits"}) {
    if (!lost_one(member(before, kind), member(after, kind))) continue;
    faults.push_back(
        forbidden_cause(path + "." + kind, what + " " + std::string(kind) + " cannot be removed"));
  }
  return faults;
}

std::vector<Cause> memory_faults(const Json& before, const Json& after, const std::string& path) {
  const Json& old = member(member(member(before, "resources"), "limits"), "memory");
  const Json& changed = member(member(member(after, "resources"), "limits"), "memory");
  if (memory_restarts(before) || changed.is_null()) return {};
  const std::string field = path + ".resources.limits[memory]";
  if (old.is_null()) {
    return {forbidden_cause(
        field, "memory limits cannot be added unless resizePolicy is RestartContainer")};
  }
  if (*quantity_of(changed) < *quantity_of(old)) {
    return {forbidden_cause(
        field, "memory limits cannot be decreased unless resizePolicy is RestartContainer")};
  }
  return {};
}

// The spec without the amounts of CPU and memory that a resize may change; what is left must be
// equal. Claims are lost on the way, so a container that has some is never equal (k/k#138641).
Json immutable_part(const Json& pod, bool drop_claims) {
  Json spec = member(pod, "spec");
  const auto strip = [&](Json& holder) {
    if (!holder.contains("resources")) return;
    Json& resources = holder["resources"];
    for (const char* kind : {"limits", "requests"}) {
      if (!resources.contains(kind)) continue;
      resources[kind].erase("cpu");
      resources[kind].erase("memory");
      if (resources[kind].empty()) resources.erase(kind);
    }
    if (drop_claims) resources.erase("claims");
  };
  for (const std::string_view list : {kContainers, kInitContainers}) {
    if (!spec.contains(list)) continue;
    for (Json& container : spec[std::string(list)]) strip(container);
  }
  strip(spec);
  return spec;
}

std::vector<Cause> container_faults(const Json& old, const Json& changed,
                                    const VersionRules& rules) {
  std::vector<Cause> faults;
  for (const std::string_view list : {kContainers, kInitContainers}) {
    const Json& before = member(member(old, "spec"), list);
    const Json& after = member(member(changed, "spec"), list);
    for (std::size_t i = 0; i < before.size(); ++i) {
      const std::string path = at("spec." + std::string(list), i);
      const Json& was = member(before[i], "resources");
      const Json& is = member(after[i], "resources");
      if (list == kInitContainers && !same(was, is)) {
        if (is_sidecar(before[i]) ? !rules.resizes_sidecars() : !rules.resizes_init_containers()) {
          faults.push_back(
              forbidden_cause(path, "resources for non-sidecar init containers are immutable"));
        }
      }
      add(faults, removal_faults(was, is, path + ".resources", "resource"));
      if (rules.refuses_memory_decrease()) add(faults, memory_faults(before[i], after[i], path));
    }
  }
  return faults;
}

}  // namespace

std::vector<std::string> unknown_pod_fields(const Json& patch) {
  static const std::set<std::string> kContainerFields{
      "name",           "image",         "command",         "args",
      "workingDir",     "ports",         "envFrom",         "env",
      "resources",      "resizePolicy",  "restartPolicy",   "restartPolicyRules",
      "volumeMounts",   "volumeDevices", "livenessProbe",   "readinessProbe",
      "startupProbe",   "lifecycle",     "stdin",           "terminationMessagePath",
      "stdinOnce",      "tty",           "securityContext", "terminationMessagePolicy",
      "imagePullPolicy"};
  static const std::set<std::string> kResourceFields{"limits", "requests", "claims"};
  static const std::set<std::string> kPodFields{"apiVersion", "kind", "metadata", "spec", "status"};
  std::vector<std::string> unknown;
  const auto check = [&](const Json& object, const std::set<std::string>& known,
                         const std::string& path) {
    if (!object.is_object()) return;
    for (const auto& [key, value] : object.items()) {
      if (key.empty() || key[0] == '$' || known.count(key) > 0) continue;
      unknown.push_back(path.empty() ? key : path + "." + key);
    }
  };
  check(patch, kPodFields, "");
  const Json& spec = member(patch, "spec");
  check(member(spec, "resources"), kResourceFields, "spec.resources");
  for (const std::string_view list : {kContainers, kInitContainers}) {
    std::size_t index = 0;
    for (const Json& container : member(spec, list)) {
      const std::string path = at("spec." + std::string(list), index++);
      check(container, kContainerFields, path);
      check(member(container, "resources"), kResourceFields, path + ".resources");
    }
  }
  return unknown;
}

Json only_resize(const Json& old, const Json& changed) {
  if (!same_containers(old, changed)) return changed;
  Json kept = old;
  for (const std::string_view list : {kContainers, kInitContainers}) {
    const Json& after = member(member(changed, "spec"), list);
    for (std::size_t i = 0; i < after.size(); ++i) {
      Json& container = kept["spec"][std::string(list)][i];
      for (const char* field : {"resources", "resizePolicy"}) {
        const Json& value = member(after[i], field);
        // A merge patch that lists a container without them says that it has none.
        if (!value.is_null()) {
          container[field] = value;
        } else if (std::string_view(field) == "resources") {
          container[field] = Json::object();
        } else {
          container.erase(field);
        }
      }
    }
  }
  const Json& whole_pod = member(member(changed, "spec"), "resources");
  if (!whole_pod.is_null()) kept["spec"]["resources"] = whole_pod;
  return kept;
}

std::vector<Cause> metadata_faults(const Json& old, const Json& changed) {
  const std::string before = text_at(member(old, "metadata"), "uid");
  const std::string after = text_at(member(changed, "metadata"), "uid");
  if (after.empty() || after == before) return {};
  const Cause cause = invalid_cause("metadata.uid", in_quotes(after), "field is immutable");
  return {cause, cause};  // the server looks twice
}

std::vector<Cause> resize_faults(const Json& old, const Json& changed, const VersionRules& rules) {
  const Json& metadata = member(old, "metadata");
  if (member(metadata, "annotations").contains("kubernetes.io/config.mirror")) {
    return {forbidden_cause("[]", "static pods cannot be resized")};
  }
  if (text_at(member(member(old, "spec"), "os"), "name") == "windows") {
    return {forbidden_cause("[]", "windows pods cannot be resized")};
  }
  if (member(member(old, "spec"), "resources").is_object() && !rules.resizes_pod_level()) {
    return {forbidden_cause("[]", "pods with pod-level resources cannot be resized")};
  }
  std::vector<Cause> faults = spec_faults(changed);
  if (same_containers(old, changed) && qos_class(old) != qos_class(changed)) {
    faults.push_back(invalid_cause("spec", in_quotes(text_at(member(old, "status"), "qosClass")),
                                   rules.minor >= 33
                                       ? "Pod QOS Class may not change as a result of resizing"
                                       : "Pod QoS is immutable"));
  }
  if (runs_on_old_kubelet(old)) {
    faults.push_back(forbidden_cause("spec", "Pod running on node without support for resize"));
  }
  std::vector<Cause> order = order_faults(old, changed);
  if (!order.empty()) {
    add(faults, order);
    return faults;
  }
  add(faults, container_faults(old, changed, rules));
  add(faults, removal_faults(member(member(old, "spec"), "resources"),
                             member(member(changed, "spec"), "resources"), "spec.resources",
                             "pod-level resource"));
  if (!same(immutable_part(old, false), immutable_part(changed, true))) {
    faults.push_back(forbidden_cause("spec", "only cpu and memory resources are mutable"));
  }
  return faults;
}

std::vector<Cause> update_faults(const Json& old, const Json& changed, const VersionRules& rules) {
  std::vector<Cause> faults = spec_faults(changed);
  Json before = member(old, "spec");
  Json after = member(changed, "spec");
  if (rules.pod_takes_resources()) {
    if (qos_class(old) != qos_class(changed)) {
      faults.push_back(
          invalid_cause("metadata", in_quotes(qos_class(changed)), "Pod QoS is immutable"));
    }
    before = immutable_part(old, false);
    after = immutable_part(changed, false);
  }
  for (Json* spec : {&before, &after}) {
    for (const char* field : {"activeDeadlineSeconds", "terminationGracePeriodSeconds",
                              "tolerations", "schedulingGates"}) {
      spec->erase(field);
    }
    for (const std::string_view list : {kContainers, kInitContainers}) {
      if (!spec->contains(list)) continue;
      for (Json& container : (*spec)[std::string(list)]) container.erase("image");
    }
  }
  if (!same(before, after)) {
    // The real one adds the difference, as text.
    faults.push_back(forbidden_cause(
        "spec",
        "pod updates may not change fields other than `spec.containers[*].image`,"
        "`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,`spec.tolerations` (only "
        "additions to existing tolerations),`spec.terminationGracePeriodSeconds` (allow it to be "
        "set to 1 if it was previously negative)"));
  }
  return faults;
}

}  // namespace plimsoll::test
