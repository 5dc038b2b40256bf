// SPDX-License-Identifier: Apache-2.0
//
// The node agent's slow loop: pods and cgroups in, the engine and the resizer at work, everything
// told. One turn:
//
//   news (pods, cgroups, engine, answers, configuration) ──► settle() who is tracked
//     ──► step() each pod that something happened to ──► save() the state ──► act() ──► publish()
//
// It owns all decisions and the state of every pod; the threads around it (reaction, watcher,
// resizer, events, metrics, systemd) each own theirs and are met through bounded queues.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/apiserver/health.h"
#include "agent/apiserver/pod_watcher.h"
#include "agent/apiserver/probe.h"
#include "agent/config/config.h"
#include "agent/config/watch.h"
#include "agent/engine/engine.h"
#include "agent/node/agent_options.h"
#include "agent/node/announced_work.h"
#include "agent/node/node_pods.h"
#include "agent/node/startup_boosts.h"
#include "agent/pods/pod_cgroups.h"
#include "agent/resize/plan.h"
#include "agent/resize/resizer.h"
#include "agent/state/state_file.h"
#include "agent/systemd/units.h"
#include "agent/telemetry/event_poster.h"
#include "agent/telemetry/explain_server.h"
#include "agent/telemetry/log.h"
#include "agent/telemetry/stats.h"
#include "agent/telemetry/status_server.h"
#include "agent/telemetry/timeline.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/root.h"
#include "kube/client.h"

namespace plimsoll::agent {

class NodeAgent {
 public:
  // Loads the programs, reads state and cgroups, starts every thread. Does not wait for the API.
  static Result<std::unique_ptr<NodeAgent>> start(const AgentOptions& options, Config config);
  // Saves the state and stops the threads. Limits stay as they are unless the options say restore.
  ~NodeAgent();
  NodeAgent(const NodeAgent&) = delete;
  NodeAgent& operator=(const NodeAgent&) = delete;

  // Turns until `stop_fd` is readable.
  Result<void> run(int stop_fd);

 private:
  NodeAgent(const AgentOptions& options, Config config);
  Result<void> start_parts();
  Result<void> start_threads(const kube::ClientConfig& config);

  void take_pods();
  void take_cgroups();
  void take_records(const std::vector<Record>& records);
  void take_cpu_record(const Record& record, NodePod& pod, const std::string& name);
  void take_outcomes();
  void take_facts();
  void take_config();
  void take_systemd();
  void start_ticks();
  void tick(MonotonicTime now);
  void turn(MonotonicTime now, bool ticked);

  bool settle(MonotonicTime now);
  void keep_boosts(MonotonicTime now, bool ticked);
  void note(LogLevel level, std::string_view sentence, ContainerNote note);
  void take_announced();
  void tell_armed(MonotonicTime now);
  struct Planned {
    NodePod* pod = nullptr;
    std::vector<ResizeAction> actions;
  };
  std::vector<Planned> step_pods(MonotonicTime now);
  void save(MonotonicTime now);
  NodeState floors_state() const;
  void save_one(StateFile& file, NodeState state, std::string& trouble, MonotonicTime now);
  void act(const Planned& planned, MonotonicTime now);
  void note_api(const std::optional<kube::Refusal>& refusal, MonotonicTime now);
  void all_due();
  void set_allocatable();
  void forget(const std::vector<ContainerRef>& subjects);
  void tell_systemd(const PodCgroup& cgroup, Limit limit);
  void tell(const ContainerRef& subject, const ResizeEvent& answer);
  void publish(MonotonicTime now);
  void set_alarm(MonotonicTime now);
  std::string explain(const ExplainRequest& request) const;

  AgentOptions options_;
  Config config_;
  ConfigState config_state_{.taken = std::chrono::system_clock::now()};
  std::unique_ptr<cgroup::Root> root_;
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<PodCgroups> cgroups_;
  std::unique_ptr<StateFile> state_file_;
  std::unique_ptr<StateFile> floors_file_;
  std::unique_ptr<NodePods> pods_;
  std::unique_ptr<NodeAnnounce> announce_;
  std::unique_ptr<NodeStartup> startup_;
  std::unique_ptr<DecisionLog> log_;
  Timelines timelines_;
  StatusBoard board_;
  Activity activity_;
  StateStats state_stats_;
  ApiTally tally_;
  std::string state_trouble_;
  std::string floors_trouble_;
  bool synced_ = false;
  bool told_armed_ = false;
  bool boost_may_rise_ = false;                 // since the engine's last tick
  std::optional<MonotonicTime> drop_pages_at_;  // agent/node/resident_memory
  ApiServerHealth api_;
  std::unique_ptr<ConfigWatch> config_watch_;
  std::unique_ptr<SystemdUnits> systemd_;
  std::unique_ptr<Resizer> resizer_;
  std::unique_ptr<kube::Client> event_client_;
  std::unique_ptr<EventPoster> poster_;
  std::unique_ptr<ApiProbe> probe_;
  std::unique_ptr<PodWatcher> watcher_;
  std::unique_ptr<ExplainServer> explain_server_;
  std::unique_ptr<StatusServer> status_server_;
  Timer alarm_;
  Timer ticks_;
};

}  // namespace plimsoll::agent
