// SPDX-License-Identifier: Apache-2.0
//
// What the parts of the node agent know of themselves, as the values that /metrics, /healthz and
// /readyz show. Called by the slow loop once a tick.
#pragma once

#include <string>
#include <vector>

#include "agent/apiserver/pod_watcher.h"
#include "agent/apiserver/request_stats.h"
#include "agent/engine/engine.h"
#include "agent/node/announced_work.h"
#include "agent/node/node_pods.h"
#include "agent/node/startup_boosts.h"
#include "agent/resize/resizer.h"
#include "agent/telemetry/event_poster.h"
#include "agent/telemetry/health.h"
#include "agent/telemetry/log.h"
#include "agent/telemetry/stats.h"
#include "base/units.h"

namespace plimsoll::agent {

// Borrowed for the call.
struct Published {
  const std::string& node;
  const Engine& engine;
  EngineStatus status;  // of the engine
  const NodePods& pods;
  const NodeAnnounce& announce;
  const NodeStartup& startup;
  const PodWatcherStatus& watcher;
  const Resizer& resizer;
  const EventPoster& poster;
  const DecisionLog& log;
  const ApiTally& api;
  const Activity& activity;
  const ConfigState& config;
  const StateStats& state;
};

AgentStats stats_of(const Published& parts);

// Empty: no trouble.
struct Troubles {
  std::string config;  // the file as it is now was refused
  std::string state;   // it cannot be saved
};
Health health_of(const Published& parts, const Troubles& troubles, MonotonicTime now);

}  // namespace plimsoll::agent
