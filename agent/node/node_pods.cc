// SPDX-License-Identifier: Apache-2.0
#include "agent/node/node_pods.h"

#include <algorithm>
#include <utility>

#include "agent/node/leaving.h"

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
  return GivenCpu{.first = left->cpu->floor,
                  .reach = left->cpu->direct_ceiling,
                  .written = left->cpu->written,
                  .burst = left->cpu->burst};
}

Bytes above(Bytes value, Bytes floor) { return value - floor; }

std::string status_id(const kube::Pod& pod, const std::string& name) {
  const kube::Container* container = kube::find_container(pod, name);
  return container != nullptr && container->status ? container->status->id : std::string();
}

}  // namespace

NodeContainer* NodePod::find(std::string_view container) {
  const auto found = std::find_if(
      containers.begin(), containers.end(),
      [&](const NodeContainer& candidate) { return candidate.policy.name == container; });
  return found == containers.end() ? nullptr : &*found;
}

const ContainerResize* NodePod::resize_of(std::string_view container) const {
  const auto found =
      std::find_if(resize.containers.begin(), resize.containers.end(),
                   [&](const ContainerResize& each) { return each.name == container; });
  return found == resize.containers.end() ? nullptr : &*found;
}

bool NodePod::leaves() const {
  const auto& policies = policy.containers;
  return std::any_of(policies.begin(), policies.end(), [](const ContainerPolicy& each) {
    return each.leaving || (each.cpu && each.cpu->leaves());
  });
}

void NodeContainer::set_cpu_bounds(const CpuBounds& wanted) {
  cpu_bounds = wanted;
  if (cpu) cpu->reach = std::max(cpu->reach, wanted.direct_ceiling);
}

NodePods::NodePods(const cgroup::Root& root, Engine& engine, const PodCgroups& cgroups,
                   NodeState left, NodeState floors)
    : root_(root),
      engine_(engine),
      cgroups_(cgroups),
      left_(std::move(left)),
      unseen_floors_(std::move(floors)) {}

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
    const PodState* record = find_pod(unseen_floors_, pod);
    entry.declared = declared_limits(pod, record);
    std::erase_if(unseen_floors_.pods, [&](const PodState& each) { return &each == record; });
    entry.resize.id = pod.id;
  }
  entry.pod = std::move(pod);
  put_early_ids(entry);
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

void NodePods::reconfigure(const Config& config) {
  for (auto& [uid, pod] : pods_) {
    pod.policy = policy_for(facts_of(pod.pod, pod.declared), config);
    pod.due = true;
  }
  for (const auto& [name, group] : groups_) set_group_limit(name, group, config);
  stale_ = true;
}

NodePods::Changes NodePods::settle(const Config& config, MonotonicTime now) {
  Changes changes;
  if (look_again_ && *look_again_ <= now) stale_ = true;
  if (!std::exchange(stale_, false)) return changes;
  std::vector<ApiPod> api;
  std::vector<NodePod*> order;
  for (auto& [uid, pod] : pods_) {
    api.push_back(api_pod_of(pod.pod));
    order.push_back(&pod);
  }
  std::vector<Match> matches = join(cgroups_.all(), api);
  if (identify(matches, order, now)) {
    for (std::size_t i = 0; i < order.size(); ++i) api[i] = api_pod_of(order[i]->pod);
    matches = join(cgroups_.all(), api);
  }
  std::vector<std::map<std::string, const Match*>> by_pod(order.size());
  for (const Match& match : matches) {
    if (match.known_to != KnownTo::kBoth) continue;
    by_pod[*match.pod].emplace(api[*match.pod].containers[*match.container].name, &match);
  }
  for (std::size_t i = 0; i < order.size(); ++i) {
    settle_pod(*order[i], by_pod[i], config, changes);
  }
  drop_left();
  return changes;
}

void NodePods::settle_pod(NodePod& pod, const std::map<std::string, const Match*>& matches,
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
    if (policy_of(container.policy.name) == nullptr) forget_left(container.cgroup.id);
    changes.ended.push_back(container.subject);
    pod.due = true;
    return true;
  });
  for (const auto& [name, match] : matches) {
    const ContainerPolicy* policy = policy_of(name);
    if (policy == nullptr || pod.find(name) != nullptr) continue;
    const ContainerRef subject = ref_of(pod.pod.id, name);
    if (auto attached = attach(pod, *match, *policy, config, changes); attached) {
      changes.began.push_back(subject);
      pod.due = true;
    } else if (attached.error().code != Code::kGone) {
      changes.failed.emplace_back(subject, attached.error());
    }
  }
  if (!pod.containers.empty()) return;
  if (pod.slice && pod.policy.managed != Managed::kYes &&
      !slice_debt(pod, reach_of(*pod.slice)).any()) {
    forget_left(pod.slice->cgroup.id);
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
  const LimitState* left = find_limit(left_, match.cgroup->id);
  return left == nullptr ? Reach{} : reach_of(*left);
}

Reach NodePods::slice_reach(const NodePod& pod, const PodCgroup* slice) const {
  if (pod.slice) return reach_of(*pod.slice);
  const LimitState* left = slice == nullptr ? nullptr : find_limit(left_, slice->id);
  return left == nullptr ? Reach{} : reach_of(*left);
}

void NodePods::bring_cpu_back(Slot slot, const cgroup::Group& group, MilliCpu stored,
                              MonotonicTime now, const GivenBounds& given, GivenCpu& cpu) {
  const auto max = group.read_cpu_max();
  const auto limit = max ? cgroup::cpus_of(*max) : std::nullopt;
  if (limit && *limit > as_written(stored)) {
    (void)engine_.lower(slot, stored, Reason::kWithdrawn);
  } else if (given.is_obeyed(now)) {
    cpu.reach = {};
  }
}

void NodePods::bring_back(NodePod& pod, MonotonicTime now) {
  bool owes = false;
  for (NodeContainer& container : pod.containers) {
    const kube::Container* seen = kube::find_container(pod.pod, container.policy.name);
    if (seen == nullptr) continue;
    const bool cpu_leaves = container.policy.cpu && container.policy.cpu->leaves();
    if (container.cpu && cpu_leaves) {
      bring_cpu_back(container.slot, container.group,
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
    const auto stored = kube::pod_memory_limit(pod.pod);
    const auto limit = slice.group.read_memory_max();
    if (stored && limit && !limit->is_max() && *limit > limit_of(*stored)) {
      (void)engine_.lower(*slice.slot, *stored, Reason::kWithdrawn);
    }
    if (slice.cpu) {
      bring_cpu_back(*slice.slot, slice.group, kube::pod_cpu_limit(pod.pod).value_or(MilliCpu{}),
                     now, slice.given, *slice.cpu);
    }
    owes = slice_debt(pod, reach_of(slice)).any();
  }
  if (!owes) stale_ = true;
}

Result<void> NodePods::attach(NodePod& pod, const Match& match, const ContainerPolicy& policy,
                              const Config& config, Changes& changes) {
  if (match.pod_cgroup != nullptr) {
    if (auto slice = attach_slice(pod, *match.pod_cgroup, changes); !slice) return slice;
  }
  auto group = root_.open_group(match.cgroup->path);
  if (!group) return tl::unexpected(group.error());
  auto readable = root_.open_group(match.cgroup->path);
  if (!readable) return tl::unexpected(readable.error());
  const auto limit = readable->read_memory_max();
  if (!limit) return tl::unexpected(limit.error());
  const LimitState* left = find_limit(left_, match.cgroup->id);

  NodeContainer container{
      .subject = ref_of(pod.pod.id, policy.name),
      .policy = policy,
      .container_id = status_id(pod.pod, policy.name),
      .cgroup = *match.cgroup,
      .group = std::move(*readable),
      .first_limit = left != nullptr ? left->floor
                                     : limit_of(pod.declared[policy.name].memory.value_or(Bytes{})),
      .bounds = {.floor = policy.floor, .ceiling = policy.ceiling},
      .given = {.reach = left != nullptr ? left->direct_ceiling : Limit{0}},
      .written = left != nullptr ? left->written : std::nullopt};
  if (policy.cpu) {
    container.cpu = given_cpu(container.group, policy.cpu->floor, left);
    container.cpu_bounds = {.floor = policy.cpu->floor,
                            .ceiling = policy.cpu->most(),
                            .direct_floor = policy.cpu->floor};
  }
  // Those that the plan has said before this cgroup was there, and will not say again.
  if (const ContainerResize* known = pod.resize_of(policy.name)) {
    if (known->bounds) container.bounds = *known->bounds;
    if (known->cpu.bounds) container.set_cpu_bounds(*known->cpu.bounds);
  }
  container.budget_group = group_of(pod.pod.id.namespace_name, config);
  const ContainerSpec spec = spec_of(pod, container, {});
  const auto slot = engine_.track(std::move(*group), spec);
  if (!slot) return tl::unexpected(slot.error());
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
  const LimitState* left = find_limit(left_, slice.id);
  const auto wanted = declared_pod_limit(pod);
  const Limit declared = wanted ? limit_of(*wanted) : *limit;
  pod.slice = NodePod::Slice{.cgroup = slice,
                             .group = std::move(*group),
                             .first_limit = left != nullptr ? left->floor : declared,
                             .given = {.reach = left != nullptr ? left->direct_ceiling : Limit{0}},
                             .written = left != nullptr ? left->written : std::nullopt};
  if (const auto cpu = declared_pod_cpu(pod)) {
    pod.slice->cpu = given_cpu(pod.slice->group, *cpu, left);
  }
  kubepods_slot(slice.path);
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
      if (each.slot == slot) changes.ended.push_back(each.subject);
      return each.slot == slot;
    });
    pod->due = true;
    stale_ = true;
  }
  owners_.insert_or_assign(slot, std::move(owner));
}

void NodePods::detach(const NodeContainer& container) {
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

BudgetGroup NodePods::group_of(const std::string& name_space, const Config& config) {
  const auto known = groups_.find(name_space);
  if (known != groups_.end()) return known->second;
  // Beyond the engine's number of groups nothing tells namespaces apart, so they share the last.
  const auto next = std::min<std::size_t>(groups_.size() + 1, kMaxGroups - 1);
  const auto group = static_cast<BudgetGroup>(next);
  groups_.emplace(name_space, group);
  set_group_limit(name_space, group, config);
  return group;
}

void NodePods::set_group_limit(const std::string& name_space, BudgetGroup group,
                               const Config& config) {
  const auto& budgets = config.node.budget.namespaces;
  const auto own = budgets.find(name_space);
  const std::optional<Bytes> limit =
      own != budgets.end() ? std::optional(own->second) : config.node.budget.namespace_default;
  engine_.set_group_limit(group, limit ? limit_of(*limit) : kNoLimit);
}

ContainerSpec NodePods::spec_of(const NodePod& pod, const NodeContainer& container,
                                Nanoseconds api_time) const {
  std::optional<CpuSpec> cpu;
  if (container.cpu && container.policy.cpu) {
    const CpuBounds& bounds = container.cpu_bounds;
    cpu = CpuSpec{
        .bounds = {.floor = bounds.floor,
                   .ceiling = std::min(std::max(container.policy.cpu->ceiling, bounds.floor),
                                       bounds.ceiling),
                   .direct_ceiling = MilliCpu{},
                   .direct_floor = bounds.direct_floor},
        .promised = container.policy.cpu->promised};
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

ContainerSpec NodePods::slice_spec_of(const NodePod& pod) const {
  const Bytes floor{pod.slice->first_limit.bytes};
  ContainerSpec spec{.bounds = {.floor = floor,
                                .ceiling = floor,
                                .direct_ceiling = floor,
                                .direct_floor = kube::pod_memory_limit(pod.pod)},
                     .parent = kubepods_,
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

std::optional<CpuSpec> NodePods::slice_cpu_of(const NodePod& pod) const {
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

bool NodePods::give_bounds(const Covers& covers, Nanoseconds api_time, MonotonicTime now) {
  bool all = true;
  const auto give = [&](Slot slot, CgroupId id, ContainerSpec spec, Bytes direct, MilliCpu cpu,
                        GivenBounds& given, std::optional<GivenCpu>& kept) {
    const bool covered = direct == Bytes{} || covers.memory(id, limit_of(direct));
    spec.bounds.direct_ceiling = covered ? direct : Bytes{};
    const bool cpu_covered = !spec.cpu || cpu == MilliCpu{} || covers.cpu(id, cpu);
    if (spec.cpu) spec.cpu->bounds.direct_ceiling = cpu_covered ? cpu : MilliCpu{};
    all = all && covered && cpu_covered;
    if (given.spec == spec || !engine_.update(slot, spec)) return;
    given.spec = spec;
    given.at = now;
    given.reach = std::max(given.reach, limit_of(*spec.bounds.direct_ceiling));
    if (kept && spec.cpu) kept->reach = std::max(kept->reach, *spec.cpu->bounds.direct_ceiling);
  };
  for (auto& [uid, pod] : pods_) {
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

std::size_t NodePods::managed() const {
  return static_cast<std::size_t>(std::count_if(pods_.begin(), pods_.end(), [](const auto& entry) {
    return entry.second.policy.managed == Managed::kYes;
  }));
}

void GivenBounds::saw(Limit limit, Limit stored, MonotonicTime now) {
  const Limit most = limit_of(spec ? spec->bounds.direct_ceiling.value_or(Bytes{}) : Bytes{});
  // Nobody here writes "max".
  const bool ours = limit > std::max(most, stored) && !limit.is_max();
  if (!ours && is_obeyed(now)) reach = most;
}

PodReading NodePods::read(NodePod& pod, MonotonicTime now) const {
  const auto reading_of = [](const cgroup::Group& group) -> std::optional<CgroupReading> {
    const auto limit = group.read_memory_max();
    const auto usage = group.read_memory_current();
    if (!limit || !usage) return std::nullopt;
    return CgroupReading{*limit, *usage};
  };
  PodReading reading{.at = now};
  if (pod.slice) reading.slice = reading_of(pod.slice->group);
  if (reading.slice) {
    const auto stored = kube::pod_memory_limit(pod.pod);
    pod.slice->given.saw(reading.slice->limit, limit_of(stored.value_or(Bytes{})), now);
  }
  for (NodeContainer& container : pod.containers) {
    const auto memory = reading_of(container.group);
    if (!memory) continue;
    const kube::Container* seen = kube::find_container(pod.pod, container.policy.name);
    const auto stored = seen == nullptr ? std::nullopt : seen->resources.limits.memory;
    container.given.saw(memory->limit, limit_of(stored.value_or(Bytes{})), now);
    reading.containers.push_back({.container = container.policy.name,
                                  .container_id = container.container_id,
                                  .memory = *memory});
  }
  return reading;
}

}  // namespace plimsoll::agent
