// SPDX-License-Identifier: Apache-2.0
//
// The parts of the node agent, put together: programs loaded, state and cgroups read, every thread
// started.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent/apiserver/pod_watcher.h"
#include "agent/apiserver/probe.h"
#include "agent/apiserver/request_stats.h"
#include "agent/config/config.h"
#include "agent/config/watch.h"
#include "agent/engine/engine.h"
#include "agent/node/agent_options.h"
#include "agent/node/announced_work.h"
#include "agent/node/handover.h"
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

// What answers over HTTP, also while another agent has the node.
struct Front {
  std::unique_ptr<StatusBoard> board = std::make_unique<StatusBoard>();
  std::unique_ptr<StatusServer> server;  // null: not configured
};

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
  std::vector<kube::PodChange> changes;  // that came while another agent had the node
  std::optional<Given> given;            // by that one; to be let go when this one is at work
  std::optional<Handover> handover;      // absent: its socket could not be made
  std::unique_ptr<ExplainServer> explain_server;  // null: its socket could not be made
  Front front;
};

// How an agent comes to its node.
struct Arrival {
  int stop_fd = -1;  // readable: it is not wanted any more
  // Asks the agent that has the node for it. False: it was asked itself, and waits until the node
  // is free, whatever becomes of the one that has it.
  bool asks = true;
  Front front;
};

// `config` holds where the options name no file. Where no other agent has the node it does not wait
// for the API. Else all that is needed for work is loaded and the pods are known before the node is
// asked for, and it waits as long as it takes: nullopt when `stop_fd` was readable meanwhile.
Result<std::optional<Parts>> start(const AgentOptions& options, Config config, Arrival arrival);

}  // namespace plimsoll::agent
