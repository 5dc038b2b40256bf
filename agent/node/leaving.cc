// SPDX-License-Identifier: Apache-2.0
#include "agent/node/leaving.h"

#include <algorithm>

#include "agent/resize/plan.h"

namespace plimsoll::agent {
namespace {

// The CPU limit as a file may show it that the kubelet, or systemd for it, has written.
MilliCpu as_written(MilliCpu limit) {
  constexpr MilliCpu kQuotaRounding{10};  // systemd rounds a quota up to 10 ms of each second
  return limit + kQuotaRounding;
}

// A limit as the API stores it, as far as we know.
template <typename Amount>
Amount stored(Amount spec, const std::optional<Amount>& known) {
  return std::max(spec, known.value_or(spec));
}

// Its own threads may be about to write it until they have obeyed.
void bring_cpu_back(Engine& engine, Slot slot, const cgroup::Group& group, MilliCpu stored,
                    MonotonicTime now, const GivenBounds& given, GivenCpu& cpu) {
  const auto max = group.read_cpu_max();
  const auto limit = max ? cgroup::cpus_of(*max) : std::nullopt;
  if (limit && *limit > as_written(stored)) {
    (void)engine.lower(slot, stored, Reason::kWithdrawn);
  } else if (given.is_obeyed(now)) {
    cpu.reach = {};
  }
}

}  // namespace

Reach reach_of(const LimitState& left) {
  return {left.direct_ceiling, left.cpu ? left.cpu->direct_ceiling : MilliCpu{}};
}

Reach reach_of(const NodeContainer& container) {
  return {container.given.reach, container.cpu ? container.cpu->reach : MilliCpu{}};
}

Reach reach_of(const NodePod::Slice& slice) {
  return {slice.given.reach, slice.cpu ? slice.cpu->reach : MilliCpu{}};
}

Debt debt_of(const NodePod& pod, const kube::Container& container, const Reach& reach) {
  Debt debt;
  const auto declared = pod.declared.find(container.name);
  if (declared == pod.declared.end()) return debt;
  const ContainerResize* known = pod.resize_of(container.name);
  const ContainerResize resize = known == nullptr ? ContainerResize{} : *known;
  const Lowerable possible = lowerable(pod.resize, container.name);
  const kube::Amounts& spec = container.resources.limits;
  if (declared->second.memory && spec.memory) {
    const Bytes now = stored(*spec.memory, resize.memory.spec);
    const Bytes floor = resize.memory.floor.value_or(*declared->second.memory);
    debt.memory =
        reach.memory > limit_of(now) || resize.memory.lease || (possible.memory && now > floor);
  }
  if (declared->second.cpu && spec.cpu) {
    const MilliCpu now = stored(*spec.cpu, resize.cpu.spec);
    const MilliCpu floor = resize.cpu.floor.value_or(*declared->second.cpu);
    debt.cpu = reach.cpu > as_written(now) || (possible.cpu && now > floor);
  }
  return debt;
}

Debt slice_debt(const NodePod& pod, const Reach& reach) {
  const auto& [memory, cpu] = pod.stored;
  return {.memory = memory && reach.memory > limit_of(*memory),
          .cpu = cpu && reach.cpu > as_written(*cpu)};
}

bool bring_back(NodePod& pod, Engine& engine, MonotonicTime now) {
  bool owes = false;
  for (NodeContainer& container : pod.containers) {
    const kube::Container* seen = kube::find_container(pod.pod, container.policy.name);
    if (seen == nullptr) continue;
    const bool cpu_leaves = container.policy.cpu && container.policy.cpu->leaves();
    if (container.cpu && cpu_leaves) {
      bring_cpu_back(engine, container.slot, container.group,
                     seen->resources.limits.cpu.value_or(MilliCpu{}), now, container.given,
                     *container.cpu);
    }
    const Debt debt = debt_of(pod, *seen, reach_of(container));
    owes |= (container.policy.leaving && debt.any()) || (cpu_leaves && debt.cpu);
  }
  const bool all_leave = std::all_of(pod.containers.begin(), pod.containers.end(),
                                     [](const NodeContainer& each) { return each.policy.leaving; });
  if (all_leave && pod.slice && pod.slice->slot && !owes) {
    NodePod::Slice& slice = *pod.slice;
    const auto& stored = pod.stored.memory;
    const auto limit = slice.group.read_memory_max();
    if (stored && limit && !limit->is_max() && *limit > limit_of(*stored)) {
      (void)engine.lower(*slice.slot, *stored, Reason::kWithdrawn);
    }
    if (slice.cpu) {
      bring_cpu_back(engine, *slice.slot, slice.group, pod.stored.cpu.value_or(MilliCpu{}), now,
                     slice.given, *slice.cpu);
    }
    owes = slice_debt(pod, reach_of(slice)).any();
  }
  return !owes;
}

}  // namespace plimsoll::agent
