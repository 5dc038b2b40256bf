// SPDX-License-Identifier: Apache-2.0
//
// What a step of a pod's resize plan asks for, done: limits through the engine, PATCHes through the
// resizer. Lowering blocks for as long as reclaim takes.
#pragma once

#include <functional>
#include <span>

#include "agent/apiserver/health.h"
#include "agent/engine/engine.h"
#include "agent/node/node_pod.h"
#include "agent/resize/plan.h"
#include "agent/resize/resizer.h"
#include "agent/state/state_store.h"
#include "agent/systemd/units.h"
#include "agent/telemetry/reporter.h"
#include "base/units.h"

namespace plimsoll::agent {

// Borrowed for the call.
struct ResizeTools {
  Engine& engine;
  const std::function<bool(const SendResize&, kube::ResizePath)>& submit;  // the resizer's
  const StateStore& state;
  const ApiServerHealth& api;
  Reporter& reporter;
  SystemdUnits* systemd;  // null: it is told nothing
};

// What could not be sent has an outcome at once, and the pod is due again.
void apply_resize(std::span<const ResizeAction> actions, NodePod& pod, const ResizeTools& tools,
                  MonotonicTime now);

}  // namespace plimsoll::agent
