// SPDX-License-Identifier: Apache-2.0
// The part of node_pods.h that is looked at: state for the disk, budgets, explanations.
#include <algorithm>
#include <set>
#include <utility>

#include "agent/node/node_pods.h"

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
  return {.floor = cpu.first,
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
                .floor = container.first_limit,
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
  if (resize->spec) state.limit.confirmed = limit_of(*resize->spec);
  if (resize->lease) {
    state.backing = backing_of(resize->lease->why);
    state.lease_end = resize->lease->until;
    state.who = to_string(resize->lease->why);
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
  if (resize != nullptr) specs.push_back(resize->spec);
  for (const kube::ResizeChange& change : changes_under_way(pod.resize)) {
    if (change.container == container.name) specs.push_back(change.limits.memory);
  }
  const Bytes floor = resize == nullptr ? declared : resize->floor.value_or(declared);
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
  if (pod.resize.cpu_unverified) add(pod.resize.cpu_unverified->changes);
  add(changes_under_way(pod.resize));
  const ContainerResize* resize = pod.resize_of(container.name);
  const MilliCpu floor = resize == nullptr ? declared : resize->cpu.floor.value_or(declared);
  return hidden_limit(floor, std::move(specs));
}

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

std::optional<PodState> NodePods::state_of(const NodePod& pod) const {
  if (pod.containers.empty()) return std::nullopt;
  PodState entry{.uid = canonical_pod_uid(kube::cgroup_uid(pod.pod)).value_or(pod.pod.id.uid),
                 .name_space = pod.pod.id.namespace_name,
                 .name = pod.pod.id.name};
  if (pod.slice && pod.slice->slot) {
    const auto confirmed = kube::pod_memory_limit(pod.pod);
    entry.slice =
        LimitState{.id = pod.slice->cgroup.id,
                   .path = pod.slice->cgroup.path,
                   .floor = pod.slice->first_limit,
                   .confirmed = confirmed ? std::optional(limit_of(*confirmed)) : std::nullopt,
                   .direct_ceiling = std::max(limit_of(*slice_spec_of(pod).bounds.direct_ceiling),
                                              pod.slice->given.reach),
                   .written = pod.slice->written};
    if (const auto cpu = slice_cpu_of(pod)) {
      entry.slice->cpu =
          cpu_state(*pod.slice->cpu, *cpu->bounds.direct_ceiling, kube::pod_cpu_limit(pod.pod));
    }
  }
  for (const NodeContainer& container : pod.containers) {
    entry.containers.push_back(container_state(pod, container));
  }
  return entry;
}

NodeState NodePods::state() const {
  NodeState state;
  for (const auto& [uid, pod] : pods_) {
    if (auto entry = state_of(pod)) state.pods.push_back(std::move(*entry));
  }
  for (const PodState& left : left_.pods) merge(state, left);
  return state;
}

// What is tracked of it is about not to be: a raised limit must stay known.
void NodePods::leave(const NodePod& pod) {
  if (const auto entry = state_of(pod)) merge(left_, *entry);
}

// The cgroup has nothing of ours.
void NodePods::forget_left(CgroupId id) {
  for (PodState& pod : left_.pods) {
    if (pod.slice && pod.slice->id == id) pod.slice.reset();
    std::erase_if(pod.containers, [&](const auto& each) { return each.limit.id == id; });
  }
}

// What is tracked says itself what it is; a cgroup that is gone has no limit.
void NodePods::drop_left() {
  std::set<CgroupId> tracked;
  for (const auto& [uid, pod] : pods_) {
    if (pod.slice && pod.slice->slot) tracked.insert(pod.slice->cgroup.id);
    for (const NodeContainer& container : pod.containers) tracked.insert(container.cgroup.id);
  }
  const auto is_over = [&](const LimitState& limit) {
    return tracked.contains(limit.id) || cgroups_.find(limit.id) == nullptr;
  };
  for (PodState& pod : left_.pods) {
    if (pod.slice && is_over(*pod.slice)) pod.slice.reset();
    std::erase_if(pod.containers,
                  [&](const ContainerState& container) { return is_over(container.limit); });
  }
  std::erase_if(left_.pods,
                [](const PodState& pod) { return !pod.slice && pod.containers.empty(); });
}

PodState NodePods::floors_of(const NodePod& pod) const {
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

NodeState NodePods::floors() const {
  NodeState floors = unseen_floors_;
  for (const auto& [uid, pod] : pods_) {
    PodState entry = floors_of(pod);
    if (!entry.containers.empty()) floors.pods.push_back(std::move(entry));
  }
  std::sort(floors.pods.begin(), floors.pods.end(),
            [](const PodState& a, const PodState& b) { return a.uid < b.uid; });
  return floors;
}

bool NodePods::floors_kept(const NodePod& pod, const NodeState& saved) const {
  return explains(saved, {.boot_id = saved.boot_id, .pods = {floors_of(pod)}});
}

std::vector<NamespaceBudget> NodePods::budgets(const Plan& plan) const {
  std::vector<NamespaceBudget> budgets;
  for (const auto& [name, group] : groups_) {
    const auto found = plan.groups.find(group);
    if (found == plan.groups.end()) continue;
    NamespaceBudget budget{.name_space = name, .granted = found->second.granted};
    if (!is_unlimited(found->second.left)) {
      budget.limit = found->second.granted + found->second.left;
    }
    budgets.push_back(std::move(budget));
  }
  return budgets;
}

ExplainedContainer NodePods::explain(const NodePod& pod, const std::string& container) const {
  ExplainedContainer shown{.subject = ref_of(pod.pod.id, container)};
  const auto policy =
      std::find_if(pod.policy.containers.begin(), pod.policy.containers.end(),
                   [&](const ContainerPolicy& each) { return each.name == container; });
  if (pod.policy.managed != Managed::kYes) {
    shown.notes.push_back("the pod is not managed: " + std::string(to_string(pod.policy.managed)));
  } else if (policy != pod.policy.containers.end() && policy->managed != Managed::kYes) {
    shown.notes.push_back("not managed: " + std::string(to_string(policy->managed)));
  }
  if (policy != pod.policy.containers.end() && policy->leaving) {
    shown.notes.push_back("what it was given is taken back, as far as its usage allows");
  }
  for (const PolicyProblem& problem : pod.policy.problems) shown.notes.push_back(problem.text);
  const auto found =
      std::find_if(pod.containers.begin(), pod.containers.end(),
                   [&](const NodeContainer& each) { return each.policy.name == container; });
  if (found == pod.containers.end()) {
    if (shown.notes.empty()) shown.notes.push_back("its cgroup has not been seen");
    return shown;
  }
  shown.floor = found->bounds.floor;
  shown.ceiling = found->bounds.ceiling;
  shown.actuation = to_string(found->policy.actuation);
  shown.limit = found->group.read_memory_max().value_or(kNoLimit);
  if (const auto usage = found->group.read_memory_current()) shown.usage = *usage;
  for (const Arming& arming : engine_.plan().arming) {
    if (arming.slot == found->slot) shown.denial = arming.armed.denial;
  }
  for (const ContainerSnapshot& seen : engine_.snapshot().containers) {
    if (seen.slot == found->slot) shown.reclaimable = seen.facts.reclaimable;
  }
  if (found->cpu && found->policy.cpu) {
    const auto max = found->group.read_cpu_max();
    const auto limit = max ? cgroup::cpus_of(*max) : std::nullopt;
    shown.notes.push_back("CPU limit " + (limit ? to_string(*limit) : std::string("unknown")) +
                          ", declared " + to_string(found->policy.cpu->floor) + ", at most " +
                          to_string(found->policy.cpu->ceiling) + " when throttled");
  }
  const ContainerResize* resize = pod.resize_of(container);
  if (resize == nullptr) return shown;
  if (resize->lease) {
    shown.notes.push_back("a lease of " + to_string(resize->lease->limit) + ": " +
                          std::string(to_string(resize->lease->why)));
  }
  if (resize->refused) shown.notes.push_back("refused: " + resize->refused->message);
  if (resize->resizable != kube::Resizability::kYes) {
    shown.notes.push_back(std::string(kube::explain(resize->resizable)));
  }
  return shown;
}

}  // namespace plimsoll::agent
