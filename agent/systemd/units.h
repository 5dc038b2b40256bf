// SPDX-License-Identifier: Apache-2.0
//
// SystemdUnits: tells systemd of limits that were written to the cgroup files, so that it does not
// write its own older ones over them (after a daemon-reload it does, for a pod's slice and all
// scopes in it, when one of them restarts). A thread of its own; never on the reaction path. The
// file is written first, by whoever decided; this is for the memory of systemd.
//
// systemd also writes what it is told to the file, some milliseconds later. So a value goes out
// only when it has settled, one at a time, and never with less room above what the cgroup cannot
// give back than a raise needs that happens meanwhile; and whoever raised looks again when the
// outcome arrives.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/systemd/bus.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/root.h"

namespace plimsoll::agent {

struct SystemdUnitsConfig {
  SystemdBus bus;
  Nanoseconds settle = std::chrono::milliseconds(200);  // a value waits this long for a newer one
  Nanoseconds timeout = std::chrono::seconds(5);        // for one answer
  Nanoseconds backoff = std::chrono::seconds(1);  // after the first failure to reach it; doubles
  // Room that a memory limit must leave above what cannot be reclaimed, or a quarter of the limit
  // where that is less. At 2 GB/s 32 MiB are 16 ms.
  Bytes headroom{32 * kMiB};
  std::size_t most_waiting = 1024;  // units
};

struct UnitOutcome {
  UnitLimits limits;  // as they were sent
  // kGone: no such unit or cgroup. kUnavailable: systemd does not answer; it is told again later,
  // unless something newer is. Others are final.
  std::optional<Error> error;
};

struct SystemdUnitsCounters {
  std::uint64_t told = 0;        // acknowledged and carried out
  std::uint64_t failed = 0;      // refused, or no answer
  std::uint64_t superseded = 0;  // replaced by a newer value before they were sent
  std::uint64_t dropped = 0;     // too many waiting
  std::uint64_t deferred = 0;    // looked at and put off for lack of headroom
  std::uint64_t connects = 0;
  std::uint64_t outcomes_lost = 0;  // nobody collected them
};

class SystemdUnits {
 public:
  // Starts the thread; it connects when there is something to tell, and again after a failure.
  // `root` outlives it.
  static Result<std::unique_ptr<SystemdUnits>> start(const cgroup::Root& root,
                                                     const SystemdUnitsConfig& config);
  // Stops at once: what waits is not told.
  ~SystemdUnits();
  SystemdUnits(const SystemdUnits&) = delete;
  SystemdUnits& operator=(const SystemdUnits&) = delete;

  // Everything below: one thread, the slow loop's; none of it waits for systemd.

  // Replaces what waits for the same unit. False: too many units wait.
  bool tell(const UnitLimits& limits);
  // Forgets what waits for it.
  void forget(const std::string& unit);
  std::vector<UnitOutcome> collect();
  // Readable when collect() has something.
  int outcome_fd() const;
  SystemdUnitsCounters counters() const;
  // Nothing waits and nothing is under way.
  bool idle() const;

 private:
  class Thread;

  explicit SystemdUnits(std::unique_ptr<Thread> thread);

  std::unique_ptr<Thread> thread_;
};

}  // namespace plimsoll::agent
