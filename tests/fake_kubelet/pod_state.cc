// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/pod_state.h"

#include <algorithm>

#include "tests/fake_api/pod_resources.h"
#include "tests/fake_api/quantity.h"
#include "tests/fake_api/store.h"

namespace plimsoll::test {
namespace {

std::string unready(const PodState& pod) {
  std::string names;
  for (const ContainerState& container : pod.containers) {
    if (!container.ready()) names += (names.empty() ? "" : " ") + container.name;
  }
  return "containers with unready status: [" + names + "]";
}

Json condition(const PodState& pod, const char* type, bool good, const std::string& since,
               int minor) {
  Json entry{{"type", type}, {"status", good ? "True" : "False"}};
  if (minor >= 34) entry["observedGeneration"] = pod.observed;
  entry["lastProbeTime"] = nullptr;
  entry["lastTransitionTime"] = since;
  // A reason that went is taken away by null.
  entry["reason"] = good ? Json(nullptr) : Json("ContainersNotReady");
  entry["message"] = good ? Json(nullptr) : Json(unready(pod));
  return entry;
}

Json resize_condition(const PodState& pod, const char* type, bool holds, const std::string& reason,
                      const std::string& message, int minor) {
  if (!holds) return {{"$patch", "delete"}, {"type", type}};
  Json entry{{"type", type}, {"status", "True"}};
  if (minor >= 34) entry["observedGeneration"] = pod.observed;
  entry["lastProbeTime"] = timestamp();
  entry["lastTransitionTime"] = timestamp();
  // A reason that went is taken away by null.
  entry["reason"] = reason.empty() ? Json(nullptr) : Json(reason);
  entry["message"] = message.empty() ? Json(nullptr) : Json(message);
  return entry;
}

Json container_status(const ContainerState& container, const Json& spec, const Layout& layout) {
  Json status{{"name", container.name},
              {"state", container.state},
              {"lastState", container.last_state},
              {"ready", container.ready()},
              {"restartCount", container.restarts},
              {"image", text_at(spec, "image")},
              {"imageID", text_at(spec, "image") + "@sha256:" + std::string(64, '0')},
              {"started", container.running}};
  if (!container.id.empty()) status["containerID"] = layout.container_id(container.id);
  const Json& requests = member(member(spec, "resources"), "requests");
  if (!requests.is_null()) status["allocatedResources"] = requests;
  status["resources"] = container.reported;
  return status;
}

const Json& spec_of(const Json& pod_spec, const ContainerState& container) {
  static const Json kNone;
  const Json& list = member(pod_spec, container.sidecar ? kInitContainers : kContainers);
  for (const Json& entry : list) {
    if (text_at(entry, "name") == container.name) return entry;
  }
  return kNone;
}

std::optional<std::int64_t> sum(const Json& spec,
                                std::optional<std::int64_t> (*limit)(const Json&)) {
  if (const auto whole_pod = limit(member(spec, "resources"))) return whole_pod;
  std::int64_t total = 0;
  for (const std::string_view list : {kContainers, kInitContainers}) {
    for (const Json& container : member(spec, list)) {
      if (list == kInitContainers && !is_sidecar(container)) continue;
      const auto one = limit(member(container, "resources"));
      if (!one) return std::nullopt;
      total += *one;
    }
  }
  return total;
}

std::string phase_of(const PodState& pod) {
  const std::string policy = text_at(pod.spec, "restartPolicy");
  const bool all_ended =
      std::all_of(pod.containers.begin(), pod.containers.end(), [](const ContainerState& one) {
        return one.sidecar || (!one.running && !one.next_start && one.state.contains("terminated"));
      });
  if (policy == "Always" || !all_ended) return "Running";
  const bool good =
      std::all_of(pod.containers.begin(), pod.containers.end(), [](const ContainerState& one) {
        return one.sidecar || member(one.state["terminated"], "exitCode") == 0;
      });
  return good ? "Succeeded" : "Failed";
}

}  // namespace

std::optional<std::int64_t> memory_limit(const Json& resources) {
  return whole_at(member(resources, "limits"), "memory");
}

std::optional<std::int64_t> cpu_limit(const Json& resources) {
  auto quantity = quantity_of(member(member(resources, "limits"), "cpu"));
  if (!quantity) return std::nullopt;
  quantity->nano *= 1000;
  return whole(*quantity);
}

std::optional<std::int64_t> pod_memory_limit(const Json& spec) { return sum(spec, memory_limit); }
std::optional<std::int64_t> pod_cpu_limit(const Json& spec) { return sum(spec, cpu_limit); }

bool PodState::ready() const {
  return std::all_of(containers.begin(), containers.end(),
                     [](const ContainerState& one) { return one.ready(); });
}

Json status_of(const PodState& pod, const Layout& layout, int minor) {
  const std::string& since = pod.ready_changed.empty() ? pod.started : pod.ready_changed;
  Json conditions = Json::array();
  if (minor >= 33) {
    conditions.push_back(resize_condition(pod, "PodResizePending", !pod.pending_reason.empty(),
                                          pod.pending_reason, pod.pending_message, minor));
    conditions.push_back(resize_condition(pod, "PodResizeInProgress", pod.in_progress,
                                          pod.error.empty() ? "" : "Error", pod.error, minor));
  }
  conditions.push_back(condition(pod, "PodReadyToStartContainers", true, pod.started, minor));
  conditions.push_back(condition(pod, "Initialized", true, pod.started, minor));
  conditions.push_back(condition(pod, "Ready", pod.ready(), since, minor));
  conditions.push_back(condition(pod, "ContainersReady", pod.ready(), since, minor));
  conditions.push_back(condition(pod, "PodScheduled", true, pod.started, minor));
  Json status{{"phase", phase_of(pod)},   {"conditions", conditions},
              {"hostIP", "192.0.2.10"},   {"podIP", "10.244.0.17"},
              {"startTime", pod.started}, {"containerStatuses", Json::array()},
              {"qosClass", pod.qos}};
  if (minor >= 34) status["observedGeneration"] = pod.observed;
  if (minor <= 32) {
    status["resize"] = !pod.pending_reason.empty() ? Json(pod.pending_reason)
                       : pod.in_progress           ? Json("InProgress")
                                                   : Json(nullptr);
  }
  for (const ContainerState& container : pod.containers) {
    status[container.sidecar ? "initContainerStatuses" : "containerStatuses"].push_back(
        container_status(container, spec_of(pod.allocated, container), layout));
  }
  return status;
}

std::string resize_details(const PodState& pod, const Json& spec) {
  Json containers = Json::array();
  for (const Json& container : member(spec, kContainers)) {
    containers.push_back({{"name", container["name"]}, {"resources", container["resources"]}});
  }
  return Json{{"containers", containers}, {"generation", pod.generation}}.dump();
}

}  // namespace plimsoll::test
