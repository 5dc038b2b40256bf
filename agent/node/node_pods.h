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
#include "agent/node/namespace_budgets.h"
#include "agent/node/node_pod.h"
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
  const SlotOwner* owner(Slot slot) const;
  // For the state file, and for the one that outlives the boot.
  NodeState state() const;
  NodeState hidden_limits() const;
  // The write-ahead rule of the latter: no limit of the pod's spec is changed unless this is true.
  bool is_kept(const NodePod& pod, const NodeState& saved) const;
  // A container is about to begin, and its cgroup does not tell yet which: reconcile() by then.
  std::optional<MonotonicTime> look_again() const { return early_.look_again(); }
  std::size_t tracked() const { return owners_.size(); }
  std::size_t managed() const;
  // Containers of which the API has yet to say how far their memory may grow.
  std::size_t unanswered() const;
  const NamespaceBudgets& budgets() const { return budgets_; }

 private:
  void reconcile_pod(NodePod& pod, const std::map<std::string, const Match*>& matches,
                     const Config& config, Changes& changes);
  void keep_leaving(NodePod& pod, const std::map<std::string, const Match*>& matches,
                    const Config& config);
  Reach reach_in(const NodePod& pod, const Match& match) const;
  Reach slice_reach(const NodePod& pod, const PodCgroup* slice) const;
  Result<void> attach(NodePod& pod, const Match& match, const ContainerPolicy& policy,
                      const Config& config, Changes& changes);
  Result<void> attach_slice(NodePod& pod, const PodCgroup& slice, Changes& changes);

  void own(Slot slot, SlotOwner owner, Changes& changes);
  // Some namespace has so many slots that others might find none.
  bool is_crowded(const std::string& name_space) const;
  void detach(const NodeContainer& container);
  void detach_slice(NodePod& pod);
  std::optional<Slot> kubepods_slot(const std::string& pod_path);
  void leave(const NodePod& pod);

  const cgroup::Root& root_;
  Engine& engine_;
  const PodCgroups& cgroups_;
  EarlyContainers early_;
  NamespaceBudgets budgets_;
  LeftRecords left_;
  NodeState unseen_;  // declared limits, of pods that were not presented yet
  std::map<std::string, NodePod> pods_;
  std::map<Slot, SlotOwner> owners_;
  std::optional<Slot> kubepods_;
  bool kubepods_known_ = false;
  bool stale_ = true;
};

}  // namespace plimsoll::agent
