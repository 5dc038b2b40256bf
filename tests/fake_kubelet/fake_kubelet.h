// SPDX-License-Identifier: Apache-2.0
//
// FakeKubelet: stands for kubelet and container runtime on one node. It watches the API fake for
// the pods of its node (over the control port), makes their cgroups, runs their commands, carries
// out resizes late and in the kubelet's order, and tells status and conditions. On the kernel's
// cgroup tree or on one of ordinary files.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/fake_kubelet/layout.h"
#include "tests/fake_kubelet/pod_state.h"

namespace plimsoll::test {

struct FakeKubeletOptions {
  std::uint16_t api = 0;  // the control port of the API fake
  std::string node = "node-a";
  std::string cpu = "4";       // allocatable
  std::string memory = "4Gi";  // allocatable
  std::string cgroup_root = "/sys/fs/cgroup";
  // Makes a group with its files, where no kernel does; then commands are not run either, unless
  // `run` says so. Probes are.
  std::function<void(const std::string&)> made;
  bool run = false;
  // Told the group and the file of each write just before it, on the kubelet's thread.
  std::function<void(const std::string&, const std::string&)> writing;
  Layout layout;
  std::string logs;
  bool sandbox = true;

  // From seeing a changed spec to the container's new limit; the status comes a little later.
  std::chrono::milliseconds least_delay{300};
  std::chrono::milliseconds most_delay{700};
  // Until a lowering that failed says so, and is tried again.
  std::chrono::milliseconds error_delay = std::chrono::seconds(11);
  // Of the second restart; doubled with each, at most 5 minutes. The first is at once.
  std::chrono::milliseconds backoff = std::chrono::seconds(10);
  // The slice keeps its old limit when a container starts again with a larger one (k/k#138760).
  bool slice_left_small = false;
};

// Where a container of a pod is now.
struct ContainerPlace {
  std::string id;
  std::string slice;  // below the root
  std::string group;  // below the root, "" when it does not run
  bool running = false;
  bool ready = false;
  int restarts = 0;
  std::optional<std::chrono::steady_clock::time_point> running_since;
  std::optional<std::chrono::steady_clock::time_point> pod_ready_since;  // all containers are
};

class FakeKubelet {
 public:
  // Registers the node. Throws std::runtime_error when the API does not take it.
  explicit FakeKubelet(FakeKubeletOptions options);
  ~FakeKubelet();
  FakeKubelet(const FakeKubelet&) = delete;
  FakeKubelet& operator=(const FakeKubelet&) = delete;

  // Of resizes from here on. `pod` is "namespace/name", or "*" for those without a mode of their
  // own. A pod that was deferred and may go on does.
  void set_mode(const std::string& pod, ResizeMode mode);
  void set_delay(std::chrono::milliseconds least, std::chrono::milliseconds most);

  // Section 3.5. False when there is no such pod or container.
  bool daemon_reload(const std::string& pod);
  bool restart_container(const std::string& pod, const std::string& container);
  bool write_slice(const std::string& pod, std::int64_t bytes);

  std::optional<ContainerPlace> place(const std::string& pod, const std::string& container) const;
  // How many pods have all containers running and nothing left to resize.
  std::size_t settled() const;
  // Waits, at most so long, until `condition` holds; looked at after every turn.
  bool wait(const std::function<bool()>& condition,
            std::chrono::milliseconds most = std::chrono::seconds(20)) const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace plimsoll::test
