// SPDX-License-Identifier: Apache-2.0
//
// The pods of the node: what the API tells of them and which cgroups there are, brought together.
// Tracks and untracks in the engine; decides nothing. Owned by the slow loop
// (agent/node/node_agent).
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/config/config.h"
#include "agent/engine/engine.h"
#include "agent/node/early_containers.h"
#include "agent/node/leaving.h"
#include "agent/node/left_records.h"
#include "agent/node/node_pod.h"
#include "agent/node/pod_slots.h"
#include "agent/pods/match.h"
#include "agent/pods/pod_cgroups.h"
#include "agent/state/node_state.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/root.h"
#include "kube/pod.h"

namespace plimsoll::agent {

class NodePods {
 public:
  // All outlive it. `left`, `floors`: what the agent before this one has written down of cgroups,
  // and of specs (agent/state/declared_limits).
  NodePods(const cgroup::Root& root, Engine& engine, const PodCgroups& cgroups, NodeState left,
           NodeState declared);
  NodePods(const NodePods&) = delete;
  NodePods& operator=(const NodePods&) = delete;
  ~NodePods() = default;

  // News of the API.
  void present(kube::Pod pod, const Config& config);
  std::vector<ContainerRef> gone(const std::string& uid);  // what is not tracked any more
  // All pods of the node have been presented: what was written down of others is not needed.
  void forget_unseen() { unseen_.pods.clear(); }
  // What somebody else has set since is what the pod declares: its ceilings follow.
  void redeclare(NodePod& pod, const Config& config);
  // Policies anew, for all.
  void reconfigure(const Config& config);

  // Brings what the engine tracks in line with both pictures. Containers that began and ended to be
  // tracked, and what could not be.
  struct Changes {
    std::vector<ContainerRef> began;
    std::vector<ContainerRef> ended;
    std::vector<std::pair<ContainerRef, Error>> failed;            // once each
    std::vector<std::pair<ContainerRef, PolicyProblem>> problems;  // those that are new
  };
  Changes reconcile(const Config& config, MonotonicTime now);
  // Something that reconcile() looks at has changed: the cgroups, or a pod has left.
  void set_stale() { stale_ = true; }

  std::map<std::string, NodePod>& pods() { return pods_; }  // by uid
  const std::map<std::string, NodePod>& pods() const { return pods_; }
  NodePod* find(std::string_view uid);
  std::size_t managed() const;
  const PodSlots& slots() const { return slots_; }
  // For the state file, and for the one that outlives the boot.
  NodeState state() const;
  NodeState hidden_limits() const;
  // A container is about to begin, and its cgroup does not tell yet which: reconcile() by then.
  std::optional<MonotonicTime> look_again() const { return early_.look_again(); }

 private:
  void reconcile_pod(NodePod& pod, const std::map<std::string, const Match*>& matches,
                     const Config& config, Changes& changes);
  void keep_leaving(NodePod& pod, const std::map<std::string, const Match*>& matches,
                    const Config& config);
  Reach reach_in(const NodePod& pod, const Match& match) const;
  Reach slice_reach(const NodePod& pod, const PodCgroup* slice) const;

  const PodCgroups& cgroups_;
  EarlyContainers early_;
  LeftRecords left_;
  NodeState unseen_;  // declared limits, of pods that were not presented yet
  std::map<std::string, NodePod> pods_;
  PodSlots slots_;
  bool stale_ = true;
};

}  // namespace plimsoll::agent
