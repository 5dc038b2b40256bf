// SPDX-License-Identifier: Apache-2.0
//
// A resize of a pod as values: whether the API would take it, the PATCH that asks for it, and what
// the answer says. Used by agent/resize/plan (what to ask) and agent/resize/resizer (asking). Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "kube/discovery.h"
#include "kube/http.h"
#include "kube/pod.h"

namespace plimsoll::kube {

// What one container's resources are to become: absolute, and only the leaves that change.
struct ResizeChange {
  std::string container;
  ContainerKind kind = ContainerKind::kMain;
  Amounts requests;
  Amounts limits;

  bool operator==(const ResizeChange&) const = default;
};

struct Resize {
  PodIdentity pod;
  std::vector<ResizeChange> changes;  // all of one pod: a resize is taken or refused as a whole
  bool dry_run = false;               // admission runs, nothing is stored

  bool operator==(const Resize&) const = default;
};

// The PATCH: strategic merge with the pod's uid, so that a pod that was created anew under the same
// name is refused (422) and repeating it is safe. `path` is not kNone.
Request resize_request(const Resize& resize, ResizePath path, std::string_view field_manager);

// What the API server and the node are known to be able to do.
struct ResizeAbility {
  ResizePath path = ResizePath::kNone;
  int minor = 0;                 // of the server's version 1.x; 0: unknown
  bool init_containers = false;  // the node declares InPlacePodVerticalScalingInitContainers
  bool pod_level = false;        // the node declares InPlacePodLevelResourcesVerticalScaling

  bool operator==(const ResizeAbility&) const = default;
};

// Why the API would refuse, or why we must not ask. What is refused is not asked for.
enum class Resizability : std::uint8_t {
  kYes,
  // of the pod
  kNoApi,        // the API server has no way to resize
  kOtherNode,    // it does not run on this node
  kMirror,       // a static pod
  kWindows,      // only Linux nodes resize
  kBestEffort,   // its QoS class would change
  kClaims,       // a container holds device claims: the whole pod cannot be resized
  kPodLevel,     // pod-level resources, which this server or node cannot resize
  kTerminating,  // deletionTimestamp is set
  kFinished,     // Succeeded or Failed
  kOldNode,      // a running container without status resources: the kubelet is too old
  // of the container
  kNoSuchContainer,
  kInit,        // an init container that ends
  kNotRunning,  // has ended
  kNoLimit,     // declares no limit: nothing to raise, and one can never be removed
  kNoRequest,   // a limit without a request: defaulting would set the request
  kRestart,     // its resizePolicy restarts it
  kCritical,    // requests of a critical pod: the kubelet evicts others for them
  // of the change
  kQos,           // the pod's QoS class would change
  kBelowRequest,  // a limit below its request
  kAbovePod,      // a limit above the pod-level limit
  kDecrease,      // this version cannot lower a memory limit without a restart
};
std::string_view to_string(Resizability why);  // "best_effort": for labels and causes
std::string_view explain(Resizability why);    // one sentence

// Whether the API resizes this pod at all.
Resizability can_resize(const Pod& pod, const ResizeAbility& ability, std::string_view node_name);

// ... and the memory of this container of it. can_resize(pod) is assumed.
Resizability can_resize_memory(const Pod& pod, std::string_view name, const ResizeAbility& ability);
// ... and its CPU limit, the request left as it is: kQos of a Guaranteed pod.
Resizability can_resize_cpu(const Pod& pod, std::string_view name, const ResizeAbility& ability);

// ... and these changes together. What the two above say is assumed of each. A dry run may be one
// that would restart containers, as the API server takes it and nobody carries it out.
enum class Restarts : std::uint8_t { kNone, kAllowed };
Resizability can_apply(const Pod& pod, std::span<const ResizeChange> changes,
                       const ResizeAbility& ability, Restarts restarts = Restarts::kNone);

// The change that brings a container's memory limit to `limit`: of a Guaranteed pod the request
// follows. nullopt: it is that already, or there is no such container.
std::optional<ResizeChange> memory_change(const Pod& pod, std::string_view name, Bytes limit);
// The same for its CPU limit; the request stays.
std::optional<ResizeChange> cpu_change(const Pod& pod, std::string_view name, MilliCpu limit);

// The pod as it would be stored.
Pod applied(Pod pod, std::span<const ResizeChange> changes);

// As the API server computes it from requests and limits of all containers.
QosClass qos_of(const Pod& pod);

// memory.max of the pod's cgroup as the kubelet computes it; nullopt: it sets none.
std::optional<Bytes> pod_memory_limit(const Pod& pod);
// The same for cpu.max.
std::optional<MilliCpu> pod_cpu_limit(const Pod& pod);

// The answer to a PATCH that was taken: the pod with its new generation, resourceVersion, limits.
Result<Pod> parse_resize_reply(const Response& response);

}  // namespace plimsoll::kube
