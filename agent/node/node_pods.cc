// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_pods.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agent/node/leaving.h"
#include "agent/node/pod_state.h"
#include "agent/pods/match.h"
#include "agent/state/declared_limits.h"

namespace plimsoll::agent {

NodePods::NodePods(const cgroup::Root& root, Engine& engine, const PodCgroups& cgroups,
                   NodeState left, NodeState declared)
    : cgroups_(cgroups),
      early_(root, cgroups),
      left_(std::move(left)),
      unseen_(std::move(declared)),
      slots_(root, engine, pods_, left_) {}

NodePod* NodePods::find(std::string_view uid) {
  const auto found = pods_.find(std::string(uid));
  return found == pods_.end() ? nullptr : &found->second;
}

void NodePods::present(kube::Pod pod, const Config& config) {
  const auto [at, is_new] = pods_.try_emplace(pod.id.uid);
  NodePod& entry = at->second;
  // A relist tells all of them again.
  if (!is_new && entry.pod == pod) return;
  if (is_new) {
    const PodState* record = find_pod(unseen_, pod);
    entry.declared = declared_limits(pod, record);
    std::erase_if(unseen_.pods, [&](const PodState& each) { return &each == record; });
    entry.was_declared = record != nullptr;
    entry.resize.id = pod.id;
  } else if (entry.policy.managed != Managed::kYes && entry.resize.containers.empty() &&
             !entry.was_declared) {
    // It was let alone until now: whatever was changed is somebody's declaration.
    entry.declared = declared_limits(pod, nullptr);
  }
  entry.pod = std::move(pod);
  early_.put_ids(entry);
  entry.stored = {.memory = kube::pod_memory_limit(entry.pod),
                  .cpu = kube::pod_cpu_limit(entry.pod)};
  entry.policy = policy_for(facts_of(entry.pod, entry.declared), config);
  entry.due = true;
  stale_ = true;
}

std::vector<ContainerRef> NodePods::gone(const std::string& uid) {
  std::vector<ContainerRef> ended;
  NodePod* pod = find(uid);
  if (pod == nullptr) return ended;
  if (const auto entry = state_of(*pod)) left_.add(*entry);
  for (const NodeContainer& container : pod->containers) {
    slots_.detach(container);
    ended.push_back(container.subject);
  }
  slots_.detach_slice(*pod);
  pods_.erase(uid);
  return ended;
}

void NodePods::redeclare(NodePod& pod, const Config& config) {
  bool changed = false;
  const auto follow = [&](auto& declared, const auto& floor) {
    if (!declared || !floor || declared == floor) return false;
    declared = floor;
    changed = true;
    return true;
  };
  for (const ContainerResize& each : pod.resize.containers) {
    const auto known = pod.declared.find(each.name);
    if (known == pod.declared.end()) continue;
    NodeContainer* container = pod.find(each.name);
    if (follow(known->second.memory, each.memory.floor) && container != nullptr) {
      container->first_limit = limit_of(*each.memory.floor);
    }
    if (follow(known->second.cpu, each.cpu.floor) && container != nullptr && container->cpu) {
      container->cpu->first = *each.cpu.floor;
    }
  }
  if (!changed) return;
  if (pod.slice) {
    if (const auto memory = declared_pod_limit(pod)) pod.slice->first_limit = limit_of(*memory);
    const auto cpu = pod.slice->cpu ? declared_pod_cpu(pod) : std::nullopt;
    if (cpu) pod.slice->cpu->first = *cpu;
  }
  pod.policy = policy_for(facts_of(pod.pod, pod.declared), config);
  pod.due = true;
  stale_ = true;
}

void NodePods::reconfigure(const Config& config) {
  for (auto& [uid, pod] : pods_) {
    pod.policy = policy_for(facts_of(pod.pod, pod.declared), config);
    pod.due = true;
  }
  slots_.reconfigure(config);
  stale_ = true;
}

NodePods::Changes NodePods::reconcile(const Config& config, MonotonicTime now) {
  Changes changes;
  if (early_.look_again() && *early_.look_again() <= now) stale_ = true;
  if (!std::exchange(stale_, false)) return changes;
  std::vector<ApiPod> api;
  std::vector<NodePod*> order;
  for (auto& [uid, pod] : pods_) {
    api.push_back(api_pod_of(pod.pod));
    order.push_back(&pod);
  }
  std::vector<Match> matches = join(cgroups_.all(), api);
  if (early_.identify(matches, order, now)) {
    for (std::size_t i = 0; i < order.size(); ++i) api[i] = api_pod_of(order[i]->pod);
    matches = join(cgroups_.all(), api);
  }
  std::vector<std::map<std::string, const Match*>> by_pod(order.size());
  for (const Match& match : matches) {
    if (match.known_to != KnownTo::kBoth) continue;
    by_pod[*match.pod].emplace(api[*match.pod].containers[*match.container].name, &match);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    reconcile_pod(*order[i], by_pod[i], config, changes);
  }
  stale_ = slots_.take_lost();
  std::set<CgroupId> tracked;
  for (const auto& [uid, pod] : pods_) {
    if (pod.slice && pod.slice->slot) tracked.insert(pod.slice->cgroup.id);
    for (const NodeContainer& container : pod.containers) tracked.insert(container.cgroup.id);
  }
  left_.drop(tracked, cgroups_);
  return changes;
}

void NodePods::reconcile_pod(NodePod& pod, const std::map<std::string, const Match*>& matches,
                             const Config& config, Changes& changes) {
  for (const PolicyProblem& problem : pod.policy.problems) {
    const auto told = std::find(pod.told.begin(), pod.told.end(), problem);
    if (told == pod.told.end()) changes.problems.emplace_back(ref_of(pod.pod.id, ""), problem);
  }
  // Not those of before: their texts are the author's, and have no end.
  pod.told = pod.policy.problems;
  keep_leaving(pod, matches, config);
  const auto policy_of = [&](const std::string& name) -> const ContainerPolicy* {
    const auto found =
        std::find_if(pod.policy.containers.begin(), pod.policy.containers.end(),
                     [&](const ContainerPolicy& policy) { return policy.name == name; });
    if (found == pod.policy.containers.end()) return nullptr;
    const bool managed = pod.policy.managed == Managed::kYes && found->managed == Managed::kYes;
    return managed || found->leaving ? &*found : nullptr;
  };
  // First what is not there any more: a container that was restarted is another cgroup.
  const auto stays = [&](const NodeContainer& container) {
    const auto match = matches.find(container.policy.name);
    const ContainerPolicy* policy = policy_of(container.policy.name);
    // What the engine keeps of it is settled when it is tracked.
    return policy != nullptr && match != matches.end() &&
           match->second->cgroup->id == container.cgroup.id &&
           policy->cpu.has_value() == container.policy.cpu.has_value();
  };
  if (!std::all_of(pod.containers.begin(), pod.containers.end(), stays)) {
    if (const auto before = state_of(pod)) left_.add(*before);
  }
  std::erase_if(pod.containers, [&](NodeContainer& container) {
    if (stays(container)) {
      container.policy = *policy_of(container.policy.name);
      container.container_id = pod.id_of(container.policy.name);
      return false;
    }
    slots_.detach(container);
    // It is there and has nothing of ours.
    if (policy_of(container.policy.name) == nullptr) left_.forget(container.cgroup.id);
    changes.ended.push_back(container.subject);
    pod.due = true;
    return true;
  });
  for (const auto& [name, match] : matches) {
    const ContainerPolicy* policy = policy_of(name);
    if (policy == nullptr || pod.find(name) != nullptr) continue;
    const ContainerRef subject = ref_of(pod.pod.id, name);
    if (auto attached = slots_.attach(pod, *match, *policy, config, changes.ended); attached) {
      pod.failed.erase(name);
      changes.began.push_back(subject);
      pod.due = true;
    } else if (attached.error().code != Code::kGone && pod.failed.insert(name).second) {
      changes.failed.emplace_back(subject, attached.error());
    }
  }
  if (!pod.containers.empty()) return;
  if (pod.slice && pod.policy.managed != Managed::kYes &&
      !slice_debt(pod, reach_of(*pod.slice)).any()) {
    left_.forget(pod.slice->cgroup.id);
  }
  slots_.detach_slice(pod);
}

// Whoever may not be raised any more, and has been, gets a policy that brings it back.
void NodePods::keep_leaving(NodePod& pod, const std::map<std::string, const Match*>& matches,
                            const Config& config) {
  if (pod.leaves()) pod.policy = policy_for(facts_of(pod.pod, pod.declared), config);
  const auto raises = [&](const ContainerPolicy& each) {
    return pod.policy.managed == Managed::kYes && each.managed == Managed::kYes && !each.dry_run;
  };
  auto& policies = pod.policy.containers;
  const bool raised = std::any_of(policies.begin(), policies.end(), raises);
  for (ContainerPolicy& policy : policies) {
    const auto match = matches.find(policy.name);
    const kube::Container* container = kube::find_container(pod.pod, policy.name);
    if (match == matches.end() || container == nullptr) continue;
    const auto known = pod.declared.find(policy.name);
    const DeclaredLimit declared = known == pod.declared.end() ? DeclaredLimit{} : known->second;
    const Debt debt = debt_of(pod, *container, reach_in(pod, *match->second));
    if (raises(policy)) {
      if (!policy.cpu && debt.cpu) policy.cpu = leaving_cpu(*declared.cpu);
      continue;
    }
    if (!declared.memory) continue;
    const PodCgroup* above = match->second->pod_cgroup;
    const Debt pods = raised ? Debt{} : slice_debt(pod, slice_reach(pod, above));
    if (!debt.any() && !pods.any()) continue;
    const NodeContainer* tracked = pod.find(policy.name);
    const bool cpu = debt.cpu || pods.cpu || (tracked != nullptr && tracked->policy.cpu);
    policy = leaving_policy(policy.name, policy.managed, *declared.memory,
                            cpu ? declared.cpu : std::nullopt);
  }
}

// Of the container that `match` is, and of its pod's own cgroup: tracked, or left from before.
Reach NodePods::reach_in(const NodePod& pod, const Match& match) const {
  for (const NodeContainer& container : pod.containers) {
    if (container.cgroup.id == match.cgroup->id) return reach_of(container);
  }
  const LimitState* left = left_.find(match.cgroup->id);
  return left == nullptr ? Reach{} : reach_of(*left);
}

Reach NodePods::slice_reach(const NodePod& pod, const PodCgroup* slice) const {
  if (pod.slice) return reach_of(*pod.slice);
  const LimitState* left = slice == nullptr ? nullptr : left_.find(slice->id);
  return left == nullptr ? Reach{} : reach_of(*left);
}

std::size_t NodePods::managed() const {
  return static_cast<std::size_t>(std::count_if(pods_.begin(), pods_.end(), [](const auto& entry) {
    return entry.second.policy.managed == Managed::kYes;
  }));
}

NodeState NodePods::state() const {
  NodeState state;
  for (const auto& [uid, pod] : pods_) {
    if (auto entry = state_of(pod)) state.pods.push_back(std::move(*entry));
  }
  left_.add_to(state);
  return state;
}

NodeState NodePods::hidden_limits() const {
  NodeState hidden = unseen_;
  for (const auto& [uid, pod] : pods_) {
    PodState entry = hidden_limits_of(pod);
    if (!entry.containers.empty()) hidden.pods.push_back(std::move(entry));
  }
  std::sort(hidden.pods.begin(), hidden.pods.end(),
            [](const PodState& a, const PodState& b) { return a.uid < b.uid; });
  return hidden;
}

}  // namespace plimsoll::agent
