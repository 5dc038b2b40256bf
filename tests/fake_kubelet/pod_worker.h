// SPDX-License-Identifier: Apache-2.0
//
// PodWorker: what the fake kubelet does about one pod in one turn: containers that ended, resizes
// that are due. Used from one thread at a time.
#pragma once

#include <map>
#include <optional>
#include <random>
#include <string>

#include "tests/fake_kubelet/api_client.h"
#include "tests/fake_kubelet/pod_cgroups.h"
#include "tests/fake_kubelet/pod_state.h"

namespace plimsoll::test {

struct FakeKubeletOptions;

class PodWorker {
 public:
  PodWorker(const FakeKubeletOptions& options, const KubeletApi& api);

  // A pod that is new here: its cgroups and containers. None for pods that are not run: mirrors,
  // those that ended, those whose cgroup cannot be made.
  std::optional<PodState> admit(const Json& object);
  // The API has another state of it.
  void changed(PodState& pod, const Json& object);
  void turn(PodState& pod);
  void remove(PodState& pod) { cgroups_.remove(pod); }
  // As after a crash, whatever the policy: ends it and starts it anew at once.
  bool restart(PodState& pod, const std::string& container);

  void set_mode(const std::string& pod, ResizeMode mode) { modes_[pod] = mode; }
  void set_delay(std::chrono::milliseconds least, std::chrono::milliseconds most);
  PodCgroups& cgroups() { return cgroups_; }

 private:
  ResizeMode mode_of(const PodState& pod) const;
  void look_at_containers(PodState& pod);
  void ended(PodState& pod, ContainerState& container, const ExitState& state);
  void start(PodState& pod, ContainerState& container);
  void begin_resize(PodState& pod);
  void go_on(PodState& pod);
  void refuse(PodState& pod, ResizeMode mode);
  void restart_for_policy(PodState& pod, const Json& before);
  void finish(PodState& pod);
  void publish(PodState& pod);

  const FakeKubeletOptions& options_;
  const KubeletApi& api_;
  PodCgroups cgroups_;
  int minor_;
  std::chrono::milliseconds least_delay_;
  std::chrono::milliseconds most_delay_;
  std::map<std::string, ResizeMode> modes_;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace plimsoll::test
