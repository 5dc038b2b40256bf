// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/api_client.h"

#include <chrono>
#include <cstdlib>
#include <thread>

#include "tests/fake_api/http_client.h"
#include "tests/fake_api/store.h"

namespace plimsoll::test {

Result<Json> KubeletApi::send(const std::string& method, const std::string& target,
                              const Json& body) const {
  PlainRequest request{method, target, body.is_null() ? "" : body.dump(), {}};
  request.headers = {{"X-Fake-User", "system:node:" + node_},
                     {"User-Agent", "kubelet/fake"},
                     {"Content-Type", method == "PATCH" ? "application/strategic-merge-patch+json"
                                                        : "application/json"}};
  return plain_json(port_, request);
}

Result<void> KubeletApi::register_node(const std::string& cpu, const std::string& memory) const {
  const Json status{{"capacity", {{"cpu", cpu}, {"memory", memory}, {"pods", "110"}}},
                    {"allocatable", {{"cpu", cpu}, {"memory", memory}, {"pods", "110"}}},
                    {"conditions", Json::array({{{"type", "Ready"}, {"status", "True"}}})},
                    {"declaredFeatures",
                     {"GuaranteedQoSPodCPUResize", "InPlacePodLevelResourcesVerticalScaling",
                      "InPlacePodVerticalScalingInitContainers"}}};
  const Result<Json> made = send("POST", "/api/v1/nodes",
                                 {{"apiVersion", "v1"},
                                  {"kind", "Node"},
                                  {"metadata", {{"name", node_}}},
                                  {"status", status}});
  if (!made) return tl::unexpected(made.error());
  const Result<Json> updated =
      send("PATCH", "/api/v1/nodes/" + node_ + "/status", {{"status", status}});
  if (!updated) return tl::unexpected(updated.error());
  if (text_at(*updated, "kind") != "Node") return fail(Code::kDenied, updated->dump());
  return {};
}

int KubeletApi::minor() const {
  const Result<Json> version = send("GET", "/version", nullptr);
  const std::string text = version ? text_at(*version, "minor") : "";
  return text.empty() ? 36 : static_cast<int>(std::strtol(text.c_str(), nullptr, 10));
}

void KubeletApi::watch(const std::atomic<bool>& stop,
                       const std::function<void(Json)>& on_line) const {
  PlainRequest request;
  // Without a version: what there is first, as ADDED. A pod that is known already is a change.
  request.target = "/api/v1/pods?watch=1&fieldSelector=spec.nodeName%3D" + node_;
  request.headers["X-Fake-User"] = "system:node:" + node_;
  while (!stop) {
    const auto ended = plain_lines(port_, request, stop, [&](std::string_view line) {
      Json parsed = Json::parse(line, nullptr, false);
      if (parsed.is_object()) on_line(std::move(parsed));
      return true;
    });
    if (!ended && !stop) std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
}

void KubeletApi::publish(const PodState& pod, const Json& status) const {
  static_cast<void>(send("PATCH",
                         "/api/v1/namespaces/" + pod.space + "/pods/" + pod.name + "/status",
                         {{"metadata", {{"uid", pod.uid}}}, {"status", status}}));
}

void KubeletApi::event(const PodState& pod, bool warning, const std::string& reason,
                       const std::string& message) const {
  static_cast<void>(
      send("POST", "/api/v1/namespaces/" + pod.space + "/events",
           {{"apiVersion", "v1"},
            {"kind", "Event"},
            {"metadata", {{"generateName", pod.name + "."}, {"namespace", pod.space}}},
            {"involvedObject",
             {{"kind", "Pod"},
              {"namespace", pod.space},
              {"name", pod.name},
              {"uid", pod.uid},
              {"apiVersion", "v1"}}},
            {"reason", reason},
            {"message", message},
            {"source", {{"component", "kubelet"}, {"host", node_}}},
            {"firstTimestamp", timestamp()},
            {"lastTimestamp", timestamp()},
            {"count", 1},
            {"type", warning ? "Warning" : "Normal"},
            {"reportingComponent", "kubelet"},
            {"reportingInstance", node_}}));
}

void KubeletApi::confirm_deletion(const PodState& pod) const {
  static_cast<void>(send(
      "DELETE", "/api/v1/namespaces/" + pod.space + "/pods/" + pod.name + "?gracePeriodSeconds=0",
      nullptr));
}

}  // namespace plimsoll::test
