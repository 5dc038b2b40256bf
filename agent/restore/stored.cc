// SPDX-License-Identifier: Apache-2.0
#include "agent/restore/stored.h"

#include <algorithm>

#include "agent/pods/match.h"
#include "agent/pods/pod_facts.h"

namespace plimsoll::agent {
namespace {

void note_limits(LimitState& record, const PodCgroup& cgroup, const kube::Amounts& before,
                 const kube::Amounts& after) {
  if (record.id != cgroup.id) record = {.id = cgroup.id, .path = cgroup.path};
  if (before.memory && after.memory && before.memory != after.memory) {
    const Limit stored = limit_of(*after.memory);
    if (record.first_seen.is_max()) record.first_seen = stored;
    record.confirmed = stored;
    record.direct_ceiling = std::max(record.direct_ceiling, limit_of(*before.memory));
  }
  if (before.cpu && after.cpu && before.cpu != after.cpu) {
    if (!record.cpu) record.cpu = CpuLimitState{.first_seen = *after.cpu};
    record.cpu->confirmed = after.cpu;
    record.cpu->direct_ceiling = std::max(record.cpu->direct_ceiling, *before.cpu);
  }
}

kube::Amounts limits_of_slice(const kube::Pod& pod) {
  return {.memory = kube::pod_memory_limit(pod), .cpu = kube::pod_cpu_limit(pod)};
}

}  // namespace

PodGroups groups_of(const PodCgroups& cgroups, const kube::Pod& pod) {
  const std::vector<ApiPod> api{api_pod_of(pod)};
  PodGroups groups;
  for (const Match& match : join(cgroups.all(), api)) {
    if (match.known_to != KnownTo::kBoth) continue;
    groups.slice = match.pod_cgroup;
    groups.containers[api[0].containers[*match.container].name] = match.cgroup;
  }
  return groups;
}

void note_stored(NodeState& state, const PodState& floors, const kube::Pod& before,
                 const kube::Pod& after, const PodGroups& groups,
                 const std::vector<kube::ResizeChange>& changes) {
  auto pod = std::find_if(state.pods.begin(), state.pods.end(),
                          [&](const PodState& each) { return each.uid == floors.uid; });
  if (pod == state.pods.end()) {
    state.pods.push_back({.uid = floors.uid, .name_space = floors.name_space, .name = floors.name});
    pod = state.pods.end() - 1;
  }
  for (const kube::ResizeChange& change : changes) {
    const auto group = groups.containers.find(change.container);
    if (group == groups.containers.end()) continue;
    auto record = std::find_if(
        pod->containers.begin(), pod->containers.end(),
        [&](const ContainerState& each) { return each.limit.id == group->second->id; });
    if (record == pod->containers.end()) {
      pod->containers.push_back({.container_id = group->second->name.container_id,
                                 .name = change.container,
                                 .limit = {}});
      record = pod->containers.end() - 1;
    }
    note_limits(record->limit, *group->second,
                find_container(before, change.container)->resources.limits,
                find_container(after, change.container)->resources.limits);
  }
  const kube::Amounts slice_before = limits_of_slice(before);
  const kube::Amounts slice_after = limits_of_slice(after);
  if (groups.slice == nullptr || slice_before == slice_after) return;
  if (!pod->slice) pod->slice.emplace();
  note_limits(*pod->slice, *groups.slice, slice_before, slice_after);
}

}  // namespace plimsoll::agent
