// SPDX-License-Identifier: Apache-2.0
#include "agent/node/container_specs.h"

#include <algorithm>

namespace plimsoll::agent {
namespace {

Bytes above(Bytes value, Bytes floor) { return value - floor; }

}  // namespace

ContainerSpec spec_of(const NodePod& pod, const NodeContainer& container, Nanoseconds api_time) {
  std::optional<CpuSpec> cpu;
  if (container.cpu && container.policy.cpu) {
    const EngineBounds<MilliCpu>& bounds = container.cpu_bounds;
    cpu = CpuSpec{
        .bounds = {.floor = bounds.floor,
                   .ceiling = std::min(std::max(container.policy.cpu->ceiling, bounds.floor),
                                       bounds.ceiling),
                   .direct_ceiling = MilliCpu{},
                   .direct_floor = bounds.direct_floor},
        .promised = container.policy.cpu->promised,
        // Where the API resizes it, somebody may want any limit, and the kubelet's write would
        // fail.
        .may_burst = pod.resize.resizable != kube::Resizability::kYes};
  }
  return {.bounds = {.floor = container.bounds.floor,
                     .ceiling = container.bounds.ceiling,
                     .direct_ceiling = Bytes{},
                     .direct_floor = container.bounds.direct_floor},
          .parent = pod.slice ? pod.slice->slot : std::nullopt,
          .bridge_within = container.bounds.bridge_within,
          .look_ahead = std::max(container.policy.look_ahead, api_time),
          .group = container.budget_group,
          .rank = rank_of(pod.pod),
          .cpu = cpu};
}

ContainerSpec slice_spec_of(const NodePod& pod) {
  const Bytes floor{pod.slice->first_limit.bytes};
  ContainerSpec spec{.bounds = {.floor = floor,
                                .ceiling = floor,
                                .direct_ceiling = floor,
                                .direct_floor = pod.stored.memory},
                     .parent = pod.slice->parent,
                     .covers_children = true,
                     .rank = rank_of(pod.pod)};
  for (const NodeContainer& container : pod.containers) {
    // Of which the slice's first limit is the sum, whatever its floor is by now.
    const Bytes first{container.first_limit.bytes};
    spec.bounds.ceiling += above(container.bounds.ceiling, first);
    *spec.bounds.direct_ceiling += above(container.bounds.direct_ceiling, first);
  }
  spec.cpu = slice_cpu_of(pod);
  return spec;
}

std::optional<CpuSpec> slice_cpu_of(const NodePod& pod) {
  if (!pod.slice->cpu) return std::nullopt;
  const MilliCpu floor = pod.slice->cpu->first;
  CpuSpec spec{.bounds = {.floor = floor, .ceiling = floor, .direct_ceiling = floor}};
  for (const NodeContainer& container : pod.containers) {
    if (!container.cpu) continue;
    const MilliCpu first = container.cpu->first;
    spec.bounds.ceiling += container.cpu_bounds.ceiling - first;
    *spec.bounds.direct_ceiling += container.cpu_bounds.direct_ceiling - first;
    spec.promised += container.policy.cpu ? container.policy.cpu->promised : MilliCpu{};
  }
  return spec;
}

bool give_bounds(std::map<std::string, NodePod>& pods, Engine& engine, const Covers& covers,
                 Nanoseconds api_time, MonotonicTime now) {
  bool all = true;
  const auto give = [&](Slot slot, CgroupId id, ContainerSpec spec, Bytes direct, MilliCpu cpu,
                        GivenBounds& given, std::optional<GivenCpu>& kept) {
    const bool covered = direct == Bytes{} || covers.memory(id, limit_of(direct));
    spec.bounds.direct_ceiling = covered ? direct : Bytes{};
    const bool cpu_covered = !spec.cpu || cpu == MilliCpu{} || covers.cpu(id, cpu);
    if (spec.cpu) spec.cpu->bounds.direct_ceiling = cpu_covered ? cpu : MilliCpu{};
    all = all && covered && cpu_covered;
    if (given.spec == spec || !engine.update(slot, spec)) return;
    given.spec = spec;
    given.at = now;
    given.reach = std::max(given.reach, limit_of(*spec.bounds.direct_ceiling));
    if (kept && spec.cpu) kept->reach = std::max(kept->reach, *spec.cpu->bounds.direct_ceiling);
  };
  for (auto& [uid, pod] : pods) {
    if (pod.slice && pod.slice->slot) {
      const ContainerSpec spec = slice_spec_of(pod);
      const MilliCpu cpu = spec.cpu ? *spec.cpu->bounds.direct_ceiling : MilliCpu{};
      give(*pod.slice->slot, pod.slice->cgroup.id, spec, *spec.bounds.direct_ceiling, cpu,
           pod.slice->given, pod.slice->cpu);
    }
    for (NodeContainer& container : pod.containers) {
      give(container.slot, container.cgroup.id, spec_of(pod, container, api_time),
           container.bounds.direct_ceiling, container.cpu_bounds.direct_ceiling, container.given,
           container.cpu);
    }
  }
  return all;
}

}  // namespace plimsoll::agent
