// SPDX-License-Identifier: Apache-2.0
//
// One life of the node agent: the product's own parts and its own turn (agent/node/node_turn), with
// the reactions on the caller's thread and a queue in the place of the resizer. Killed, nothing is
// saved that was not.
#pragma once

#include <deque>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "agent/config/config.h"
#include "agent/engine/engine.h"
#include "agent/node/node_turn.h"
#include "agent/telemetry/event_poster.h"
#include "tests/sim/cgroups.h"

namespace plimsoll::sim {

// What was asked of the API server, and when it leaves.
struct Asked {
  agent::SendResize send;
  MonotonicTime at;
};

class NodeAgent {
 public:
  // Its state is below `files`. The configuration may be changed later by reconfigure().
  NodeAgent(const std::filesystem::path& files, Cgroups& cgroups, agent::Config config);
  ~NodeAgent() = default;
  NodeAgent(const NodeAgent&) = delete;
  NodeAgent& operator=(const NodeAgent&) = delete;

  agent::NodeTurn& loop() { return *turn_; }
  agent::NodePods& pods() { return *pods_; }
  const agent::StateStore& state() const { return *state_; }
  const agent::Config& config() const { return config_; }
  void reconfigure(agent::Config config);
  // Writes no more: the next one has the state.
  void give_away(MonotonicTime now);

  // When it wants its turn.
  std::optional<MonotonicTime> next(MonotonicTime now) const;
  // The reactions' threads have their moment: something is at its limit, or was told to them.
  void react();
  void turn(MonotonicTime now, bool ticked);

  std::vector<Asked> take_asked() { return std::exchange(asked_, {}); }

 private:
  bool submit(const agent::SendResize& send);

  agent::Config config_;
  std::string node_ = "node-a";
  std::unique_ptr<cgroup::Root> root_;
  std::unique_ptr<agent::StateStore> state_;
  std::unique_ptr<agent::Engine> engine_;
  std::unique_ptr<agent::PodCgroups> cgroups_;
  std::unique_ptr<agent::NodePods> pods_;
  std::unique_ptr<agent::NodeAnnounce> announce_;
  std::unique_ptr<agent::NodeStartup> startup_;
  std::unique_ptr<agent::EventPoster> poster_;
  std::unique_ptr<agent::Reporter> reporter_;
  std::unique_ptr<agent::NodeTurn> turn_;
  std::vector<Asked> asked_;
  MonotonicTime next_request_;
  MonotonicTime next_dry_run_;
};

}  // namespace plimsoll::sim
