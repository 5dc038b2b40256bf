// SPDX-License-Identifier: Apache-2.0
//
// Start-up boosts of the node's containers: from the policies of the pods and the boost of each
// (agent/policy/startup_boost) to the engine, which keeps the CPU limit up meanwhile. Owned by the
// slow loop (agent/node/node_agent); nothing blocks.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/config/node_config.h"
#include "agent/engine/engine.h"
#include "agent/node/node_pod.h"
#include "agent/policy/startup_boost.h"
#include "agent/resize/resize_event.h"
#include "agent/telemetry/stats.h"
#include "base/units.h"
#include "kube/pod.h"

namespace plimsoll::agent {

// What ContainerNotes are about.
inline constexpr std::string_view kBoostBegins = "boost_begins";
inline constexpr std::string_view kBoostEnded = "boost_ended";

class NodeStartup {
 public:
  // `engine` outlives it.
  explicit NodeStartup(Engine& engine) : engine_(engine) {}
  NodeStartup(const NodeStartup&) = delete;
  NodeStartup& operator=(const NodeStartup&) = delete;
  ~NodeStartup() = default;

  // Boosts what is tracked and starts, and ends what has started. `pods`: all of the node.
  // `ticked`: the engine has looked at what is in use. `wall`: the clock that the API's times are
  // of.
  void follow(const std::map<std::string, NodePod>& pods, const StartupConfig& config,
              kube::ApiTime wall, MonotonicTime now, bool ticked);

  // What happened since the last call.
  std::vector<ContainerNote> take() { return std::exchange(notes_, {}); }
  StartupStats stats() const;
  // One line about the container in `slot`; empty: it was never boosted.
  std::string explain(Slot slot) const;

 private:
  struct Boost {
    CgroupId id{};
    MonotonicTime created;
    MilliCpu limit;
    StartupState state;
  };
  void begin(const NodePod& pod, const NodeContainer& container, kube::ApiTime wall,
             MonotonicTime now);
  void look_at(const NodePod& pod, const NodeContainer& container, const StartupConfig& config,
               MilliCpu most, MonotonicTime now, bool ticked, Boost& boost);
  MilliCpu use_of(Slot slot) const;
  MilliCpu unpromised(const std::map<std::string, NodePod>& pods) const;

  Engine& engine_;
  std::map<Slot, Boost> boosts_;  // of all that are tracked and may be boosted, ended ones too
  std::vector<ContainerNote> notes_;
  StartupStats totals_;
};

}  // namespace plimsoll::agent
