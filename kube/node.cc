// SPDX-License-Identifier: Apache-2.0
#include "kube/node.h"

#include <span>
#include <string>

#include "kube/json_value.h"
#include "kube/quantity.h"

namespace plimsoll::kube {

Request node_request(std::string_view name) {
  return {.path = "/api/v1/nodes/" + std::string(name)};
}

Result<Node> parse_node(std::string_view body) {
  const auto keep = [](std::span<const std::string> path) {
    return path[0] == "kind" ||
           (path[0] == "status" &&
            (path.size() == 1 || path[1] == "allocatable" || path[1] == "declaredFeatures"));
  };
  const auto document = JsonDocument::parse(body, keep);
  if (!document) return tl::unexpected(document.error());
  const JsonValue root = document->root();
  if (root["kind"].text() != "Node") return fail(Code::kMalformed, "the reply is no Node");
  Node node;
  const JsonValue memory = root["status"]["allocatable"]["memory"];
  if (memory.present()) {
    const auto amount = parse_memory(memory.text_or_number());
    if (!amount) return tl::unexpected(amount.error());
    node.allocatable = *amount;
  }
  const JsonValue cpu = root["status"]["allocatable"]["cpu"];
  if (cpu.present()) {
    const auto amount = parse_cpu(cpu.text_or_number());
    if (!amount) return tl::unexpected(amount.error());
    node.allocatable_cpu = *amount;
  }
  root["status"]["declaredFeatures"].for_each_element([&](JsonValue feature) {
    const std::string name = feature.text();
    node.resizes_init_containers |= name == "InPlacePodVerticalScalingInitContainers";
    node.resizes_pod_level |= name == "InPlacePodLevelResourcesVerticalScaling";
  });
  if (document->problem()) return tl::unexpected(*document->problem());
  return node;
}

}  // namespace plimsoll::kube
