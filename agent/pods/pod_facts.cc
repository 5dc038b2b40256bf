// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/pod_facts.h"

#include <utility>

#include "kube/resize.h"

namespace plimsoll::agent {
PodFacts facts_of(const kube::Pod& pod, const DeclaredLimits& declared) {
  PodFacts facts = pod_facts(pod);
  for (ContainerFacts& container : facts.containers) {
    const auto known = declared.find(container.name);
    if (known == declared.end()) continue;
    if (known->second.memory) container.memory_limit = known->second.memory;
    if (known->second.cpu) container.cpu_limit = known->second.cpu;
  }
  return facts;
}

ApiPod api_pod_of(const kube::Pod& pod) {
  ApiPod result{.uid = pod.id.uid};
  if (kube::cgroup_uid(pod) != pod.id.uid) result.config_hash = kube::cgroup_uid(pod);
  for (const kube::Container& container : pod.containers) {
    result.containers.push_back(
        {.name = container.name,
         .container_id = container.status ? container.status->id : std::string()});
  }
  return result;
}

Rank rank_of(const kube::Pod& pod) {
  Rank rank{.priority = pod.priority.value_or(0)};
  switch (pod.qos.value_or(kube::qos_of(pod))) {
    case kube::QosClass::kGuaranteed:
      rank.qos = QosRank::kGuaranteed;
      break;
    case kube::QosClass::kBurstable:
      rank.qos = QosRank::kBurstable;
      break;
    case kube::QosClass::kBestEffort:
      break;
  }
  return rank;
}

ContainerRef ref_of(const kube::PodIdentity& pod, std::string container) {
  return {.name_space = pod.namespace_name,
          .pod = pod.name,
          .uid = pod.uid,
          .container = std::move(container)};
}

}  // namespace plimsoll::agent
