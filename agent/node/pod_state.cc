// SPDX-License-Identifier: Apache-2.0
#include "agent/node/pod_state.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "agent/node/container_specs.h"
#include "agent/pods/cgroup_name.h"
#include "agent/state/declared_limits.h"

namespace plimsoll::agent {
namespace {

// What was asked for and may be stored by now, the newest last.
std::vector<kube::ResizeChange> changes_under_way(const PodResize& resize) {
  std::vector<kube::ResizeChange> changes = resize.unknown;
  if (resize.in_flight) {
    const auto& newest = resize.in_flight->resize.changes;
    changes.insert(changes.end(), newest.begin(), newest.end());
  }
  return changes;
}

Backing backing_of(LeaseWhy why) {
  switch (why) {
    case LeaseWhy::kBridge:
      return Backing::kBridge;
    case LeaseWhy::kPolicy:
      return Backing::kCgroup;
    default:
      return Backing::kLease;
  }
}

// `spec`: what the API stores.
CpuLimitState cpu_state(const GivenCpu& cpu, MilliCpu direct_ceiling,
                        std::optional<MilliCpu> spec) {
  return {.first_seen = cpu.first,
          .confirmed = spec,
          .direct_ceiling = std::max(direct_ceiling, cpu.reach),
          .written = cpu.written,
          .burst = cpu.burst};
}

ContainerState container_state(const NodePod& pod, const NodeContainer& container) {
  ContainerState state{
      .container_id = container.container_id,
      .name = container.policy.name,
      .limit = {.id = container.cgroup.id,
                .path = container.cgroup.path,
                .first_seen = container.first_limit,
                .direct_ceiling =
                    std::max(limit_of(container.bounds.direct_ceiling), container.given.reach),
                .written = container.written}};
  if (container.cpu) {
    const kube::Container* seen = kube::find_container(pod.pod, container.policy.name);
    state.limit.cpu = cpu_state(*container.cpu, container.cpu_bounds.direct_ceiling,
                                seen == nullptr ? std::nullopt : seen->resources.limits.cpu);
  }
  const ContainerResize* resize = pod.resize_of(container.policy.name);
  if (resize == nullptr) return state;
  if (resize->memory.spec) state.limit.confirmed = limit_of(*resize->memory.spec);
  if (const std::optional<Lease>& lease = resize->memory.lease) {
    state.backing = backing_of(lease->why);
    state.lease_end = lease->until;
    state.who = to_string(lease->why);
  }
  return state;
}

// What the spec hides of a limit, or may. The last of `specs` is what the API will say if
// everything goes well.
template <typename Amount>
std::optional<HiddenLimit<Amount>> hidden_limit(Amount floor,
                                                std::vector<std::optional<Amount>> specs) {
  std::erase(specs, std::nullopt);
  const auto differs = [&](const std::optional<Amount>& spec) { return spec != floor; };
  if (std::none_of(specs.begin(), specs.end(), differs)) return std::nullopt;
  return HiddenLimit<Amount>{.floor = floor, .spec = *specs.back()};
}

std::optional<HiddenMemory> hidden_memory(const NodePod& pod, const kube::Container& container,
                                          Bytes declared) {
  std::vector<std::optional<Bytes>> specs{container.resources.limits.memory};
  const ContainerResize* resize = pod.resize_of(container.name);
  if (resize != nullptr) specs.push_back(resize->memory.spec);
  for (const kube::ResizeChange& change : changes_under_way(pod.resize)) {
    if (change.container == container.name) specs.push_back(change.limits.memory);
  }
  const Bytes floor = resize == nullptr ? declared : resize->memory.floor.value_or(declared);
  return hidden_limit(floor, std::move(specs));
}

std::optional<HiddenCpu> hidden_cpu(const NodePod& pod, const kube::Container& container,
                                    MilliCpu declared) {
  std::vector<std::optional<MilliCpu>> specs{container.resources.limits.cpu};
  const auto add = [&](const std::vector<kube::ResizeChange>& changes) {
    for (const kube::ResizeChange& change : changes) {
      if (change.container == container.name) specs.push_back(change.limits.cpu);
    }
  };
  // Stored, and perhaps not told by the watch yet.
  if (pod.resize.cpu.unverified) add(pod.resize.cpu.unverified->changes);
  add(changes_under_way(pod.resize));
  const ContainerResize* resize = pod.resize_of(container.name);
  const MilliCpu floor = resize == nullptr ? declared : resize->cpu.floor.value_or(declared);
  return hidden_limit(floor, std::move(specs));
}

}  // namespace

std::optional<PodState> state_of(const NodePod& pod) {
  if (pod.containers.empty()) return std::nullopt;
  PodState entry{.uid = canonical_pod_uid(kube::cgroup_uid(pod.pod)).value_or(pod.pod.id.uid),
                 .name_space = pod.pod.id.namespace_name,
                 .name = pod.pod.id.name};
  if (pod.slice && pod.slice->slot) {
    const auto& confirmed = pod.stored.memory;
    entry.slice =
        LimitState{.id = pod.slice->cgroup.id,
                   .path = pod.slice->cgroup.path,
                   .first_seen = pod.slice->first_limit,
                   .confirmed = confirmed ? std::optional(limit_of(*confirmed)) : std::nullopt,
                   .direct_ceiling = std::max(limit_of(*slice_spec_of(pod).bounds.direct_ceiling),
                                              pod.slice->given.reach),
                   .written = pod.slice->written};
    if (const auto cpu = slice_cpu_of(pod)) {
      entry.slice->cpu = cpu_state(*pod.slice->cpu, *cpu->bounds.direct_ceiling, pod.stored.cpu);
    }
  }
  for (const NodeContainer& container : pod.containers) {
    entry.containers.push_back(container_state(pod, container));
  }
  return entry;
}

PodState hidden_limits_of(const NodePod& pod) {
  PodState entry{.uid = canonical_pod_uid(kube::cgroup_uid(pod.pod)).value_or(pod.pod.id.uid),
                 .name_space = pod.pod.id.namespace_name,
                 .name = pod.pod.id.name};
  for (const kube::Container& container : pod.pod.containers) {
    const auto declared = pod.declared.find(container.name);
    if (declared == pod.declared.end()) continue;
    const auto& [declared_memory, declared_cpu] = declared->second;
    const auto memory =
        declared_memory ? hidden_memory(pod, container, *declared_memory) : std::nullopt;
    const auto cpu = declared_cpu ? hidden_cpu(pod, container, *declared_cpu) : std::nullopt;
    if (!memory && !cpu) continue;
    entry.containers.push_back(floor_record(container.name, memory, cpu));
  }
  return entry;
}

bool is_kept(const NodePod& pod, const NodeState& saved) {
  return explains(saved, {.boot_id = saved.boot_id, .pods = {hidden_limits_of(pod)}});
}

}  // namespace plimsoll::agent
