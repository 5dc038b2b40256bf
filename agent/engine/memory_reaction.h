// SPDX-License-Identifier: Apache-2.0
//
// The reaction path: event -> verdict -> limit written, on a thread of its own. It is real-time
// where that is allowed, its memory is locked, and between the event and the write there is no
// allocation, no log, no lock, no network and no disk. All that takes longer (budget, leaks, what
// may grow how far) was decided before by the slow loop and is handed over through a bounded queue.
//
// A deputy on the other half of the CPUs sees the same events. Where a held task spins in the
// kernel, a real-time thread that last ran on that CPU is woken there and waits for the end of the
// hold: then the deputy answers. They take turns, and who comes second does not wait.
//
// It is also the only place that raises limits: the slow loop sends its own raises here, so that
// two raises never race. Lowering is the slow loop's.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "agent/engine/fallback_signals.h"
#include "agent/engine/realtime.h"
#include "agent/policy/memory.h"
#include "agent/policy/snapshot.h"
#include "base/fd.h"
#include "base/mailbox.h"
#include "base/result.h"
#include "base/units.h"
#include "base/wakeup.h"
#include "bpf/memory_programs.h"
#include "cgroup/limit_file.h"

namespace plimsoll::agent {

// What the slow loop tells the reaction thread.
struct Command {
  enum class Kind : std::uint8_t {
    kTrack,     // from now on `limit_file` is the way to the limit of `slot`
    kUntrack,   // forget it; answered by Report::kUntracked, after which the file may be closed
    kArm,       // how far events may go
    kRaise,     // write `limit` now, a decision of the slow loop
    kAnnounce,  // `limit` is needed for announced work: as far as ceiling and budgets go
    kRewrite,   // put the last raise back: a lowering of the slow loop ran over it
    kBudget,    // `budget` is what may be given away, all grants up to `granted_before` counted in
    kGroupBudget,  // the same for `armed.group`
    kParent,       // `parent` is the parent from now on
    kWish,         // `limit` was wished at `at`; 0: what was wished will not come
    kConfigure,    // see configure()
  };
  Kind kind = Kind::kArm;
  Slot slot = 0;
  std::uint32_t epoch = 0;
  const cgroup::LimitFile* limit_file = nullptr;
  FallbackSignals* signals = nullptr;  // tier C: what stands in for the hold; else null
  std::optional<Slot> parent;
  Armed armed;
  Bytes limit;
  Bytes budget;
  Bytes granted_before;
  MonotonicTime at;
  Reason reason = Reason::kEnoughHeadroom;
  bool promised = false;  // kRaise: the budget has paid for it already
};

// What the reaction thread did.
struct Report {
  enum class Kind : std::uint8_t { kGrant, kDenial, kFailure, kUntracked, kWish };
  Kind kind = Kind::kGrant;
  Slot slot = 0;
  std::uint32_t epoch = 0;
  Layer layer = Layer::kPredicted;
  Reason reason = Reason::kEnoughHeadroom;
  MemoryFacts facts;           // as the event had them
  Bytes from;                  // the limit before; kWish: the limit that stands
  Bytes to;                    // kGrant: the new limit; kWish: the limit that is needed
  int error = 0;               // kFailure: errno of the write
  MonotonicTime event_time;    // when the kernel saw the need
  MonotonicTime written_time;  // when the write had returned
};

class MemoryReaction {
 public:
  // `programs` may be null (tier C) and must outlive this. Starts the thread; without `own_thread`
  // the caller is it, by the two below, and `programs` is null.
  static Result<std::unique_ptr<MemoryReaction>> start(const MemoryPolicy& policy,
                                                       bpf::MemoryPrograms* programs,
                                                       bool own_thread = true);
  void obey_all() noexcept;
  void look_at(Slot slot) noexcept { on_sign(slot); }
  // Stops and joins the threads: nothing is written from now on.
  void stop();
  ~MemoryReaction();  // stops
  MemoryReaction(const MemoryReaction&) = delete;
  MemoryReaction& operator=(const MemoryReaction&) = delete;

  const ReactionQuality& quality() const { return quality_; }

  // The slow loop's side: see Mailbox.
  bool send(const Command& command) { return mailbox_.send(command); }
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

  // Sum of all raises so far (new limit minus old), for Command::granted_before.
  // Wishes count as raises do. Read it before the reports are fetched: then the wishes that it
  // counts are among them.
  Bytes granted() const { return {granted_.load(std::memory_order_acquire)}; }
  Bytes granted(BudgetGroup group) const {
    return {granted_in_group_[group % kMaxGroups].load(std::memory_order_acquire)};
  }
  // The thread's last sign of life; it gives one at least four times a second.
  MonotonicTime beat() const {
    return MonotonicTime(Nanoseconds(beat_.load(std::memory_order_relaxed)));
  }
  // Raises of `slot` so far.
  std::uint64_t raises(Slot slot) const;

  // While it lives, the calling thread lowers the limit of `slot`, and a raise of it interrupts the
  // system call that the thread is in. A write to memory.max that finds more in use reclaims until
  // usage fits, and does not look whether the limit was raised meanwhile, only for signals.
  class Lowering {
   public:
    Lowering(MemoryReaction& reaction, Slot slot);
    ~Lowering();
    Lowering(const Lowering&) = delete;
    Lowering& operator=(const Lowering&) = delete;
    // A raise came since this began, and the lowering may have run over it.
    bool raised() const;

   private:
    MemoryReaction& reaction_;
    Slot slot_;
    std::uint64_t raises_;
  };

 private:
  struct Entry;

  MemoryReaction(const MemoryPolicy& policy, bpf::MemoryPrograms* programs, Wakeup commands,
                 Wakeup reports);
  void run();
  void run_deputy();
  bool take_turn() noexcept;
  bool drain() noexcept;
  void obey(const Command& command) noexcept;
  static void on_event(void* reaction, const pl_memory_event& event) noexcept;
  void on_sign(Slot slot) noexcept;
  void react(Slot slot, const MemoryFacts& facts, Layer layer, MonotonicTime event_time) noexcept;
  void announce(const Command& command) noexcept;
  bool wish(Slot slot, const Report& wished) noexcept;
  int raise(Entry& entry, Bytes to, Bytes promised) noexcept;
  void raise_parents(const Entry& entry, Bytes increase, Bytes to) noexcept;
  Slot slot_of(const Entry& entry) const noexcept;
  bool is_being_written(const Entry& entry) const noexcept;
  int write_limit(Entry& entry, Bytes to) noexcept;
  Budgets budgets_of(const Entry& entry, MonotonicTime time) const noexcept;
  void charge(const Entry& entry, Bytes bytes) noexcept;
  void rearm(Slot slot) noexcept;
  void arm(Slot slot) noexcept;
  void arm_all() noexcept;
  void disarm(Slot slot) noexcept;

  MemoryPolicy policy_;
  MemoryPolicy next_policy_;  // the slow loop's while idle(), the threads' otherwise
  bpf::MemoryPrograms* programs_;
  ReactionQuality quality_;
  Wakeup report_wakeup_;
  Mailbox<Command, Report, 2048, 1024> mailbox_;
  Fd epoll_;
  std::vector<Entry> entries_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> raises_;
  std::atomic<Slot> lowered_{bpf::kMaxSlots};
  std::atomic<pid_t> lowering_thread_{0};
  // Nothing until the first kBudget and kGroupBudget.
  Bytes budget_;
  std::array<Bytes, kMaxGroups> group_budget_{};
  // Of all that are armed, the largest budget that one of them needs: below it somebody has to be
  // disarmed. And whether somebody waits for a larger one.
  Bytes enough_;
  std::array<Bytes, kMaxGroups> group_enough_{};
  bool somebody_waits_ = false;
  std::atomic<std::uint64_t> granted_{0};
  std::array<std::atomic<std::uint64_t>, kMaxGroups> granted_in_group_{};
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
