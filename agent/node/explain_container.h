// SPDX-License-Identifier: Apache-2.0
//
// What a person is told of one container of a pod: how its limits stand, and why.
#pragma once

#include <string>

#include "agent/engine/engine.h"
#include "agent/node/node_pod.h"
#include "agent/telemetry/explain.h"

namespace plimsoll::agent {

// Reads its files.
ExplainedContainer explain_container(const NodePod& pod, const std::string& container,
                                     const Engine& engine);

}  // namespace plimsoll::agent
