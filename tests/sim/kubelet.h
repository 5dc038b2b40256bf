// SPDX-License-Identifier: Apache-2.0
//
// The kubelet of the node and its container runtime: makes the cgroups of the pods that the API
// has, carries out resizes in the order of kubernetes-resize.md (the slice first, all limits of a
// container whatever has changed), and tells in the status how far it is.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/units.h"
#include "kube/pod.h"
#include "tests/sim/act.h"
#include "tests/sim/api_server.h"
#include "tests/sim/cgroups.h"

namespace plimsoll::sim {

struct RunningContainer {
  std::string name;
  std::string path;
  kube::Resources actuated;
  MonotonicTime since;
};

struct RunningPod {
  std::string slice;
  std::vector<RunningContainer> containers;
  std::int64_t generation = 0;       // that was looked at
  std::optional<MonotonicTime> due;  // to look again
};

// A write of the kubelet's that the kernel did not take.
struct FailedWrite {
  std::string uid;
  std::string container;
};

class Kubelet {
 public:
  Kubelet(ApiServer& api, Cgroups& cgroups) : api_(api), cgroups_(cgroups) {}

  void behave(KubeletMode mode, Nanoseconds late) {
    mode_ = mode;
    late_ = late;
  }
  // Notes what has changed in the API, and does what is due.
  void turn(MonotonicTime now);
  std::optional<MonotonicTime> next() const;

  const std::map<std::string, RunningPod>& pods() const { return pods_; }
  const RunningContainer* find(const std::string& uid, const std::string& name) const;
  // In a new cgroup, under a new id.
  void restart(const std::string& uid, const std::string& name, bool killed, MonotonicTime now);
  // All limits as they were last written.
  void reload(const std::string& uid);

  // Since the last call.
  std::vector<FailedWrite> take_failed() { return std::exchange(failed_, {}); }

 private:
  void start(const kube::Pod& pod, MonotonicTime now);
  void make(const kube::Pod& pod, RunningPod& running, const std::string& name, MonotonicTime now);
  void write_slice(const kube::Pod& pod, const RunningPod& running);
  void actuate(const kube::Pod& pod, RunningPod& running, MonotonicTime now);
  void tell(const std::string& uid, const std::string& reason, const std::string& message);

  ApiServer& api_;
  Cgroups& cgroups_;
  KubeletMode mode_ = kApplies;
  Nanoseconds late_ = std::chrono::milliseconds(400);
  std::map<std::string, RunningPod> pods_;
  std::vector<FailedWrite> failed_;
  std::uint64_t made_ = 0;
  std::uint64_t seen_ = 0;  // the version of the API that was looked at
};

}  // namespace plimsoll::sim
