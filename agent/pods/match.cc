// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/match.h"

#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace plimsoll::agent {
namespace {

struct KernelView {
  std::unordered_map<std::string_view, const PodCgroup*> pods;        // by uid
  std::unordered_map<std::string_view, const PodCgroup*> containers;  // by container id

  explicit KernelView(const std::map<std::string, PodCgroup>& kernel) {
    for (const auto& [path, cgroup] : kernel) {
      if (cgroup.name.kind == CgroupKind::kPod) pods.emplace(cgroup.name.pod_uid, &cgroup);
      if (cgroup.name.kind == CgroupKind::kContainer) {
        containers.emplace(cgroup.name.container_id, &cgroup);
      }
    }
  }
  const PodCgroup* pod(std::string_view uid) const {
    const auto found = pods.find(uid);
    return found == pods.end() ? nullptr : found->second;
  }
};

// Of two pods that claim the same cgroup nobody can tell which has it: neither is here.
std::unordered_map<std::string, std::size_t> by_uid(std::span<const ApiPod> pods) {
  std::unordered_map<std::string, std::size_t> found;
  std::unordered_set<std::string> claimed;
  for (std::size_t i = 0; i < pods.size(); ++i) {
    const auto uid = cgroup_uid_of(pods[i]);
    if (uid && !found.emplace(*uid, i).second) claimed.insert(*uid);
  }
  for (const std::string& uid : claimed) found.erase(uid);
  return found;
}

}  // namespace

std::optional<std::string> cgroup_uid_of(const ApiPod& pod) {
  return canonical_pod_uid(pod.config_hash.empty() ? pod.uid : pod.config_hash);
}

std::vector<Match> join(const std::map<std::string, PodCgroup>& kernel,
                        std::span<const ApiPod> pods) {
  const KernelView view(kernel);
  std::vector<Match> matches;
  std::unordered_set<const PodCgroup*> matched;
  const auto pod_by_uid = by_uid(pods);
  for (std::size_t p = 0; p < pods.size(); ++p) {
    const auto told = cgroup_uid_of(pods[p]);
    const auto uid = told && pod_by_uid.contains(*told) ? told : std::nullopt;
    for (std::size_t c = 0; c < pods[p].containers.size(); ++c) {
      Match match{
          .known_to = KnownTo::kApi, .pod_uid = told.value_or(""), .pod = p, .container = c};
      if (uid) match.pod_cgroup = view.pod(*uid);
      const auto id = parse_status_container_id(pods[p].containers[c].container_id);
      const auto found = id && uid ? view.containers.find(id->id) : view.containers.end();
      if (found != view.containers.end() && found->second->name.pod_uid == match.pod_uid &&
          matched.insert(found->second).second) {
        match.known_to = KnownTo::kBoth;
        match.cgroup = found->second;
      }
      matches.push_back(std::move(match));
    }
  }
  for (const auto& [path, cgroup] : kernel) {
    if (cgroup.name.kind != CgroupKind::kContainer || matched.contains(&cgroup)) continue;
    const std::string& uid = cgroup.name.pod_uid;
    Match match;
    match.known_to = KnownTo::kKernel;
    match.pod_uid = uid;
    if (const auto pod = pod_by_uid.find(uid); pod != pod_by_uid.end()) match.pod = pod->second;
    match.cgroup = &cgroup;
    match.pod_cgroup = view.pod(uid);
    matches.push_back(std::move(match));
  }
  return matches;
}

}  // namespace plimsoll::agent
