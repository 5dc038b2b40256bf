// SPDX-License-Identifier: Apache-2.0
//
// What is written down of a pod: of its cgroups, for the file of this boot, and of the limits that
// its spec does not say any more, for the one that outlives it. Pure.
#pragma once

#include <optional>

#include "agent/node/node_pod.h"
#include "agent/state/node_state.h"

namespace plimsoll::agent {

// nullopt: nothing of it is tracked.
std::optional<PodState> state_of(const NodePod& pod);
// Without containers: its spec says all that it declares.
PodState hidden_limits_of(const NodePod& pod);
// The write-ahead rule of the latter: no limit of the pod's spec is changed unless `saved` has it.
bool is_kept(const NodePod& pod, const NodeState& saved);

}  // namespace plimsoll::agent
