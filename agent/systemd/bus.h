// SPDX-License-Identifier: Apache-2.0
//
// SystemdConnection: one connection to a systemd and one call on it at a time, never waiting. Used
// by the thread of SystemdUnits only.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "agent/systemd/units.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

class SystemdConnection {
 public:
  // kUnavailable: nobody listens there.
  static Result<std::unique_ptr<SystemdConnection>> open(const SystemdBus& bus);
  ~SystemdConnection();
  SystemdConnection(const SystemdConnection&) = delete;
  SystemdConnection& operator=(const SystemdConnection&) = delete;

  // Sends SetUnitProperties(unit, runtime, …) and, once it was answered, a ping: systemd writes to
  // the cgroup after its answer and before it looks at the ping. `done` is called from process().
  // One call at a time.
  using Done = std::function<void(std::optional<Error>)>;
  Result<void> set_properties(const UnitLimits& limits, Nanoseconds timeout, Done done);

  // What to wait for: descriptor, events for poll, and how long at most.
  int fd() const;
  short events() const;
  std::optional<MonotonicTime> deadline() const;
  // Reads and writes what can be; an error ends the connection.
  Result<void> process();

 private:
  struct Handle;

  explicit SystemdConnection(std::unique_ptr<Handle> handle);

  std::unique_ptr<Handle> handle_;
};

}  // namespace plimsoll::agent
