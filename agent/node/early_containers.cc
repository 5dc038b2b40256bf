// SPDX-License-Identifier: Apache-2.0
#include "agent/node/early_containers.h"

#include <algorithm>

#include "cgroup/value.h"

namespace plimsoll::agent {
namespace {

// The runtime writes the limits some milliseconds after it has made the cgroup.
constexpr Nanoseconds kLookAgain = std::chrono::milliseconds(10);
// Whoever has not by then waits for the watch to tell of another spec: looked at ever less often.
constexpr Nanoseconds kLookSeldom = std::chrono::milliseconds(250);
// What has no limits by then is a pause container, or none of ours.
constexpr Nanoseconds kGiveUp = std::chrono::seconds(2);
// systemd rounds a quota up to 10 ms of each second.
constexpr MilliCpu kQuotaRounding{10};

bool is_boosted(const NodePod& pod, std::string_view container) {
  const auto& policies = pod.policy.containers;
  return std::any_of(policies.begin(), policies.end(), [&](const ContainerPolicy& each) {
    return each.name == container && each.cpu && each.cpu->boost > each.cpu->floor;
  });
}

std::string status_id_of(const CgroupName& name) {
  switch (name.runtime) {
    case ContainerRuntime::kCrio:
      return "cri-o://" + name.container_id;
    case ContainerRuntime::kDocker:
      return "docker://" + name.container_id;
    case ContainerRuntime::kContainerd:
    case ContainerRuntime::kUnknown:  // ids are compared without the runtime's name
      break;
  }
  return "containerd://" + name.container_id;
}

// What a write of the container's limits reads as.
bool has_limits_of(const kube::Resources& resources, Limit memory, const cgroup::CpuMax& cpu) {
  const auto cpus = cgroup::cpus_of(cpu);
  if (!resources.limits.memory || !resources.limits.cpu || !cpus || memory.is_max()) return false;
  return cgroup::reads_as(memory, *resources.limits.memory) && *cpus >= *resources.limits.cpu &&
         *cpus <= *resources.limits.cpu + kQuotaRounding;
}

}  // namespace

bool will_be_boosted(const NodePod& pod) {
  const auto& containers = pod.pod.containers;
  return std::any_of(containers.begin(), containers.end(),
                     [&](const auto& each) { return is_boosted(pod, each.name); });
}

// One of its containers has no cgroup, as far as is known, and may be boosted when it gets one.
bool EarlyContainers::awaits_start(const NodePod& pod) const {
  const auto& containers = pod.pod.containers;
  return std::any_of(containers.begin(), containers.end(), [&](const kube::Container& each) {
    return begins(each) && is_boosted(pod, each.name);
  });
}

// Init containers too, until they have ended: what has the limits of one may be it.
bool EarlyContainers::begins(const kube::Container& container) const {
  if (!container.status) return true;
  const bool over = container.kind == kube::ContainerKind::kInit &&
                    container.status->state == kube::ContainerState::kTerminated;
  return !over && (container.status->id.empty() || !has_cgroup(container.status->id));
}

bool EarlyContainers::has_cgroup(std::string_view status_id) const {
  const auto id = parse_status_container_id(status_id);
  const auto& all = cgroups_.all();
  return id && std::any_of(all.begin(), all.end(), [&](const auto& entry) {
           return entry.second.name.kind == CgroupKind::kContainer &&
                  entry.second.name.container_id == id->id;
         });
}

// The one container of the pod that has no cgroup yet and declares what this one has. The spec is
// what the kubelet creates it with, raised by us or not.
const kube::Container* EarlyContainers::begun_in(const NodePod& pod,
                                                 const PodCgroup& cgroup) const {
  const auto group = root_.open_group(cgroup.path);
  if (!group) return nullptr;
  const auto memory = group->read_memory_max();
  const auto cpu = group->read_cpu_max();
  if (!memory || !cpu) return nullptr;
  const kube::Container* found = nullptr;
  for (const kube::Container& each : pod.pod.containers) {
    if (!begins(each) || !has_limits_of(each.resources, *memory, *cpu)) continue;
    if (found != nullptr) return nullptr;  // the kubelet will tell which
    found = &each;
  }
  return found != nullptr && is_boosted(pod, found->name) ? found : nullptr;
}

// True: some pod has an id that it had not.
bool EarlyContainers::identify(std::span<const Match> matches, const std::vector<NodePod*>& order,
                               MonotonicTime now) {
  bool changed = false;
  look_again_.reset();
  std::erase_if(unknown_, [&](const auto& each) { return cgroups_.find(each.first) == nullptr; });
  for (const Match& match : matches) {
    if (match.known_to != KnownTo::kKernel || !match.pod) continue;
    NodePod& pod = *order[*match.pod];
    if (!awaits_start(pod)) continue;
    const auto since = unknown_.emplace(match.cgroup->id, now).first->second;
    if (now - since >= kGiveUp) continue;
    if (const kube::Container* container = begun_in(pod, *match.cgroup)) {
      pod.early_ids.insert_or_assign(container->name, status_id_of(match.cgroup->name));
      put_ids(pod);
      pod.due = true;
      changed = true;
    } else {
      const MonotonicTime again = now + std::clamp((now - since) / 2, kLookAgain, kLookSeldom);
      look_again_ = look_again_ ? std::min(*look_again_, again) : again;
    }
  }
  return changed;
}

// Until the kubelet tells, or the cgroup is gone.
void EarlyContainers::put_ids(NodePod& pod) const {
  for (kube::Container& container : pod.pod.containers) {
    const auto early = pod.early_ids.find(container.name);
    if (early == pod.early_ids.end()) continue;
    const std::string said = container.status ? container.status->id : std::string();
    if (said == early->second) continue;
    // It tells of another one that is there, or this one has ended before it could tell.
    if (has_cgroup(said) || !has_cgroup(early->second)) {
      pod.early_ids.erase(early);
      continue;
    }
    // Not running and not ready, as far as the kubelet has said.
    container.status = kube::ContainerStatus{
        .id = early->second,
        .restart_count = container.status ? container.status->restart_count : 0};
  }
}

}  // namespace plimsoll::agent
