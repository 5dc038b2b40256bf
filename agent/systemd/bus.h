// SPDX-License-Identifier: Apache-2.0
//
// SystemdConnection: one connection to a systemd and one call on it at a time, never waiting. Used
// by the thread of SystemdUnits only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// How systemd is reached.
struct SystemdBus {
  enum class Kind : std::uint8_t { kMessageBus, kPrivate };
  Kind kind = Kind::kPrivate;
  // A socket. kPrivate: systemd's own, which only root may use and which needs no D-Bus daemon.
  std::string socket = "/run/systemd/private";
};

struct UnitLimits {
  std::string unit;  // unit_of_cgroup()
  std::string path;  // its cgroup, below the root
  std::optional<Limit> memory_max;
  // CPUQuotaPerSecUSec: CPU time per second, whole milliseconds; kNoLimit's like is 2^64-1.
  std::optional<std::uint64_t> cpu_quota_us_per_second;

  bool operator==(const UnitLimits&) const = default;
};

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
