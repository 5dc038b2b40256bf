// SPDX-License-Identifier: Apache-2.0
//
// What the slow loop does, without what it waits for: news are noted where they belong, then one
// turn:
//
//   reconcile() who is tracked ──► step() each pod that something happened to ──► save() the state
//     ──► apply() ──► keep_boosts()
//
// It owns all decisions and the state of every pod. NodeAgent calls it when a descriptor is
// readable, the simulated cluster (tests/sim) when a moment has come.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/apiserver/health.h"
#include "agent/config/config.h"
#include "agent/engine/engine.h"
#include "agent/node/announced_work.h"
#include "agent/node/node_pods.h"
#include "agent/node/startup_boosts.h"
#include "agent/pods/pod_cgroups.h"
#include "agent/resize/plan.h"
#include "agent/resize/resizer.h"
#include "agent/state/state_store.h"
#include "agent/systemd/units.h"
#include "agent/telemetry/log.h"
#include "agent/telemetry/reporter.h"
#include "base/units.h"
#include "kube/pod_watch.h"
#include "kube/status.h"

namespace plimsoll::agent {

// All outlive the turn.
struct TurnTools {
  const Config& config;  // may change between two calls, see NodeTurn::reconfigure()
  const std::string& node;
  Engine& engine;
  PodCgroups& cgroups;
  NodePods& pods;
  NodeAnnounce& announce;
  NodeStartup& startup;
  StateStore& state;
  Reporter& reporter;
  DecisionLog& log;
  SystemdUnits* systemd;  // null: it is told nothing
  // Resizer::submit().
  std::function<bool(const SendResize&, kube::ResizePath)> submit;
};

class NodeTurn {
 public:
  explicit NodeTurn(TurnTools tools);
  NodeTurn(const NodeTurn&) = delete;
  NodeTurn& operator=(const NodeTurn&) = delete;
  ~NodeTurn() = default;

  // What came. Each is in force from the next turn() on.
  void on_pod(kube::PodChange change, MonotonicTime now);
  void on_outcome(ResizerOutcome outcome);
  void on_records(const std::vector<Record>& records);
  // False: nothing new.
  bool on_facts(const ApiFacts& facts, MonotonicTime now);
  // The configuration has changed.
  void reconfigure();

  // The engine looks at what is in use; see Engine::tick().
  void tick(MonotonicTime now);
  void turn(MonotonicTime now, bool ticked);
  // When a turn is due though nothing comes; nullopt: never.
  std::optional<MonotonicTime> next(MonotonicTime now) const;

  // The first LIST has ended.
  bool synced() const { return synced_; }
  // Brings the state to disk, at a clean stop.
  void flush(MonotonicTime now);

 private:
  void note_api(const std::optional<kube::Refusal>& refusal, std::string_view name_space,
                MonotonicTime now);
  void set_allocatable();

  void reconcile(MonotonicTime now);
  struct Planned {
    NodePod* pod = nullptr;
    std::vector<ResizeAction> actions;
  };
  std::vector<Planned> step_pods(MonotonicTime now);
  std::vector<ResizeAction> step_pod(NodePod& pod, const ResizeConfig& config, MonotonicTime now);
  void save(MonotonicTime now);
  void apply(const std::vector<Planned>& planned, MonotonicTime now);
  void keep_boosts(MonotonicTime now, bool ticked);
  void report(LogLevel level, std::string_view sentence, std::vector<ContainerNote> notes);

  TurnTools tools_;
  ApiServerHealth api_;
  bool synced_ = false;
};

}  // namespace plimsoll::agent
