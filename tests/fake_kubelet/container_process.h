// SPDX-License-Identifier: Apache-2.0
//
// ContainerProcess: the first process of a fake container, in its cgroup; the program is one of the
// machine's own, for there are no images.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

namespace plimsoll::test {

struct ExitState {
  int code = 0;    // as the kubelet says it: 128+n after signal n
  int signal = 0;  // 0: it ended by itself
};

class ContainerProcess {
 public:
  // Output goes to `log`, appended; empty: where the kubelet's goes. None when it cannot start.
  static std::optional<ContainerProcess> start(const std::vector<std::string>& command,
                                               const std::vector<std::string>& environment,
                                               const std::string& cgroup, const std::string& log);

  pid_t pid() const { return pid_; }
  // None while it runs; afterwards always the same.
  std::optional<ExitState> ended();
  void kill() const;

 private:
  explicit ContainerProcess(pid_t pid) : pid_(pid) {}

  pid_t pid_;
  std::optional<ExitState> state_;
};

}  // namespace plimsoll::test
