// SPDX-License-Identifier: Apache-2.0
//
// Containers that may not be raised any more, by their author's word or the operator's, and were:
// what they still have of it. They stay tracked, and are brought back, until that is nothing.
// Otherwise a pod could be raised, opt out and keep what no quota has counted. Pure.
#pragma once

#include <string_view>

#include "agent/node/node_pods.h"
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

// The CPU limit as a file may show it that the kubelet, or systemd for it, has written.
MilliCpu as_written(MilliCpu limit);

}  // namespace plimsoll::agent
