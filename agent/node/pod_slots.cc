// SPDX-License-Identifier: Apache-2.0
#include "agent/node/pod_slots.h"

#include "agent/node/container_specs.h"

namespace plimsoll::agent {
namespace {

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

}  // namespace

Result<void> PodSlots::attach(NodePod& pod, const Match& match, const ContainerPolicy& policy,
                              const Config& config, std::vector<ContainerRef>& ended) {
  if (is_crowded(pod.pod.id.namespace_name)) {
    return fail(Code::kUnavailable,
                "its namespace has so many containers that the rest of what can be watched is for "
                "others");
  }
  if (match.pod_cgroup != nullptr) {
    if (auto slice = attach_slice(pod, *match.pod_cgroup, ended); !slice) return slice;
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
      .container_id = pod.id_of(policy.name),
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
  own(*slot, SlotOwner{pod.pod.id.uid, policy.name}, ended);
  pod.containers.push_back(std::move(container));
  return {};
}

Result<void> PodSlots::attach_slice(NodePod& pod, const PodCgroup& slice,
                                    std::vector<ContainerRef>& ended) {
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
  own(*slot, SlotOwner{pod.pod.id.uid, ""}, ended);
  return {};
}

// The engine gives the slot of a cgroup that has vanished to the next one, perhaps before we have
// seen that it has: whoever had it here has nothing to say about it any more.
void PodSlots::own(Slot slot, SlotOwner owner, std::vector<ContainerRef>& ended) {
  const auto before = owners_.find(slot);
  const auto found = before == owners_.end() ? pods_.end() : pods_.find(before->second.uid);
  if (found != pods_.end()) {
    NodePod* pod = &found->second;
    if (pod->slice && pod->slice->slot == slot) pod->slice->slot.reset();
    std::erase_if(pod->containers, [&](const auto& each) {
      if (each.slot != slot) return false;
      budgets_.give_back(each.subject.name_space);
      ended.push_back(each.subject);
      return true;
    });
    pod->due = true;
    lost_ = true;
  }
  owners_.insert_or_assign(slot, std::move(owner));
}

// The last quarter of all slots is for those that have not had a quarter yet.
bool PodSlots::is_crowded(const std::string& name_space) const {
  constexpr std::size_t kQuarter = bpf::kMaxSlots / 4;
  return owners_.size() >= 3 * kQuarter && budgets_.containers_of(name_space) >= kQuarter;
}

void PodSlots::detach(const NodeContainer& container) {
  budgets_.give_back(container.subject.name_space);
  engine_.untrack(container.slot);
  owners_.erase(container.slot);
}

void PodSlots::detach_slice(NodePod& pod) {
  if (pod.slice && pod.slice->slot) {
    engine_.untrack(*pod.slice->slot);
    owners_.erase(*pod.slice->slot);
  }
  pod.slice.reset();
}

// The limit of all pods together binds whatever theirs say; it is the kubelet's and never changed.
std::optional<Slot> PodSlots::kubepods_slot(const std::string& pod_path) {
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

const SlotOwner* PodSlots::owner(Slot slot) const {
  const auto found = owners_.find(slot);
  return found == owners_.end() ? nullptr : &found->second;
}

}  // namespace plimsoll::agent
