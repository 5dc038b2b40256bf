// SPDX-License-Identifier: Apache-2.0
#include "kube/pod.h"

#include <algorithm>

namespace plimsoll::kube {
namespace {

constexpr std::string_view kConfigHash = "kubernetes.io/config.hash";
constexpr std::string_view kConfigSource = "kubernetes.io/config.source";
constexpr std::string_view kConfigMirror = "kubernetes.io/config.mirror";

ResizePhase phase_of(LegacyResize legacy) {
  switch (legacy) {
    case LegacyResize::kProposed:
      return ResizePhase::kProposed;
    case LegacyResize::kInProgress:
      return ResizePhase::kInProgress;
    case LegacyResize::kDeferred:
      return ResizePhase::kDeferred;
    case LegacyResize::kInfeasible:
      return ResizePhase::kInfeasible;
  }
  return ResizePhase::kNone;
}

}  // namespace

std::string_view to_string(QosClass qos) {
  switch (qos) {
    case QosClass::kGuaranteed:
      return "Guaranteed";
    case QosClass::kBurstable:
      return "Burstable";
    case QosClass::kBestEffort:
      return "BestEffort";
  }
  return "unknown";
}

std::string_view to_string(PodPhase phase) {
  switch (phase) {
    case PodPhase::kPending:
      return "Pending";
    case PodPhase::kRunning:
      return "Running";
    case PodPhase::kSucceeded:
      return "Succeeded";
    case PodPhase::kFailed:
      return "Failed";
    case PodPhase::kUnknown:
      break;
  }
  return "Unknown";
}

std::string_view to_string(ResizePhase phase) {
  switch (phase) {
    case ResizePhase::kNone:
      return "none";
    case ResizePhase::kProposed:
      return "proposed";
    case ResizePhase::kInProgress:
      return "in progress";
    case ResizePhase::kDeferred:
      return "deferred";
    case ResizePhase::kInfeasible:
      return "infeasible";
    case ResizePhase::kError:
      return "error";
  }
  return "unknown";
}

bool kept_annotation(std::string_view key) {
  // "plimsoll.dev/<key>" of the pod, "<container>.plimsoll.dev/<key>" of one container.
  const std::string_view prefix = key.substr(0, key.find('/'));
  return prefix == "plimsoll.dev" || prefix.ends_with(".plimsoll.dev") || key == kConfigHash ||
         key == kConfigSource || key == kConfigMirror;
}

const Container* find_container(const Pod& pod, std::string_view name) {
  const auto found = std::find_if(pod.containers.begin(), pod.containers.end(),
                                  [&](const Container& each) { return each.name == name; });
  return found == pod.containers.end() ? nullptr : &*found;
}

MilliCpu requested_cpu(const Pod& pod) {
  if (pod.phase == PodPhase::kSucceeded || pod.phase == PodPhase::kFailed) return {};
  const MilliCpu overhead = pod.overhead.cpu.value_or(MilliCpu{});
  if (pod.resources && pod.resources->requests.cpu) return *pod.resources->requests.cpu + overhead;
  MilliCpu main;
  MilliCpu sidecars;
  MilliCpu most_init;
  for (const Container& container : pod.containers) {
    const MilliCpu request = container.resources.requests.cpu.value_or(MilliCpu{});
    switch (container.kind) {
      case ContainerKind::kMain:
        main += request;
        break;
      case ContainerKind::kSidecar:
        sidecars += request;
        break;
      case ContainerKind::kInit:
        most_init = std::max(most_init, request);
        break;
    }
  }
  return std::max(main, most_init) + sidecars + overhead;
}

bool is_mirror(const Pod& pod) { return pod.annotations.contains(kConfigMirror); }

// The kubelet's hash has no dashes. Whoever writes another pod's uid there, which he may, is no
// mirror of anything.
std::string_view cgroup_uid(const Pod& pod) {
  const auto hash = is_mirror(pod) ? pod.annotations.find(kConfigHash) : pod.annotations.end();
  const bool told =
      hash != pod.annotations.end() && hash->second.find_first_of("-_") == std::string::npos;
  return told ? std::string_view(hash->second) : std::string_view(pod.id.uid);
}

const ResizedBy* last_resized_by(const Pod& pod) {
  const ResizedBy* last = nullptr;
  for (const ResizedBy& entry : pod.resized_by) {
    if (last == nullptr || entry.at >= last->at) last = &entry;  // nullopt is before every time
  }
  return last;
}

std::vector<const ResizedBy*> limit_owners(const Pod& pod, std::string_view container,
                                           OwnedLimits limits) {
  std::vector<const ResizedBy*> owners;
  for (const ResizedBy& each : pod.resized_by) {
    const std::vector<std::string>& owned = each.*limits;
    if (std::find(owned.begin(), owned.end(), container) != owned.end()) owners.push_back(&each);
  }
  return owners;
}

SetBy limit_set_by(const Pod& pod, std::string_view us, std::string_view container,
                   OwnedLimits limits) {
  const auto owners = limit_owners(pod, container, limits);
  if (owners.empty()) return SetBy::kUntold;
  const bool ours = std::any_of(owners.begin(), owners.end(),
                                [&](const ResizedBy* each) { return each->manager == us; });
  return ours ? SetBy::kUs : SetBy::kAnother;
}

ResizePhase resize_phase(const Pod& pod) {
  // Conditions speak of the spec that the node has seen, which is then not the newest one.
  if (pod.generation && pod.observed_generation && *pod.observed_generation < *pod.generation) {
    return ResizePhase::kProposed;
  }
  // Pending beside in progress: an older resize is being carried out, and the newest waits.
  if (pod.resize.pending) {
    return pod.resize.pending->reason == "Infeasible" ? ResizePhase::kInfeasible
                                                      : ResizePhase::kDeferred;
  }
  if (pod.resize.in_progress) {
    return pod.resize.in_progress->reason == "Error" ? ResizePhase::kError
                                                     : ResizePhase::kInProgress;
  }
  return pod.resize.legacy ? phase_of(*pod.resize.legacy) : ResizePhase::kNone;
}

}  // namespace plimsoll::kube
