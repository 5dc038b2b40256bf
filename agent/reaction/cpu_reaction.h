// SPDX-License-Identifier: Apache-2.0
//
// The CPU thread: throttle event -> verdict -> cpu.max written, and written back when the need is
// over; what it does is CpuLimits. It does all writes of cpu.max and cpu.max.burst, those of the
// slow loop included, so that no two race. Apart from the reaction thread, since a write takes a
// mutex of the kernel and walks all cgroups; real-time below it. Nothing is held here: a throttled
// task waits anyway.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "agent/policy/cpu.h"
#include "agent/reaction/cpu_command.h"
#include "agent/reaction/cpu_limits.h"
#include "agent/reaction/cpu_meter.h"
#include "base/clock.h"
#include "base/result.h"
#include "base/wakeup.h"
#include "bpf/cpu_programs.h"

namespace plimsoll::agent {

class CpuReaction {
 public:
  // `programs` may be null; it and `reports`, which a report rings, must outlive this. Starts the
  // thread; without `own_thread` the caller is it, by turn().
  static Result<std::unique_ptr<CpuReaction>> start(const CpuPolicy& policy,
                                                    bpf::CpuPrograms* programs,
                                                    const Wakeup& reports, bool own_thread = true);
  // Obeys, and when `is_time` looks at what is watched.
  // False: there was nothing.
  bool turn(bool is_time) noexcept;
  // Stops and joins the thread: nothing is written from now on.
  void stop();
  ~CpuReaction();  // stops
  CpuReaction(const CpuReaction&) = delete;
  CpuReaction& operator=(const CpuReaction&) = delete;

  // The slow loop's side: see Mailbox.
  bool send(const CpuCommand& command) { return mailbox_.send(command); }
  std::optional<CpuReport> receive() { return mailbox_.receive(); }
  // The policy that holds from now on. False: the thread has yet to take in what it was told
  // before; again at the next tick.
  bool configure(const CpuPolicy& policy);
  bool idle() const { return mailbox_.idle(); }
  std::uint64_t reports_lost() const { return mailbox_.reports_lost(); }
  std::int64_t granted() const { return limits_.granted(); }  // see CpuLimits

 private:
  CpuReaction(const CpuPolicy& policy, bpf::CpuPrograms* programs, Wakeup commands,
              const Wakeup& reports, Timer timer);
  void run();

  CpuPolicy next_policy_;  // the slow loop's while idle(), the thread's otherwise
  bpf::CpuPrograms* programs_;
  CpuMailbox mailbox_;
  CpuMeter meter_;
  CpuLimits limits_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace plimsoll::agent
