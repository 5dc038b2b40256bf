// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_pods.h"

#include <algorithm>
#include <set>
#include <utility>

#include "agent/node/container_specs.h"
#include "agent/node/leaving.h"
#include "agent/node/pod_state.h"
#include "agent/pods/match.h"
#include "agent/state/declared_limits.h"
#include "kube/resize.h"

namespace plimsoll::agent {
namespace {

// As the kubelet would compute it from what is declared.
std::optional<Bytes> declared_pod_limit(const NodePod& pod) {
  kube::Pod as_declared = pod.pod;
  for (kube::Container& container : as_declared.containers) {
    const auto known = pod.declared.find(container.name);
    if (known == pod.declared.end() || !known->second.memory) continue;
    container.resources.limits.memory = known->second.memory;
  }
  return kube::pod_memory_limit(as_declared);
}

// The same of CPU; nullopt: the kubelet sets none.
std::optional<MilliCpu> declared_pod_cpu(const NodePod& pod) {
  const auto& policies = pod.policy.containers;
  const bool wanted = std::any_of(policies.begin(), policies.end(),
                                  [](const ContainerPolicy& each) { return each.cpu.has_value(); });
  if (!wanted) return std::nullopt;
  kube::Pod as_declared = pod.pod;
  for (kube::Container& container : as_declared.containers) {
    const auto known = pod.declared.find(container.name);
    if (known != pod.declared.end()) container.resources.limits.cpu = known->second.cpu;
  }
  return kube::pod_cpu_limit(as_declared);
}

// nullopt: its cgroup has no quota, or no CPU controller.
std::optional<GivenCpu> given_cpu(const cgroup::Group& group, MilliCpu declared,
                                  const LimitState* left) {
  const auto max = group.read_cpu_max();
  if (!max || !max->quota) return std::nullopt;
  if (left == nullptr || !left->cpu) {
    const auto burst = group.read_cpu_max_burst();
    return GivenCpu{.first = declared, .burst = burst ? std::optional(*burst) : std::nullopt};
  }
  return GivenCpu{.first = left->cpu->first_seen,
                  .reach = left->cpu->direct_ceiling,
                  .written = left->cpu->written,
                  .burst = left->cpu->burst};
}

std::string status_id(const kube::Pod& pod, const std::string& name) {
  const kube::Container* container = kube::find_container(pod, name);
  return container != nullptr && container->status ? container->status->id : std::string();
}

}  // namespace

NodePods::NodePods(const cgroup::Root& root, Engine& engine, const PodCgroups& cgroups,
                   NodeState left, NodeState declared)
    : root_(root),
      engine_(engine),
      cgroups_(cgroups),
      early_(root, cgroups),
      budgets_(engine),
      left_(std::move(left)),
      unseen_(std::move(declared)) {}

NodePod* NodePods::find(std::string_view uid) {
  const auto found = pods_.find(std::string(uid));
  return found == pods_.end() ? nullptr : &found->second;
}

const SlotOwner* NodePods::owner(Slot slot) const {
  const auto found = owners_.find(slot);
  return found == owners_.end() ? nullptr : &found->second;
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
    entry.resize.id = pod.id;
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
  leave(*pod);
  for (const NodeContainer& container : pod->containers) {
    detach(container);
    ended.push_back(container.subject);
  }
  detach_slice(*pod);
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
    if (follow(known->second.memory, each.floor) && container != nullptr) {
      container->first_limit = limit_of(*each.floor);
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
  budgets_.reconfigure(config);
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
  if (!std::all_of(pod.containers.begin(), pod.containers.end(), stays)) leave(pod);
  std::erase_if(pod.containers, [&](NodeContainer& container) {
    if (stays(container)) {
      container.policy = *policy_of(container.policy.name);
      container.container_id = status_id(pod.pod, container.policy.name);
      return false;
    }
    detach(container);
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
    if (auto attached = attach(pod, *match, *policy, config, changes); attached) {
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
  detach_slice(pod);
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

Result<void> NodePods::attach(NodePod& pod, const Match& match, const ContainerPolicy& policy,
                              const Config& config, Changes& changes) {
  if (is_crowded(pod.pod.id.namespace_name)) {
    return fail(Code::kUnavailable,
                "its namespace has so many containers that the rest of what can be watched is for "
                "others");
  }
  if (match.pod_cgroup != nullptr) {
    if (auto slice = attach_slice(pod, *match.pod_cgroup, changes); !slice) return slice;
  }
  auto group = root_.open_group(match.cgroup->path);
  if (!group) return tl::unexpected(group.error());
  auto readable = root_.open_group(match.cgroup->path);
  if (!readable) return tl::unexpected(readable.error());
  const auto limit = readable->read_memory_max();
  if (!limit) return tl::unexpected(limit.error());
  const LimitState* left = left_.find(match.cgroup->id);

  NodeContainer container{
      .subject = ref_of(pod.pod.id, policy.name),
      .policy = policy,
      .container_id = status_id(pod.pod, policy.name),
      .cgroup = *match.cgroup,
      .group = std::move(*readable),
      .first_limit = left != nullptr ? left->first_seen
                                     : limit_of(pod.declared[policy.name].memory.value_or(Bytes{})),
      .bounds = {.floor = policy.floor, .ceiling = policy.ceiling},
      .given = {.reach = left != nullptr ? left->direct_ceiling : Limit{0}},
      .written = left != nullptr ? left->written : std::nullopt,
      .allowed_before = left != nullptr ? Bytes{left->direct_ceiling.bytes} : Bytes{}};
  if (policy.cpu) {
    container.cpu = given_cpu(container.group, policy.cpu->floor, left);
    container.cpu_bounds = {.floor = policy.cpu->floor,
                            .ceiling = policy.cpu->most(),
                            .direct_floor = policy.cpu->floor};
  }
  // Those that the plan has said before this cgroup was there, and will not say again.
  if (const ContainerResize* known = pod.resize_of(policy.name)) {
    container.set_bounds(*known);
    if (known->cpu.bounds) container.set_cpu_bounds(*known->cpu.bounds);
  }
  const std::string& name_space = pod.pod.id.namespace_name;
  container.budget_group = budgets_.take(name_space, config);
  const ContainerSpec spec = spec_of(pod, container, {});
  const auto slot = engine_.track(std::move(*group), spec);
  if (!slot) {
    budgets_.give_back(name_space);
    return tl::unexpected(slot.error());
  }
  container.slot = *slot;
  container.given.spec = spec;
  own(*slot, SlotOwner{pod.pod.id.uid, policy.name}, changes);
  pod.containers.push_back(std::move(container));
  return {};
}

Result<void> NodePods::attach_slice(NodePod& pod, const PodCgroup& slice, Changes& changes) {
  if (pod.slice && pod.slice->cgroup.id == slice.id) return {};
  detach_slice(pod);
  auto group = root_.open_group(slice.path);
  if (!group) return tl::unexpected(group.error());
  const auto limit = group->read_memory_max();
  if (!limit) return tl::unexpected(limit.error());
  const LimitState* left = left_.find(slice.id);
  const auto wanted = declared_pod_limit(pod);
  const Limit declared = wanted ? limit_of(*wanted) : *limit;
  pod.slice = NodePod::Slice{.cgroup = slice,
                             .group = std::move(*group),
                             .first_limit = left != nullptr ? left->first_seen : declared,
                             .given = {.reach = left != nullptr ? left->direct_ceiling : Limit{0}},
                             .written = left != nullptr ? left->written : std::nullopt};
  if (const auto cpu = declared_pod_cpu(pod)) {
    pod.slice->cpu = given_cpu(pod.slice->group, *cpu, left);
  }
  pod.slice->parent = kubepods_slot(slice.path);
  // Not every container declares a limit: nothing to raise.
  if (limit->is_max() && !pod.slice->cpu) return {};
  auto tracked = root_.open_group(slice.path);
  if (!tracked) return tl::unexpected(tracked.error());
  const ContainerSpec spec = slice_spec_of(pod);
  const auto slot = engine_.track(std::move(*tracked), spec);
  if (!slot) return tl::unexpected(slot.error());
  pod.slice->slot = *slot;
  pod.slice->given.spec = spec;
  own(*slot, SlotOwner{pod.pod.id.uid, ""}, changes);
  return {};
}

// The engine gives the slot of a cgroup that has vanished to the next one, perhaps before we have
// seen that it has: whoever had it here has nothing to say about it any more.
void NodePods::own(Slot slot, SlotOwner owner, Changes& changes) {
  const auto before = owners_.find(slot);
  NodePod* pod = before == owners_.end() ? nullptr : find(before->second.uid);
  if (pod != nullptr) {
    if (pod->slice && pod->slice->slot == slot) pod->slice->slot.reset();
    std::erase_if(pod->containers, [&](const auto& each) {
      if (each.slot != slot) return false;
      budgets_.give_back(each.subject.name_space);
      changes.ended.push_back(each.subject);
      return true;
    });
    pod->due = true;
    stale_ = true;
  }
  owners_.insert_or_assign(slot, std::move(owner));
}

// The last quarter of all slots is for those that have not had a quarter yet.
bool NodePods::is_crowded(const std::string& name_space) const {
  constexpr std::size_t kQuarter = bpf::kMaxSlots / 4;
  return owners_.size() >= 3 * kQuarter && budgets_.containers_of(name_space) >= kQuarter;
}

void NodePods::detach(const NodeContainer& container) {
  budgets_.give_back(container.subject.name_space);
  engine_.untrack(container.slot);
  owners_.erase(container.slot);
}

void NodePods::detach_slice(NodePod& pod) {
  if (pod.slice && pod.slice->slot) {
    engine_.untrack(*pod.slice->slot);
    owners_.erase(*pod.slice->slot);
  }
  pod.slice.reset();
}

// The limit of all pods together binds whatever theirs say; it is the kubelet's and never changed.
std::optional<Slot> NodePods::kubepods_slot(const std::string& pod_path) {
  if (kubepods_known_) return kubepods_;
  for (std::size_t end = pod_path.find('/', 1); end != std::string::npos;
       end = pod_path.find('/', end + 1)) {
    const std::string path = pod_path.substr(0, end);
    if (parse_cgroup_name(path).kind != CgroupKind::kKubepods) continue;
    kubepods_known_ = true;
    auto group = root_.open_group(path);
    const auto limit = group ? group->read_memory_max() : tl::unexpected(group.error());
    if (!limit || limit->is_max()) break;
    const auto slot = engine_.track(std::move(*group), {.bounds = {.floor = {limit->bytes}}});
    if (slot) kubepods_ = *slot;
    break;
  }
  return kubepods_;
}

std::size_t NodePods::managed() const {
  return static_cast<std::size_t>(std::count_if(pods_.begin(), pods_.end(), [](const auto& entry) {
    return entry.second.policy.managed == Managed::kYes;
  }));
}

std::size_t NodePods::unanswered() const {
  std::size_t found = 0;
  for (const auto& [uid, pod] : pods_) found += pod.resize.unanswered_containers;
  return found;
}

void NodePods::leave(const NodePod& pod) {
  if (const auto entry = state_of(pod)) left_.add(*entry);
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

bool NodePods::is_kept(const NodePod& pod, const NodeState& saved) const {
  return explains(saved, {.boot_id = saved.boot_id, .pods = {hidden_limits_of(pod)}});
}

}  // namespace plimsoll::agent
