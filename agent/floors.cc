// SPDX-License-Identifier: Apache-2.0
#include "agent/floors.h"

#include <algorithm>
#include <utility>

#include "agent/cgroup_names.h"
#include "agent/resize_state.h"

namespace plimsoll::agent {

ContainerState floor_record(std::string container, Bytes floor, Bytes spec) {
  ContainerState record;
  record.name = std::move(container);
  record.limit.floor = limit_of(floor);
  record.limit.confirmed = limit_of(spec);
  return record;
}

const PodState* find_pod(const NodeState& state, const kube::Pod& pod) {
  const auto uid = canonical_pod_uid(kube::cgroup_uid(pod));
  const auto found = std::find_if(state.pods.begin(), state.pods.end(),
                                  [&](const PodState& each) { return each.uid == uid; });
  return found == state.pods.end() ? nullptr : &*found;
}

DeclaredLimits declared_limits(const kube::Pod& pod, const PodState* record) {
  DeclaredLimits declared;
  for (const kube::Container& container : pod.containers) {
    if (container.resources.limits.memory) {
      declared.emplace(container.name, *container.resources.limits.memory);
    }
  }
  if (record == nullptr) return declared;
  const kube::ResizedBy* last = kube::last_resized_by(pod);
  const bool others = last != nullptr && last->manager != kFieldManager;
  for (const ContainerState& container : record->containers) {
    const auto spec = declared.find(container.name);
    if (spec == declared.end() || container.limit.floor.is_max()) continue;
    // Theirs may have been about another resource, or another container.
    const bool changed = limit_of(spec->second) != container.limit.confirmed;
    if (!others || !changed) spec->second = Bytes{container.limit.floor.bytes};
  }
  return declared;
}

}  // namespace plimsoll::agent
