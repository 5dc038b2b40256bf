// SPDX-License-Identifier: Apache-2.0
#include "tests/fake_kubelet/layout.h"

#include <algorithm>

namespace plimsoll::test {

std::string Layout::pod(const std::string& qos, const std::string& uid) const {
  std::vector<std::string> names = prefix;
  names.emplace_back("kubepods");
  if (qos == "Burstable") names.emplace_back("burstable");
  if (qos == "BestEffort") names.emplace_back("besteffort");
  names.push_back("pod" + uid);
  std::string path;
  std::string expanded;
  for (std::string name : names) {
    if (systemd) {
      // Each slice carries the names of those above it; a dash would be one more level.
      std::replace(name.begin(), name.end(), '-', '_');
      expanded += (expanded.empty() ? "" : "-") + name;
      name = expanded + ".slice";
    }
    path += (path.empty() ? "" : "/") + name;
  }
  return path;
}

std::string Layout::container(const std::string& pod, const std::string& id) const {
  const std::string prefix_of_scope = runtime == "containerd" ? "cri-containerd-"
                                      : runtime == "cri-o"    ? "crio-"
                                                              : "docker-";
  if (systemd) return pod + "/" + prefix_of_scope + id + ".scope";
  return pod + "/" + (runtime == "cri-o" ? "crio-" : "") + id;
}

std::string Layout::container_id(const std::string& id) const { return runtime + "://" + id; }

}  // namespace plimsoll::test
