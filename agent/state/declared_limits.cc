// SPDX-License-Identifier: Apache-2.0
#include "agent/state/declared_limits.h"

#include <algorithm>
#include <utility>

#include "agent/pods/cgroup_name.h"
#include "agent/pods/ownership.h"

namespace plimsoll::agent {
namespace {

// Where nobody owns the limit, the newest resize of the pod may have been about it, or about
// another resource or container.
bool set_by_others(const kube::Pod& pod, const std::string& container, kube::OwnedLimits limits) {
  const kube::SetBy by = kube::limit_set_by(pod, kFieldManager, container, limits);
  if (by != kube::SetBy::kUntold) return by == kube::SetBy::kAnother;
  const kube::ResizedBy* last = kube::last_resized_by(pod);
  return last != nullptr && last->manager != kFieldManager;
}

// `value`, as the spec has it, was declared as `floor`, unless somebody else has set it since.
template <typename Amount>
void take_floor(std::optional<Amount>& value, std::optional<Amount> floor,
                std::optional<Amount> last_known, bool others) {
  if (!value || !floor) return;
  if (!others || value == last_known) value = floor;
}

std::optional<Bytes> bytes_of(std::optional<Limit> limit) {
  if (!limit || limit->is_max()) return std::nullopt;
  return Bytes{limit->bytes};
}

}  // namespace

ContainerState floor_record(std::string container, const std::optional<HiddenMemory>& memory,
                            const std::optional<HiddenCpu>& cpu) {
  ContainerState record;
  record.name = std::move(container);
  if (memory) {
    record.limit.first_seen = limit_of(memory->floor);
    record.limit.confirmed = limit_of(memory->spec);
  }
  if (cpu) {
    record.limit.cpu = CpuLimitState{
        .first_seen = cpu->floor, .confirmed = cpu->spec, .direct_ceiling = {}, .written = {}};
  }
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
    const kube::Amounts& limits = container.resources.limits;
    if (!limits.memory && !limits.cpu) continue;
    declared.emplace(container.name, DeclaredLimit{.memory = limits.memory, .cpu = limits.cpu});
  }
  if (record == nullptr) return declared;
  for (const ContainerState& container : record->containers) {
    const auto spec = declared.find(container.name);
    if (spec == declared.end()) continue;
    take_floor(spec->second.memory, bytes_of(container.limit.first_seen),
               bytes_of(container.limit.confirmed),
               set_by_others(pod, container.name, &kube::ResizedBy::memory_limits));
    if (!container.limit.cpu) continue;
    take_floor(spec->second.cpu, std::optional(container.limit.cpu->first_seen),
               container.limit.cpu->confirmed,
               set_by_others(pod, container.name, &kube::ResizedBy::cpu_limits));
  }
  return declared;
}

}  // namespace plimsoll::agent
