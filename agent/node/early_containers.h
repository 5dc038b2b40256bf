// SPDX-License-Identifier: Apache-2.0
//
// Containers that are known before the kubelet tells their ids: a start-up boost has to be there
// before the first process counts its CPUs, and the status comes after that. What has a pod's
// cgroup and the limits of exactly one of its containers is that container. Owned by the slow loop.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "agent/node/node_pod.h"
#include "agent/pods/match.h"
#include "agent/pods/pod_cgroups.h"
#include "base/units.h"
#include "cgroup/root.h"
#include "kube/pod.h"

namespace plimsoll::agent {

// A container of it may be given more CPU as soon as it starts.
bool will_be_boosted(const NodePod& pod);

class EarlyContainers {
 public:
  // Both outlive it.
  EarlyContainers(const cgroup::Root& root, const PodCgroups& cgroups)
      : root_(root), cgroups_(cgroups) {}
  EarlyContainers(const EarlyContainers&) = delete;
  EarlyContainers& operator=(const EarlyContainers&) = delete;
  ~EarlyContainers() = default;

  // Reads the files of cgroups that the API has not told of. `order`: the pods of the matches.
  // True: some pod has an id that it had not.
  bool identify(std::span<const Match> matches, const std::vector<NodePod*>& order,
                MonotonicTime now);
  // Puts what is known into a new picture of the pod.
  void put_ids(NodePod& pod) const;
  // A container is about to begin, and its cgroup does not tell yet which: identify() again by
  // then.
  std::optional<MonotonicTime> look_again() const { return look_again_; }

 private:
  bool awaits_start(const NodePod& pod) const;
  bool begins(const kube::Container& container) const;
  const kube::Container* begun_in(const NodePod& pod, const PodCgroup& cgroup) const;
  bool has_cgroup(std::string_view status_id) const;

  const cgroup::Root& root_;
  const PodCgroups& cgroups_;
  std::map<CgroupId, MonotonicTime> unknown_;  // since when, until it is clear what they are
  std::optional<MonotonicTime> look_again_;
};

}  // namespace plimsoll::agent
