// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>

#include "kube/resize.h"

namespace plimsoll::kube {
namespace {

struct Words {
  Resizability why;
  std::string_view name;
  std::string_view sentence;
};

constexpr std::array kWords{
    Words{Resizability::kYes, "yes", "the API can resize it"},
    Words{Resizability::kNoApi, "no_api", "the API server has no pods/resize subresource"},
    Words{Resizability::kOtherNode, "other_node", "the pod does not run on this node"},
    Words{Resizability::kMirror, "static_pod", "static pods cannot be resized through the API"},
    Words{Resizability::kWindows, "windows", "Windows pods cannot be resized"},
    Words{Resizability::kBestEffort, "best_effort",
          "a BestEffort pod has no limits, and may not get one: its QoS class would change"},
    Words{Resizability::kClaims, "claims",
          "a container holds resource claims, which the API server refuses to resize"},
    Words{Resizability::kPodLevel, "pod_level",
          "this API server or node cannot resize pods with pod-level resources"},
    Words{Resizability::kTerminating, "terminating", "the pod is being deleted"},
    Words{Resizability::kFinished, "finished", "the pod has run to its end"},
    Words{Resizability::kOldNode, "old_node",
          "the kubelet does not report container resources: it is too old to resize"},
    Words{Resizability::kNoSuchContainer, "no_such_container", "the pod has no such container"},
    Words{Resizability::kInit, "init",
          "an init container of a kind that this API server or node cannot resize"},
    Words{Resizability::kNotRunning, "not_running", "the container has ended for good"},
    Words{Resizability::kNoLimit, "no_limit",
          "the container declares no memory limit; one that is added can never be removed"},
    Words{Resizability::kNoRequest, "no_request",
          "a limit without a request: the API server would set the request to the limit"},
    Words{Resizability::kRestart, "restart",
          "its resizePolicy restarts the container when that resource changes"},
    Words{Resizability::kCritical, "critical",
          "requests of a critical pod are not raised: the kubelet evicts others for them"},
    Words{Resizability::kQos, "qos", "the QoS class of the pod would change"},
    Words{Resizability::kBelowRequest, "below_request", "the limit would be below the request"},
    Words{Resizability::kAbovePod, "above_pod", "the limit would be above the pod-level limit"},
    Words{Resizability::kDecrease, "decrease",
          "Kubernetes 1.33 cannot lower a memory limit without a restart"},
};

// The table is in the order of the enumerators and has each of them.
constexpr bool complete() {
  for (std::size_t i = 0; i < kWords.size(); ++i) {
    if (static_cast<std::size_t>(kWords[i].why) != i) return false;
  }
  return static_cast<std::size_t>(Resizability::kDecrease) + 1 == kWords.size();
}
static_assert(complete());

}  // namespace

std::string_view to_string(Resizability why) { return kWords[static_cast<std::size_t>(why)].name; }

std::string_view explain(Resizability why) {
  return kWords[static_cast<std::size_t>(why)].sentence;
}

}  // namespace plimsoll::kube
