// SPDX-License-Identifier: Apache-2.0
//
// Announced work of the node's containers: from the policies of the pods to the announcer, and from
// that to log, timeline and metrics. Owned by the slow loop (agent/node/node_agent); the first
// command that is announced loads the programs, nothing else blocks.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/engine/announced_commands.h"
#include "agent/engine/engine.h"
#include "agent/node/node_pod.h"
#include "agent/policy/learned_sizes.h"
#include "agent/resize/resize_event.h"
#include "agent/telemetry/stats.h"
#include "base/units.h"
#include "kube/pod.h"

namespace plimsoll::agent {

// Whose sizes are learned together: the container of a controller, whatever its pods are called. A
// ReplicaSet is its Deployment, and a Job of a CronJob is that.
std::string workload_of(const kube::Pod& pod, std::string_view container);

// What ContainerNotes are about.
inline constexpr std::string_view kCommandBegins = "command_begins";
inline constexpr std::string_view kCommandEnded = "command_ended";
inline constexpr std::string_view kCommandUnseen = "command_unseen";

class NodeAnnounce {
 public:
  // `engine` outlives it. `learned`: what the agent before this one has kept.
  NodeAnnounce(Engine& engine, LearnedSizes learned);
  NodeAnnounce(const NodeAnnounce&) = delete;
  NodeAnnounce& operator=(const NodeAnnounce&) = delete;
  ~NodeAnnounce() = default;

  // Watches those that are tracked and announce something, and no others.
  void follow(const std::map<std::string, NodePod>& pods, MonotonicTime now);

  // Readable when react() has something to do; -1: nothing was ever announced.
  int fd() const { return announcer_.fd(); }
  void react(const MemoryPolicy& policy, MonotonicTime now);
  // After each tick of the engine's. `day`: days since 1970, by which sizes grow old.
  void tick(const MemoryPolicy& policy, MonotonicTime now, std::uint32_t day);

  // What happened since the last call.
  std::vector<ContainerNote> take() { return std::exchange(notes_, {}); }
  // Why no command is seen on this node; empty: they are, or nothing is announced.
  const std::string& trouble() const { return trouble_; }
  const LearnedSizes& learned() const { return announcer_.learned(); }
  AnnouncedStats stats() const;
  // One line for each command that the container in `slot` announces.
  std::vector<std::string> explain(Slot slot) const;

 private:
  struct Watched {
    CgroupId id{};
    ContainerRef subject;
    std::vector<AnnouncedCommand> commands;
  };
  void watch(const NodePod& pod, const NodeContainer& container);
  void tell(const AnnouncedNews& news);

  Engine& engine_;
  AnnouncedCommands announcer_;
  std::map<Slot, Watched> watched_;  // also those that could not be watched
  std::vector<ContainerNote> notes_;
  std::string trouble_;
  AnnouncedStats totals_;
};

}  // namespace plimsoll::agent
