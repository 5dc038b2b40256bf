// SPDX-License-Identifier: Apache-2.0
//
// The simulated cluster: one node, its API server, kubelet, cgroups, programs and agent, in virtual
// time and on one thread. It runs a history to its end, or until something holds no more that must
// (tests/sim/invariants).
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "kube/pod_watch.h"
#include "tests/sim/act.h"
#include "tests/sim/api_server.h"
#include "tests/sim/cgroups.h"
#include "tests/sim/invariants.h"
#include "tests/sim/kubelet.h"
#include "tests/sim/node_agent.h"

namespace plimsoll::sim {

class World {
 public:
  // Its files are below `directory`, which is empty.
  World(const std::filesystem::path& directory, const agent::Config& config);

  std::optional<Violation> run(const History& history);
  // A line on standard error for each step in which a limit, a spec or a request is another one.
  void trace() { traces_ = true; }

 private:
  // What a container's program does.
  struct Program {
    Bytes need{16 * kMiB};
    Bytes per_second{64 * kMiB};
    MilliCpu busy;
    std::optional<MonotonicTime> too_big;  // since when more is in use than the limit allows
  };
  struct Under {  // a request under way
    MonotonicTime at;
    agent::ResizerOutcome outcome;
  };
  struct News {
    MonotonicTime at;
    kube::PodChange change;
  };

  MonotonicTime next(MonotonicTime until) const;
  void act(const Act& act);
  void create(const Act& act);
  void resize(const Act& act);
  void put_back();
  void start_agent();
  void end_agent(bool clean);
  void hand_over();
  agent::ResizeOutcome do_now(const agent::SendResize& send);
  void set_mode(ApiMode mode);
  void list();
  void watch();
  void answer();
  void run_programs();
  void kill(const std::string& uid, const std::string& name);
  void turn();
  void show_step();
  std::string uid_of(int pod) const;
  bool is_growing() const;

  agent::Config config_;
  std::filesystem::path directory_;
  MonotonicTime now_;
  Cgroups cgroups_;
  ApiServer api_;
  Kubelet kubelet_;
  std::unique_ptr<NodeAgent> agent_;
  Invariants invariants_;
  std::optional<Violation> violation_;

  std::map<int, std::string> names_;         // uid of the pod of that number
  std::map<std::string, kube::Pod> backup_;  // as created
  std::map<std::pair<std::string, std::string>, Program> programs_;
  std::map<std::string, MonotonicTime> ending_;
  int created_ = 0;

  ApiMode mode_ = kHealthy;
  std::int64_t mode_value_ = 0;
  bool silent_ = false;  // the watch
  Nanoseconds watch_late_ = std::chrono::milliseconds(30);
  std::optional<MonotonicTime> list_at_;  // it was refused
  bool lists_ = false;                    // and nothing is watched before
  std::int64_t dies_after_ = 0;           // turns of the agent; 0: it lives
  std::optional<MonotonicTime> starts_at_;
  std::vector<News> news_;
  std::uint64_t watched_ = 0;                // the version of the API that was looked at
  std::map<std::string, std::string> told_;  // resourceVersion by uid
  std::map<std::string, kube::PodIdentity> identities_;
  std::vector<Asked> waiting_;
  std::vector<Under> under_;
  std::vector<Asked> queued_;  // at the API server, with when it is done

  struct PutBack {
    Nanoseconds every;
    Manager who = kGitOps;
    MonotonicTime at;
  };
  std::map<int, PutBack> put_back_;

  MonotonicTime next_tick_;
  MonotonicTime ran_;  // when programs ran last
  MonotonicTime busy_until_;
  bool something_came_ = false;
  bool traces_ = false;
  std::string shown_;
};

}  // namespace plimsoll::sim
