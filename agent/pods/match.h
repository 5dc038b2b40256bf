// SPDX-License-Identifier: Apache-2.0
//
// The kernel's picture of the node's containers and the API's, put together. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "agent/pods/pod_cgroups.h"

namespace plimsoll::agent {

// What the API says, as far as identity goes. Filled from the pod list, in its order.
struct ApiContainer {
  std::string name;
  std::string container_id;  // as in its status, "containerd://…"; empty: none yet
};
struct ApiPod {
  std::string uid;
  // The annotation kubernetes.io/config.hash of a mirror pod: its cgroup has that uid. Empty: none.
  std::string config_hash;
  std::vector<ApiContainer> containers;  // init and sidecar containers among them
};

// The uid in the pod's cgroup path; nullopt: neither uid nor hash has the form of one.
std::optional<std::string> cgroup_uid_of(const ApiPod& pod);

enum class KnownTo : std::uint8_t {
  kBoth,
  kKernel,  // the pause container, one that the API has not told of, or one it has forgotten
  kApi,     // not started yet, ended, or its cgroup not seen yet
};

// One container. Indices are into what join() was given; pointers into its map.
struct Match {
  KnownTo known_to = KnownTo::kBoth;
  std::string pod_uid;                   // as the cgroup path has it
  std::optional<std::size_t> pod;        // also of kKernel, where the API knows the pod
  std::optional<std::size_t> container;  // in that pod
  const PodCgroup* cgroup = nullptr;
  const PodCgroup* pod_cgroup = nullptr;  // also of kApi, where the pod has one
};

// Every container of either side once: those of the API in its order, then those that only the
// kernel has, by path. Matched are containers of the same id in the same pod; an id that the API
// gives to another pod than the kernel does matches nothing.
std::vector<Match> join(const std::map<std::string, PodCgroup>& kernel,
                        std::span<const ApiPod> pods);

}  // namespace plimsoll::agent
