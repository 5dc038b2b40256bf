// SPDX-License-Identifier: Apache-2.0
//
// Worker: a process that sits in one cgroup and runs a loop on demand, timing it itself: page
// faults (touch memory, give it back), fork and exec, or round trips of a byte between two
// processes. Small and single-threaded, so that the loop is what is measured. Killed when it goes.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "cgroup/group.h"

namespace plimsoll::bench {

struct Task {
  enum class Kind : std::uint32_t { kPageFaults, kForkExec, kSwitches };
  Kind kind = Kind::kPageFaults;
  std::uint32_t pages = 0;  // kPageFaults: small pages touched in each turn
  std::uint32_t turns = 0;
};

class Worker {
 public:
  // `program` is what kForkExec executes, without arguments.
  static Result<Worker> start(const cgroup::Group& group, const std::string& program);
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;
  Worker(Worker&& other) noexcept;
  Worker& operator=(Worker&&) = delete;
  ~Worker();

  // Runs one turn that does not count, then the turns of `task`. Their time in nanoseconds.
  Result<double> run(const Task& task);

 private:
  Worker(Fd socket, pid_t pid);

  Fd socket_;
  pid_t pid_ = -1;
};

}  // namespace plimsoll::bench
