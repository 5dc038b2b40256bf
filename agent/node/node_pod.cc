// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_pod.h"

#include <algorithm>

#include "kube/resize.h"

namespace plimsoll::agent {

NodeContainer* NodePod::find(std::string_view container) {
  const auto found = std::find_if(
      containers.begin(), containers.end(),
      [&](const NodeContainer& candidate) { return candidate.policy.name == container; });
  return found == containers.end() ? nullptr : &*found;
}

const ContainerResize* NodePod::resize_of(std::string_view container) const {
  const auto found =
      std::find_if(resize.containers.begin(), resize.containers.end(),
                   [&](const ContainerResize& each) { return each.name == container; });
  return found == resize.containers.end() ? nullptr : &*found;
}

std::string NodePod::id_of(std::string_view container) const {
  const kube::Container* known = kube::find_container(pod, container);
  return known != nullptr && known->status ? known->status->id : std::string();
}

bool NodePod::leaves() const {
  const auto& policies = policy.containers;
  return std::any_of(policies.begin(), policies.end(), [](const ContainerPolicy& each) {
    return each.leaving || (each.cpu && each.cpu->leaves());
  });
}

void NodeContainer::set_cpu_bounds(const EngineBounds<MilliCpu>& wanted) {
  cpu_bounds = wanted;
  if (cpu) cpu->reach = std::max(cpu->reach, wanted.direct_ceiling);
}

void GivenBounds::saw(Limit limit, Limit stored, MonotonicTime now) {
  const Limit most = limit_of(spec ? spec->bounds.direct_ceiling.value_or(Bytes{}) : Bytes{});
  // Nobody here writes "max".
  const bool ours = limit > std::max(most, stored) && !limit.is_max();
  if (!ours && is_obeyed(now)) reach = most;
}

void NodeContainer::set_bounds(const ContainerResize& plan) {
  if (!plan.memory.bounds) return;
  if (plan.memory.allowance.asked) allowed_before = {};
  bounds = *plan.memory.bounds;
  // 0: not at all, whatever was.
  if (bounds.direct_ceiling == Bytes{}) return;
  bounds.direct_ceiling = std::max(bounds.direct_ceiling, std::min(allowed_before, policy.ceiling));
}

std::optional<Bytes> declared_pod_limit(const NodePod& pod) {
  kube::Pod as_declared = pod.pod;
  for (kube::Container& container : as_declared.containers) {
    const auto known = pod.declared.find(container.name);
    if (known == pod.declared.end() || !known->second.memory) continue;
    container.resources.limits.memory = known->second.memory;
  }
  return kube::pod_memory_limit(as_declared);
}

std::optional<MilliCpu> declared_pod_cpu(const NodePod& pod) {
  const auto& policies = pod.policy.containers;
  const bool wanted = std::any_of(policies.begin(), policies.end(),
                                  [](const ContainerPolicy& each) { return each.cpu.has_value(); });
  if (!wanted) return std::nullopt;
  kube::Pod as_declared = pod.pod;
  for (kube::Container& container : as_declared.containers) {
    const auto known = pod.declared.find(container.name);
    if (known != pod.declared.end()) container.resources.limits.cpu = known->second.cpu;
  }
  return kube::pod_cpu_limit(as_declared);
}

PodReading read_files(NodePod& pod, MonotonicTime now) {
  const auto reading_of = [](const cgroup::Group& group) -> std::optional<CgroupReading> {
    const auto limit = group.read_memory_max();
    const auto usage = group.read_memory_current();
    if (!limit || !usage) return std::nullopt;
    return CgroupReading{*limit, *usage};
  };
  PodReading reading{.at = now};
  if (pod.slice) reading.slice = reading_of(pod.slice->group);
  if (reading.slice) {
    pod.slice->given.saw(reading.slice->limit, limit_of(pod.stored.memory.value_or(Bytes{})), now);
  }
  for (NodeContainer& container : pod.containers) {
    const auto memory = reading_of(container.group);
    if (!memory) continue;
    const kube::Container* seen = kube::find_container(pod.pod, container.policy.name);
    const auto stored = seen == nullptr ? std::nullopt : seen->resources.limits.memory;
    container.given.saw(memory->limit, limit_of(stored.value_or(Bytes{})), now);
    reading.containers.push_back({.container = container.policy.name,
                                  .container_id = container.container_id,
                                  .memory = *memory});
  }
  return reading;
}

}  // namespace plimsoll::agent
