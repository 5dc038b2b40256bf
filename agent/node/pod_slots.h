// SPDX-License-Identifier: Apache-2.0
//
// PodSlots: the cgroups of pods that the engine tracks, and in which slots. Owned by NodePods,
// which says what is to be tracked.
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/config/config.h"
#include "agent/engine/engine.h"
#include "agent/node/left_records.h"
#include "agent/node/namespace_budgets.h"
#include "agent/node/node_pod.h"
#include "agent/pods/match.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/root.h"

namespace plimsoll::agent {

// What a slot stands for.
struct SlotOwner {
  std::string uid;
  std::string container;  // empty: the pod's own cgroup
};

class PodSlots {
 public:
  // All outlive it. `left`: what is known of cgroups that are not tracked.
  PodSlots(const cgroup::Root& root, Engine& engine, std::map<std::string, NodePod>& pods,
           const LeftRecords& left)
      : root_(root), engine_(engine), pods_(pods), left_(left), budgets_(engine) {}

  // Tracks the container that `match` is, and its pod's own cgroup. `ended`: whose slots these had
  // been.
  Result<void> attach(NodePod& pod, const Match& match, const ContainerPolicy& policy,
                      const Config& config, std::vector<ContainerRef>& ended);
  void detach(const NodeContainer& container);
  void detach_slice(NodePod& pod);
  void reconfigure(const Config& config) { budgets_.reconfigure(config); }
  // Since the last call some pod has lost a slot without its own doing.
  bool take_lost() { return std::exchange(lost_, false); }

  const SlotOwner* owner(Slot slot) const;
  std::size_t tracked() const { return owners_.size(); }
  const NamespaceBudgets& budgets() const { return budgets_; }

 private:
  Result<void> attach_slice(NodePod& pod, const PodCgroup& slice, std::vector<ContainerRef>& ended);
  void own(Slot slot, SlotOwner owner, std::vector<ContainerRef>& ended);
  bool is_crowded(const std::string& name_space) const;
  std::optional<Slot> kubepods_slot(const std::string& pod_path);

  const cgroup::Root& root_;
  Engine& engine_;
  std::map<std::string, NodePod>& pods_;  // by uid
  const LeftRecords& left_;
  NamespaceBudgets budgets_;
  std::map<Slot, SlotOwner> owners_;
  std::optional<Slot> kubepods_;
  bool kubepods_known_ = false;
  bool lost_ = false;
};

}  // namespace plimsoll::agent
