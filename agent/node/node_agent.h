// SPDX-License-Identifier: Apache-2.0
//
// The node agent's slow loop. What comes (pods, cgroups, the engine's records, answers of the API,
// the configuration) is noted where it belongs; then one turn:
//
//   reconcile() who is tracked ──► step() each pod that something happened to ──► save() the state
//     ──► apply() ──► keep_boosts() ──► set_alarm()
//
// It owns all decisions and the state of every pod; the threads around it (reaction, watcher,
// resizer, events, metrics, systemd) each own theirs and are met through bounded queues.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "agent/apiserver/health.h"
#include "agent/node/agent_options.h"
#include "agent/node/start.h"
#include "agent/resize/plan.h"
#include "agent/telemetry/stats.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "kube/status.h"

namespace plimsoll::agent {

// More than twenty methods: one for each thing that comes, and one for each arrow of a turn.
class NodeAgent {
 public:
  NodeAgent(AgentOptions options, Parts parts);
  // Saves the state and stops the threads. Limits stay as they are.
  ~NodeAgent();
  NodeAgent(const NodeAgent&) = delete;
  NodeAgent& operator=(const NodeAgent&) = delete;

  // Turns until `stop_fd` is readable.
  Result<void> run(int stop_fd);

 private:
  void on_pods();
  void on_records(const std::vector<Record>& records);
  void on_outcomes();
  void on_facts();
  void on_config();
  void on_systemd();
  void note_api(const std::optional<kube::Refusal>& refusal, MonotonicTime now);
  void all_due();
  void set_allocatable();

  void tick(MonotonicTime now);
  void turn(MonotonicTime now, bool ticked);
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
  void set_alarm(MonotonicTime now);
  void report(LogLevel level, std::string_view sentence, std::vector<ContainerNote> notes);
  void report_armed(MonotonicTime now);
  void publish(MonotonicTime now);
  NodeState floors() const;

  AgentOptions options_;
  Parts parts_;
  ConfigState config_state_{.taken = std::chrono::system_clock::now()};
  ApiServerHealth api_;
  bool synced_ = false;
  bool told_armed_ = false;
  std::optional<MonotonicTime> drop_pages_at_;  // agent/node/resident_memory
  Timer alarm_;
  Timer ticks_;
};

}  // namespace plimsoll::agent
