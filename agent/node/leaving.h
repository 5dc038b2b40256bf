// SPDX-License-Identifier: Apache-2.0
//
// Containers that may not be raised any more, by their author's word or the operator's, and were:
// what they still have of it. They stay tracked, and are brought back, until that is nothing.
// Otherwise a pod could be raised, opt out and keep what no quota has counted.
#pragma once

#include "agent/engine/engine.h"
#include "agent/node/node_pod.h"
#include "agent/state/node_state.h"
#include "base/units.h"
#include "kube/pod.h"

namespace plimsoll::agent {

// How far direct writes may have gone: nothing of a cgroup's limit above it is ours.
struct Reach {
  Limit memory{0};
  MilliCpu cpu;
};
Reach reach_of(const LimitState& left);
Reach reach_of(const NodeContainer& container);
Reach reach_of(const NodePod::Slice& slice);

// What has been raised: in the cgroup above what the API stores, or there above what is declared.
// What nobody can lower any more does not count.
struct Debt {
  bool memory = false;
  bool cpu = false;

  bool any() const { return memory || cpu; }
};
Debt debt_of(const NodePod& pod, const kube::Container& container, const Reach& reach);
// Of the pod's own cgroup, above what the kubelet gives it.
Debt slice_debt(const NodePod& pod, const Reach& reach);

// Lowers the CPU limits of a pod that leaves, and the limits of its own cgroup, which no plan does.
// True: it has left, as far as its files tell.
bool bring_back(NodePod& pod, Engine& engine, MonotonicTime now);

}  // namespace plimsoll::agent
