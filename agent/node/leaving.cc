// SPDX-License-Identifier: Apache-2.0
#include "agent/node/leaving.h"

#include <algorithm>

#include "agent/resize/leave.h"

namespace plimsoll::agent {
namespace {

// A limit as the API stores it, as far as we know.
template <typename Amount>
Amount stored(Amount spec, const std::optional<Amount>& known) {
  return std::max(spec, known.value_or(spec));
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

MilliCpu as_written(MilliCpu limit) {
  constexpr MilliCpu kQuotaRounding{10};  // systemd rounds a quota up to 10 ms of each second
  return limit + kQuotaRounding;
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
    const Bytes now = stored(*spec.memory, resize.spec);
    const Bytes floor = resize.floor.value_or(*declared->second.memory);
    debt.memory = reach.memory > limit_of(now) || resize.lease || (possible.memory && now > floor);
  }
  if (declared->second.cpu && spec.cpu) {
    const MilliCpu now = stored(*spec.cpu, resize.cpu.spec);
    const MilliCpu floor = resize.cpu.floor.value_or(*declared->second.cpu);
    debt.cpu = reach.cpu > as_written(now) || (possible.cpu && now > floor);
  }
  return debt;
}

Debt slice_debt(const NodePod& pod, const Reach& reach) {
  const auto memory = kube::pod_memory_limit(pod.pod);
  const auto cpu = kube::pod_cpu_limit(pod.pod);
  return {.memory = memory && reach.memory > limit_of(*memory),
          .cpu = cpu && reach.cpu > as_written(*cpu)};
}

}  // namespace plimsoll::agent
