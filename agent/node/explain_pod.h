// SPDX-License-Identifier: Apache-2.0
//
// The agent's answer to `plimsoll explain NAMESPACE/POD`: how the pod's containers stand, and what
// was done to them. Reads their files.
#pragma once

#include <string>

#include "agent/node/announced_work.h"
#include "agent/node/node_pods.h"
#include "agent/node/startup_boosts.h"
#include "agent/telemetry/explain_server.h"
#include "agent/telemetry/timeline.h"

namespace plimsoll::agent {

std::string explain_pod(const ExplainRequest& request, const NodePods& pods, const Engine& engine,
                        const NodeAnnounce& announce, const NodeStartup& startup,
                        const Timelines& timelines);

}  // namespace plimsoll::agent
