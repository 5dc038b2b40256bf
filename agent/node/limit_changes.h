// SPDX-License-Identifier: Apache-2.0
//
// What the engine did or wants, to whom it concerns: reported, noted at the pod, and left there for
// its next resize step.
#pragma once

#include <span>

#include "agent/engine/engine.h"
#include "agent/node/node_pods.h"
#include "agent/pods/pod_cgroups.h"
#include "agent/systemd/units.h"
#include "agent/telemetry/reporter.h"
#include "base/units.h"

namespace plimsoll::agent {

// `systemd` null: it is told nothing.
void on_records(std::span<const Record> records, NodePods& pods, Reporter& reporter,
                SystemdUnits* systemd);

// `limit` was written to the memory.max of a pod's cgroup: systemd is told where that is a unit of
// its. Never blocks.
void tell_systemd(SystemdUnits* systemd, const PodCgroup& cgroup, Limit limit);

}  // namespace plimsoll::agent
