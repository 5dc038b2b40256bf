// SPDX-License-Identifier: Apache-2.0
//
// What a cgroup's path says about Kubernetes: which pod, which container, by which runtime. Pure;
// for both cgroup drivers of the kubelet and any --cgroup-root. Used to build the picture of the
// node (pod_cgroups.h) and to tell whose a cgroup is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace plimsoll::agent {

enum class CgroupKind : std::uint8_t {
  kOther,      // nothing of a pod
  kKubepods,   // the top of the kubelet's tree
  kQos,        // burstable or besteffort
  kPod,        // a pod's own: its limit counts all that is in the pod
  kContainer,  // a container's own, where the runtime writes its limits; the pause container too,
               // which no path tells from the others
  kNested,     // below a container: what crun, systemd or docker inside of it made
  kHelper,     // of the pod, but no container: CRI-O's conmon, an overhead cgroup of a sandbox
};
std::string_view to_string(CgroupKind kind);

enum class CgroupDriver : std::uint8_t { kSystemd, kCgroupfs };

enum class ContainerRuntime : std::uint8_t {
  kUnknown,  // the cgroupfs driver gives containerd and cri-dockerd the same names
  kContainerd,
  kCrio,
  kDocker,  // through cri-dockerd
};
std::string_view to_string(ContainerRuntime runtime);

enum class PodQos : std::uint8_t { kGuaranteed, kBurstable, kBestEffort };

struct CgroupName {
  CgroupKind kind = CgroupKind::kOther;
  CgroupDriver driver = CgroupDriver::kSystemd;  // as all below: means nothing for kOther
  ContainerRuntime runtime = ContainerRuntime::kUnknown;
  PodQos qos = PodQos::kGuaranteed;  // from kQos on
  std::string pod_uid;               // from kPod on, as canonical_pod_uid() has it
  std::string container_id;          // kContainer and kNested; kHelper where the name has one
  std::string pod_path;              // from kPod on: the path of the pod's cgroup
  std::string container_path;  // kContainer and kNested: where the limits of the container are

  bool operator==(const CgroupName&) const = default;
};

// `path` with or without a leading slash. Of several pods on the way, the outermost is ours: the
// others are a cluster inside of one of its containers. Any text is accepted.
CgroupName parse_cgroup_name(std::string_view path);

// The one spelling that uids are compared in: "_" as "-", lower case. nullopt: it is neither a UUID
// nor the 32 hexadecimal digits of a static pod.
std::optional<std::string> canonical_pod_uid(std::string_view text);

// "containerd://<id>" of a container's status. nullopt: empty, or not of this form.
struct StatusContainerId {
  ContainerRuntime runtime = ContainerRuntime::kUnknown;
  std::string id;

  bool operator==(const StatusContainerId&) const = default;
};
std::optional<StatusContainerId> parse_status_container_id(std::string_view text);

// The systemd unit that has this very cgroup; nullopt: none has (the cgroupfs driver, a cgroup
// inside of a scope). The root is "-.slice".
std::optional<std::string> unit_of_cgroup(std::string_view path);

}  // namespace plimsoll::agent
