// SPDX-License-Identifier: Apache-2.0
//
// Readiness: what the readinessProbe of a container's spec says of it. Of the kinds of probes only
// `exec` is known; it runs in the container's cgroup, as a runtime has it. Does not block.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/fake_api/json.h"
#include "tests/fake_kubelet/container_process.h"

namespace plimsoll::test {

class Readiness {
 public:
  using Clock = std::chrono::steady_clock;

  // Without a probe.
  Readiness() = default;
  // Of a container that starts at `now`. Not ready before the probe's first success.
  Readiness(const Json& container_spec, std::vector<std::string> environment,
            Clock::time_point now);

  // Of a container that runs.
  bool ready() const { return command_.empty() || ready_; }
  // Starts the probe when it is due and takes its result; true when ready() has changed. `cgroup`
  // and `log` as of ContainerProcess::start.
  bool turn(Clock::time_point now, const std::string& cgroup, const std::string& log);
  // Ends a probe that runs.
  void stop();

 private:
  bool take(bool success);

  std::vector<std::string> command_;
  std::vector<std::string> environment_;
  std::chrono::seconds period_{1};
  std::chrono::seconds timeout_{1};
  int successes_needed_ = 1;
  int failures_needed_ = 3;
  bool ready_ = false;
  int successes_ = 0;  // in a row
  int failures_ = 0;
  std::optional<ContainerProcess> probe_;
  Clock::time_point next_{};
  Clock::time_point late_{};
};

}  // namespace plimsoll::test
