// SPDX-License-Identifier: Apache-2.0
//
// What the agent reads of its own Node object: what pods may have, and what the kubelet can do.
// Pure; agent/apiserver/probe asks for it.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "kube/http.h"

namespace plimsoll::kube {

struct Node {
  std::optional<Bytes> allocatable;  // memory for all pods
  std::optional<MilliCpu> allocatable_cpu;
  // Of status.declaredFeatures, which 1.35 and later have.
  bool resizes_init_containers = false;
  bool resizes_pod_level = false;

  bool operator==(const Node&) const = default;
};

Request node_request(std::string_view name);
// kMalformed: no Node, or an amount that makes no sense.
Result<Node> parse_node(std::string_view body);

}  // namespace plimsoll::kube
