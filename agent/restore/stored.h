// SPDX-License-Identifier: Apache-2.0
//
// What restore_specs has brought the API server to store, in the records of the pod's cgroups, so
// that restore_limits() brings these there. Pure.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "agent/pods/pod_cgroups.h"
#include "agent/state/node_state.h"
#include "kube/pod.h"
#include "kube/resize.h"

namespace plimsoll::agent {

// The cgroups of one pod's containers, by name.
struct PodGroups {
  const PodCgroup* slice = nullptr;
  std::map<std::string, const PodCgroup*> containers;
};
PodGroups groups_of(const PodCgroups& cgroups, const kube::Pod& pod);

// `changes` of the pod were stored: `state` says from now on that the API has what is in `after`,
// and that what is above it, up to `before`, was ours.
void note_stored(NodeState& state, const PodState& floors, const kube::Pod& before,
                 const kube::Pod& after, const PodGroups& groups,
                 const std::vector<kube::ResizeChange>& changes);

}  // namespace plimsoll::agent
