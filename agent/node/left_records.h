// SPDX-License-Identifier: Apache-2.0
//
// Records of cgroups that are not tracked: not yet, because the API has not told of their pods, or
// not any more. A limit that was raised must stay known. Owned by the slow loop.
#pragma once

#include <set>
#include <utility>

#include "agent/pods/pod_cgroups.h"
#include "agent/state/node_state.h"
#include "base/units.h"

namespace plimsoll::agent {

class LeftRecords {
 public:
  // `left`: by the agent before this one.
  explicit LeftRecords(NodeState left) : left_(std::move(left)) {}

  // nullptr: nothing is known of the cgroup.
  const LimitState* find(CgroupId id) const { return find_limit(left_, id); }
  // What is tracked of a pod is about not to be; what is said of the same cgroup gives way.
  void add(const PodState& pod);
  // The cgroup has nothing of ours.
  void forget(CgroupId id);
  // What is tracked says itself what it is; a cgroup that is gone has no limit.
  void drop(const std::set<CgroupId>& tracked, const PodCgroups& cgroups);
  // Adds all to `state`.
  void add_to(NodeState& state) const;

 private:
  NodeState left_;
};

}  // namespace plimsoll::agent
