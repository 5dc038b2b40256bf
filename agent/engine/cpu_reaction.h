// SPDX-License-Identifier: Apache-2.0
//
// The CPU thread: throttle event -> verdict -> cpu.max written, and written back when the need is
// over. It does all writes of cpu.max and cpu.max.burst, those of the slow loop included, so that
// no two race. Apart from the reaction thread, since a write takes a mutex of the kernel and walks
// all cgroups; real-time below it. Nothing is held here: a throttled task waits anyway.
//
// Between the event and the write there is no allocation, no log, no network and no disk.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "agent/engine/cpu_meter.h"
#include "agent/engine/cpu_tracked.h"
#include "agent/policy/cpu.h"
#include "agent/policy/snapshot.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/mailbox.h"
#include "base/result.h"
#include "base/units.h"
#include "base/wakeup.h"
#include "bpf/cpu_programs.h"
#include "cgroup/cpu_files.h"

namespace plimsoll::agent {

// What the slow loop tells the CPU thread.
struct CpuCommand {
  enum class Kind : std::uint8_t {
    kTrack,
    kUntrack,    // forget it; answered by CpuReport::kUntracked, after which it may be destroyed
    kArm,        // how far events may go
    kParent,     // `parent` is the parent from now on
    kObserve,    // somebody has written cpu.max: read it again
    kRaise,      // to `limit`, a decision of the slow loop
    kLower,      // to `limit`
    kAhead,      // raise to `limit`, as far as budget and bounds allow, before it is throttled
    kKeep,       // raise to `limit` whatever the budget, and stay there; 0: back to the floor
    kWatch,      // it was throttled lately; without BPF only
    kBudget,     // `budget` is what may be given away, all grants up to `granted_before` counted in
    kForget,     // what was wished will not come
    kConfigure,  // see configure()
  };
  Kind kind = Kind::kArm;
  CpuTracked* tracked = nullptr;
  CpuTracked* parent = nullptr;
  CpuArmed armed;
  MilliCpu limit;
  MilliCpu budget;
  std::int64_t granted_before = 0;
  Reason reason = Reason::kEnoughHeadroom;
};

// What the CPU thread did.
struct CpuReport {
  enum class Kind : std::uint8_t { kGrant, kLowered, kDenial, kFailure, kWish, kUntracked };
  Kind kind = Kind::kGrant;
  CpuTracked* tracked = nullptr;
  Layer layer = Layer::kAtTheLimit;
  Reason reason = Reason::kThrottled;
  CpuFacts facts;  // as the event had them
  MilliCpu from;
  MilliCpu to;
  std::optional<microseconds> burst;  // kGrant: that was written, and the limit stands
  int error = 0;                      // kFailure: errno of the write
  MonotonicTime event_time;
  MonotonicTime written_time;
};

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
  // Raises less lowerings so far, in thousandths of a CPU, for CpuCommand::granted_before.
  std::int64_t granted() const { return granted_.load(std::memory_order_acquire); }

 private:
  CpuReaction(const CpuPolicy& policy, bpf::CpuPrograms* programs, Wakeup commands,
              const Wakeup& reports, Timer timer);
  void run();
  void obey(const CpuCommand& command) noexcept;
  static void on_event(void* reaction, const pl_cpu_event& event) noexcept;
  void on_throttle(CpuTracked& tracked, CpuFacts facts, MonotonicTime time) noexcept;
  CpuTracked* busiest_child(const CpuTracked& tracked) const noexcept;
  bool react(CpuTracked& tracked, const CpuFacts& facts, MonotonicTime time) noexcept;
  int give_burst(CpuTracked& tracked, microseconds burst) noexcept;
  void look(CpuTracked& tracked, MonotonicTime now) noexcept;
  int raise(CpuTracked& tracked, MilliCpu to, MonotonicTime now) noexcept;
  void raise_parents(const CpuTracked& tracked, MilliCpu increase, MilliCpu to,
                     MonotonicTime now) noexcept;
  void raise_ahead(CpuTracked& tracked, MilliCpu to, Reason reason, MonotonicTime now) noexcept;
  void withdraw(CpuTracked& tracked, MonotonicTime now) noexcept;
  void lower(CpuTracked& tracked, MilliCpu to, Reason reason, MonotonicTime now) noexcept;
  MilliCpu floor_of(const CpuTracked& tracked) const noexcept;
  int write(CpuTracked& tracked, MilliCpu to) noexcept;
  void charge(MilliCpu from, MilliCpu to) noexcept;
  MilliCpu available_to(const CpuTracked& tracked, MonotonicTime now) const noexcept;
  void wish(CpuTracked& tracked, CpuReport told) noexcept;
  bool answers_at_once(const CpuTracked& tracked, MonotonicTime now) const noexcept;
  void arm(CpuTracked& tracked) noexcept;
  void disarm(CpuTracked& tracked) noexcept;
  void refresh() noexcept;
  void report(CpuReport report) noexcept;

  CpuPolicy policy_;
  CpuPolicy next_policy_;  // the slow loop's while idle(), the thread's otherwise
  bpf::CpuPrograms* programs_;
  Mailbox<CpuCommand, CpuReport, 1024, 512> mailbox_;
  Fd epoll_;
  CpuMeter meter_;
  std::vector<CpuTracked*> by_slot_;
  std::int64_t budget_ = 0;  // thousandths; below 0: overdrawn by what is kept
  std::atomic<std::int64_t> granted_{0};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace plimsoll::agent
