// SPDX-License-Identifier: Apache-2.0
//
// What the engine is told of a pod's cgroups: from policies, the plan's bounds and what the kubelet
// would write to the ContainerSpec of each slot, and from that to the engine when it has changed.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "agent/engine/engine.h"
#include "agent/node/node_pod.h"
#include "base/units.h"

namespace plimsoll::agent {

// Without a direct write, which give_bounds() allows where it may. A grant lasts for at least
// `api_time`.
ContainerSpec spec_of(const NodePod& pod, const NodeContainer& container, Nanoseconds api_time);
// Of the pod's own cgroup, which it must have: as far as its containers together may go.
ContainerSpec slice_spec_of(const NodePod& pod);
std::optional<CpuSpec> slice_cpu_of(const NodePod& pod);

// Whether the state on disk explains a direct write up to `direct_ceiling`.
struct Covers {
  std::function<bool(CgroupId id, Limit direct_ceiling)> memory;
  std::function<bool(CgroupId id, MilliCpu direct_ceiling)> cpu;
};

// Gives the engine the bounds that are wanted, but no direct write that the state on disk does not
// cover. True: every one got all of it. A grant lasts for at least `api_time`, what an answer of
// the API takes: when the kubelet carries it out, the limit that it writes must not be below what
// is in use by then.
bool give_bounds(std::map<std::string, NodePod>& pods, Engine& engine, const Covers& covers,
                 Nanoseconds api_time, MonotonicTime now);

}  // namespace plimsoll::agent
