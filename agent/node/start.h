// SPDX-License-Identifier: Apache-2.0
//
// The parts of the node agent, put together: programs loaded, state and cgroups read, every thread
// started.
#pragma once

#include <memory>

#include "agent/apiserver/pod_watcher.h"
#include "agent/apiserver/probe.h"
#include "agent/apiserver/request_stats.h"
#include "agent/config/config.h"
#include "agent/config/watch.h"
#include "agent/engine/engine.h"
#include "agent/node/agent_options.h"
#include "agent/node/announced_work.h"
#include "agent/node/node_pods.h"
#include "agent/node/startup_boosts.h"
#include "agent/pods/pod_cgroups.h"
#include "agent/resize/resizer.h"
#include "agent/state/state_store.h"
#include "agent/systemd/units.h"
#include "agent/telemetry/event_poster.h"
#include "agent/telemetry/explain_server.h"
#include "agent/telemetry/log.h"
#include "agent/telemetry/reporter.h"
#include "agent/telemetry/status_server.h"
#include "base/result.h"
#include "cgroup/root.h"
#include "kube/client.h"

namespace plimsoll::agent {

// What is further down uses what is further up, and ends before it: those that bring news end
// first. Only the marked ones may be null.
struct Parts {
  Config config;
  std::unique_ptr<DecisionLog> log;
  std::unique_ptr<ConfigWatch> config_watch;  // null: no file, nothing to reload
  std::unique_ptr<cgroup::Root> root;
  std::unique_ptr<StateStore> state;
  std::unique_ptr<ApiTally> tally = std::make_unique<ApiTally>();
  std::unique_ptr<kube::Client> event_client;
  std::unique_ptr<Engine> engine;
  std::unique_ptr<PodCgroups> cgroups;
  std::unique_ptr<NodePods> pods;
  std::unique_ptr<NodeAnnounce> announce;
  std::unique_ptr<NodeStartup> startup;
  std::unique_ptr<SystemdUnits> systemd;  // null: systemd is told nothing
  std::unique_ptr<EventPoster> poster;
  std::unique_ptr<Reporter> reporter;
  std::unique_ptr<Resizer> resizer;
  std::unique_ptr<ApiProbe> probe;
  std::unique_ptr<PodWatcher> watcher;
  std::unique_ptr<ExplainServer> explain_server;  // null: its socket could not be made
  std::unique_ptr<StatusBoard> board = std::make_unique<StatusBoard>();
  std::unique_ptr<StatusServer> status_server;  // null: not configured
};

// `config` holds where the options name no file. Does not wait for the API.
Result<Parts> start(const AgentOptions& options, Config config);

}  // namespace plimsoll::agent
