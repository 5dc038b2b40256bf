// SPDX-License-Identifier: Apache-2.0
//
// The node agent's slow loop: waits for what comes (pods, cgroups, the engine's records, answers of
// the API, the configuration) and hands it to its turn (agent/node/node_turn), which decides. The
// threads around it (reaction, watcher, resizer, events, metrics, systemd) each own their state and
// are met through bounded queues.
#pragma once

#include <cstdint>
#include <optional>
#include <utility>

#include "agent/node/agent_options.h"
#include "agent/node/node_turn.h"
#include "agent/node/start.h"
#include "agent/telemetry/stats.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

class NodeAgent {
 public:
  NodeAgent(AgentOptions options, Parts parts);
  // Saves the state and stops the threads. Limits stay as they are.
  ~NodeAgent();
  NodeAgent(const NodeAgent&) = delete;
  NodeAgent& operator=(const NodeAgent&) = delete;

  enum class Ended : std::uint8_t { kStopped, kTakenOver };
  // Turns until `stop_fd` is readable, or the next agent has taken the node over: then nothing of
  // this one writes any more.
  Result<Ended> run(int stop_fd);
  // What goes on answering after that.
  Front take_front() { return std::move(parts_.front); }

 private:
  void on_pods();
  void on_pod(kube::PodChange&& change);
  void on_outcomes();
  void on_facts();
  void on_config();
  void on_systemd();
  bool on_handover();
  void give_away(const Fd& asker);
  void tick(MonotonicTime now);
  void turn(bool ticked);
  void report_armed(MonotonicTime now);
  void report_taken_over(MonotonicTime now);
  void publish(MonotonicTime now);

  AgentOptions options_;
  Parts parts_;
  NodeTurn turn_;
  ConfigState config_state_{.taken = std::chrono::system_clock::now()};
  bool told_armed_ = false;
  std::optional<MonotonicTime> drop_pages_at_;  // agent/reaction/resident_memory
  Timer alarm_;
  Timer ticks_;
};

}  // namespace plimsoll::agent
