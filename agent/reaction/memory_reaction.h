// SPDX-License-Identifier: Apache-2.0
//
// The reaction path: event -> verdict -> limit written, on a thread of its own. It is real-time
// where that is allowed, and its memory is locked; what it does is MemoryLimits. All that takes
// longer (budget, leaks, what may grow how far) was decided before by the slow loop and is handed
// over through a bounded queue.
//
// A deputy on the other half of the CPUs sees the same events. Where a held task spins in the
// kernel, a real-time thread that last ran on that CPU is woken there and waits for the end of the
// hold: then the deputy answers. They take turns, and who comes second does not wait.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>

#include "agent/policy/memory.h"
#include "agent/policy/snapshot.h"
#include "agent/reaction/memory_command.h"
#include "agent/reaction/memory_limits.h"
#include "agent/reaction/realtime.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "base/wakeup.h"
#include "bpf/memory_programs.h"

namespace plimsoll::agent {

class MemoryReaction {
 public:
  // `programs` may be null (tier C) and must outlive this. Starts the thread; without `own_thread`
  // the caller is it, by the two below, and `programs` is null.
  static Result<std::unique_ptr<MemoryReaction>> start(const MemoryPolicy& policy,
                                                       bpf::MemoryPrograms* programs,
                                                       bool own_thread = true);
  void obey_all() noexcept;
  void look_at(Slot slot) noexcept { limits_.on_sign(slot); }
  // Stops and joins the threads: nothing is written from now on.
  void stop();
  ~MemoryReaction();  // stops
  MemoryReaction(const MemoryReaction&) = delete;
  MemoryReaction& operator=(const MemoryReaction&) = delete;

  const ReactionQuality& quality() const { return quality_; }

  // The slow loop's side: see Mailbox.
  bool send(const MemoryCommand& command) { return mailbox_.send(command); }
  std::optional<Report> receive() {
    report_wakeup_.clear();
    return mailbox_.receive();
  }
  // The policy that holds from now on. False: the thread has yet to take in what it was told
  // before; again at the next tick.
  bool configure(const MemoryPolicy& policy);
  bool idle() const { return mailbox_.idle(); }
  std::uint64_t reports_lost() const { return mailbox_.reports_lost(); }
  // Readable when a report waits, until receive(); the CPU thread rings it, too.
  const Wakeup& report_wakeup() const { return report_wakeup_; }

  // The thread's last sign of life; it gives one at least four times a second.
  MonotonicTime beat() const {
    return MonotonicTime(Nanoseconds(beat_.load(std::memory_order_relaxed)));
  }
  // For what any thread may ask and do there.
  MemoryLimits& limits() { return limits_; }

 private:
  MemoryReaction(const MemoryPolicy& policy, bpf::MemoryPrograms* programs, Wakeup commands,
                 Wakeup reports);
  void run();
  Result<void> watch_events();  // of the programs, by both threads
  void run_deputy();
  bool take_turn() noexcept;

  MemoryPolicy next_policy_;  // the slow loop's while idle(), the threads' otherwise
  bpf::MemoryPrograms* programs_;
  ReactionQuality quality_;
  Wakeup report_wakeup_;
  MemoryMailbox mailbox_;
  Fd epoll_;
  MemoryLimits limits_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::int64_t> beat_{0};
  // Whose turn it is: who finds it set lets the other one work and never waits.
  std::atomic_flag turn_ = ATOMIC_FLAG_INIT;
  Fd deputy_epoll_;
  Wakeup deputy_stop_;
  std::thread thread_;
  std::thread deputy_;
};

}  // namespace plimsoll::agent
