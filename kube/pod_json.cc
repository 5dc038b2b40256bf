// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_json.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "kube/json_value.h"
#include "kube/pod_fields.h"
#include "kube/pod_json_parts.h"

namespace plimsoll::kube {
namespace {

// The rest of more than a pod should have is left out: unread, its requests would not be counted.
TextMap read_map(JsonValue value) {
  TextMap map;
  value.for_each_member([&](std::string_view key, JsonValue member) {
    if (map.size() < kMostLabels) map.emplace(key, member.text());
  });
  return map;
}

// Whoever may patch a pod chooses these. What is too long says so, so that nobody takes its
// beginning for the whole of it.
TextMap read_annotations(JsonValue value) {
  constexpr std::string_view kCut = "...";
  TextMap map;
  std::size_t kept = 0;
  for (auto& [key, text] : read_map(value)) {
    std::string here = text.size() > kLongestAnnotation
                           ? text.substr(0, kLongestAnnotation).append(kCut)
                           : std::move(text);
    kept += key.size() + here.size();
    if (kept > kMostAnnotationBytes) break;
    map.emplace(key, std::move(here));
  }
  return map;
}

// Parts of paths and keys: what cannot be a name is refused.
std::string read_name(JsonValue metadata, std::string_view key) {
  constexpr std::size_t kLongestName = 253;
  std::string name = metadata[key].text();
  if (name.empty() || name.size() > kLongestName ||
      name.find_first_of(std::string_view("/\0", 2)) != std::string::npos) {
    metadata.problem("has no usable " + std::string(key));
  }
  return name;
}

// The name in k:{"name":"app"}. It has no characters that JSON would escape.
std::string_view name_in(std::string_view key) {
  constexpr std::string_view kBefore = R"(k:{"name":")";
  constexpr std::string_view kAfter = R"("})";
  if (!key.starts_with(kBefore) || !key.ends_with(kAfter)) return {};
  key.remove_prefix(kBefore.size());
  return key.substr(0, key.size() - kAfter.size());
}

ResizedBy read_resized_by(JsonValue entry) {
  ResizedBy by{.manager = entry["manager"].text(), .at = read_time(entry["time"])};
  const JsonValue spec = entry["fieldsV1"]["f:spec"];
  for (const std::string_view list : {"f:containers", "f:initContainers"}) {
    spec[list].for_each_member([&](std::string_view key, JsonValue container) {
      const std::string_view name = name_in(key);
      if (name.empty()) return;
      const JsonValue limits = container["f:resources"]["f:limits"];
      if (limits["f:memory"].present()) by.memory_limits.emplace_back(name);
      if (limits["f:cpu"].present()) by.cpu_limits.emplace_back(name);
    });
  }
  return by;
}

void read_metadata(JsonValue metadata, Pod& pod) {
  pod.id.uid = read_name(metadata, "uid");
  pod.id.namespace_name = read_name(metadata, "namespace");
  pod.id.name = read_name(metadata, "name");
  pod.resource_version = metadata["resourceVersion"].text();
  pod.generation = read_generation(metadata["generation"]);
  pod.deleted_at = read_time(metadata["deletionTimestamp"]);
  pod.labels = read_map(metadata["labels"]);
  pod.annotations = read_annotations(metadata["annotations"]);
  metadata["ownerReferences"].for_each_element([&](JsonValue owner) {
    if (!owner["controller"].boolean()) return;
    pod.owner = Owner{.kind = owner["kind"].text(), .name = owner["name"].text()};
  });
  metadata["managedFields"].for_each_element([&](JsonValue entry) {
    constexpr std::size_t kMostManagers = 32;
    if (entry["subresource"].text() != "resize" || pod.resized_by.size() >= kMostManagers) return;
    pod.resized_by.push_back(read_resized_by(entry));
  });
}

Container read_container(JsonValue value, bool init) {
  Container container{.name = value["name"].text(),
                      .resources = read_resources(value["resources"])};
  if (init) {
    container.kind =
        value["restartPolicy"].text() == "Always" ? ContainerKind::kSidecar : ContainerKind::kInit;
  }
  value["resizePolicy"].for_each_element([&](JsonValue entry) {
    const std::string resource = entry["resourceName"].text();
    const ResizePolicy policy = entry["restartPolicy"].text() == "NotRequired"
                                    ? ResizePolicy::kNotRequired
                                    : ResizePolicy::kRestartContainer;
    if (resource == "memory") container.memory_resize = policy;
    if (resource == "cpu") container.cpu_resize = policy;
  });
  container.has_probe = value["readinessProbe"].present() || value["startupProbe"].present();
  return container;
}

RestartPolicy read_restart_policy(JsonValue value) {
  const std::string text = value.text();
  if (text == "Never") return RestartPolicy::kNever;
  return text == "OnFailure" ? RestartPolicy::kOnFailure : RestartPolicy::kAlways;
}

void read_containers(JsonValue list, bool init, Pod& pod) {
  list.for_each_element([&](JsonValue value) {
    if (pod.containers.size() >= kMostContainers) return list.problem("has too many containers");
    pod.containers.push_back(read_container(value, init));
  });
}

void read_spec(JsonValue spec, Pod& pod) {
  pod.node_name = spec["nodeName"].text();
  if (const auto priority = spec["priority"].integer()) {
    if (std::in_range<std::int32_t>(*priority)) {
      pod.priority = static_cast<std::int32_t>(*priority);
    } else {
      spec["priority"].problem("is out of range");
    }
  }
  pod.priority_class = spec["priorityClassName"].text();
  pod.restart_policy = read_restart_policy(spec["restartPolicy"]);
  pod.windows = spec["os"]["name"].text() == "windows";
  pod.resources = read_resources_if_present(spec["resources"]);
  pod.runtime_class = spec["runtimeClassName"].text();
  pod.overhead = read_amounts(spec["overhead"]);
  read_containers(spec["containers"], false, pod);
  read_containers(spec["initContainers"], true, pod);
}

}  // namespace

Result<Pod> parse_pod(std::string_view json) {
  if (json.size() > kLargestPod) {
    return fail(Code::kMalformed, "a pod of more than " + to_string(Bytes{kLargestPod}));
  }
  const auto document = JsonDocument::parse(
      json, is_pod_field, {.most_values = kMostValues, .deepest_nesting = kDeepestNesting});
  if (!document) return tl::unexpected(document.error());
  const JsonValue root = document->root();
  if (!root.present()) return fail(Code::kMalformed, "null in place of a pod");
  if (const JsonValue kind = root["kind"]; kind.present() && kind.text() != "Pod") {
    kind.problem("is not Pod");
  }
  Pod pod;
  read_metadata(root["metadata"], pod);
  read_spec(root["spec"], pod);
  read_status(root["status"], pod);
  if (document->problem()) return tl::unexpected(*document->problem());
  return pod;
}

}  // namespace plimsoll::kube
