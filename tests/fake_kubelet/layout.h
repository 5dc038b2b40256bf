// SPDX-License-Identifier: Apache-2.0
//
// Layout: where a kubelet and its container runtime put the cgroups of a pod, below the root of
// the cgroup tree.
#pragma once

#include <string>
#include <vector>

namespace plimsoll::test {

struct Layout {
  bool systemd = true;                 // the cgroup driver; else cgroupfs
  std::string runtime = "containerd";  // containerd, cri-o or docker
  std::vector<std::string> prefix;     // --cgroup-root, name by name: {"kubelet"}

  // `qos` is "Guaranteed", "Burstable" or "BestEffort".
  std::string pod(const std::string& qos, const std::string& uid) const;
  // Of a container or of the sandbox, below the pod.
  std::string container(const std::string& pod, const std::string& id) const;
  // As status.containerStatuses[].containerID says it.
  std::string container_id(const std::string& id) const;
};

}  // namespace plimsoll::test
