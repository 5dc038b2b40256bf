// SPDX-License-Identifier: Apache-2.0
#include "agent/node/left_records.h"

#include <algorithm>

namespace plimsoll::agent {
namespace {

// Adds `added` to the records of its pod; what is said of the same cgroup gives way.
void merge(NodeState& state, const PodState& added) {
  const auto same = std::find_if(state.pods.begin(), state.pods.end(),
                                 [&](const PodState& pod) { return pod.uid == added.uid; });
  if (same == state.pods.end()) {
    state.pods.push_back(added);
    return;
  }
  if (added.slice) same->slice = added.slice;
  for (const ContainerState& container : added.containers) {
    std::erase_if(same->containers, [&](const ContainerState& known) {
      return known.limit.id == container.limit.id;
    });
    same->containers.push_back(container);
  }
}

}  // namespace

void LeftRecords::add(const PodState& pod) { merge(left_, pod); }

void LeftRecords::forget(CgroupId id) {
  for (PodState& pod : left_.pods) {
    if (pod.slice && pod.slice->id == id) pod.slice.reset();
    std::erase_if(pod.containers, [&](const auto& each) { return each.limit.id == id; });
  }
}

void LeftRecords::drop(const std::set<CgroupId>& tracked, const PodCgroups& cgroups) {
  const auto is_over = [&](const LimitState& limit) {
    return tracked.contains(limit.id) || cgroups.find(limit.id) == nullptr;
  };
  for (PodState& pod : left_.pods) {
    if (pod.slice && is_over(*pod.slice)) pod.slice.reset();
    std::erase_if(pod.containers,
                  [&](const ContainerState& container) { return is_over(container.limit); });
  }
  std::erase_if(left_.pods,
                [](const PodState& pod) { return !pod.slice && pod.containers.empty(); });
}

void LeftRecords::add_to(NodeState& state) const {
  for (const PodState& left : left_.pods) merge(state, left);
}

}  // namespace plimsoll::agent
