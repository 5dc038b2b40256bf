// SPDX-License-Identifier: Apache-2.0
//
// Floors: the limits that pods' authors declared. Once a resize of ours is stored, nothing in the
// API says them any more, and the pod outlives the boot with it. So they are kept in a StateFile on
// a disk, in the form of a NodeState without a boot id, by pod uid and name of the container, for
// as long as a spec says something else. Pure; docs/decisions/0010-state-and-restore.md.
#pragma once

#include <optional>
#include <string>

#include "agent/pods/pod_facts.h"
#include "agent/state/node_state.h"
#include "base/units.h"
#include "kube/pod.h"

namespace plimsoll::agent {

inline constexpr const char* kFloorsPath = "/var/lib/plimsoll/floors";
// A new floor is written at once, before the PATCH that hides it; all else within this time, for a
// save waits for the disk.
inline constexpr Nanoseconds kFloorsCoalesce = std::chrono::seconds(30);

// A declared limit that the spec does not say any more.
template <typename Amount>
struct HiddenLimit {
  Amount floor;  // as declared
  Amount spec;   // what the API was last known, or asked, to store
};
using HiddenMemory = HiddenLimit<Bytes>;
using HiddenCpu = HiddenLimit<MilliCpu>;

// A record has no cgroup, and what is not hidden is not in it.
ContainerState floor_record(std::string container, const std::optional<HiddenMemory>& memory,
                            const std::optional<HiddenCpu>& cpu = {});

// What was written down of the pod; nullptr: nothing.
const PodState* find_pod(const NodeState& state, const kube::Pod& pod);

// What `pod` declares: its spec, but for the limits that `record` (may be null) knows to be ours. A
// limit that somebody else's resize has changed since then is declared by them, memory and CPU each
// by itself.
DeclaredLimits declared_limits(const kube::Pod& pod, const PodState* record);

}  // namespace plimsoll::agent
