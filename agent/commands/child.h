// SPDX-License-Identifier: Apache-2.0
//
// One command, started inside a cgroup, with our terminal, standard streams and environment.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "cgroup/group.h"
#include "cgroup/writer.h"

namespace plimsoll::agent {

struct ExitStatus {
  int code = 0;  // 0 to 255; 128 + signal when a signal ended it
  std::optional<int> signal;

  bool operator==(const ExitStatus&) const = default;
};

class Child {
 public:
  // The command runs in `group` from its first instruction on. Errors carry the shell's exit codes:
  // kGone: there is no such command (127); kDenied: it cannot be executed (126).
  static Result<Child> start(const std::vector<std::string>& command, const cgroup::Group& group,
                             const cgroup::Writer& writer);

  pid_t pid() const { return pid_; }
  // Readable when the command has ended.
  int exit_fd() const { return pidfd_.get(); }
  // Fine when it has ended already.
  void send(int signal) const;
  // Blocks until the command has ended.
  ExitStatus wait() const;

 private:
  Child(pid_t pid, Fd pidfd) : pid_(pid), pidfd_(std::move(pidfd)) {}

  pid_t pid_;
  Fd pidfd_;
};

}  // namespace plimsoll::agent
