// SPDX-License-Identifier: Apache-2.0
//
// step(): the flow of one pod's resizes. What was seen of the pod, its cgroups, the engine and the
// API server goes in; what to do next, with its reasons, comes out. Pure: no I/O, no clock, and the
// same history gives the same actions. docs/decisions/0009-resize-flow.md has the rules.
//
// What it promises for every history: at most one storing PATCH and one dry run in flight; no PATCH
// that changes the QoS class or restarts a container; after a refusal by the cluster no direct
// write beyond what is allowed (unless configured); every lease ends; nothing is lowered below the
// usage and its margin; a CPU limit is asked for only while no container of the pod needs memory.
#pragma once

#include <string_view>

#include "agent/resize/actions.h"
#include "agent/resize/state.h"

namespace plimsoll::agent {

// `state` is a default one with only `id` set at first. Once state.gone is set, the pod is to be
// forgotten.
ResizeStep step(PodResize state, const ResizeFacts& facts, MonotonicTime now,
                const ResizeConfig& config);

// Whether the API may be asked for lower limits of the container, now or some time; not: this pod,
// its node or the API server rules it out.
struct Lowerable {
  bool memory = true;
  bool cpu = true;
};
Lowerable lowerable(const PodResize& state, std::string_view container);

}  // namespace plimsoll::agent
