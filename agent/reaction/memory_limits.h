// SPDX-License-Identifier: Apache-2.0
//
// MemoryLimits: the limits of the tracked cgroups as the reaction thread keeps them. Events and
// commands go in, limits are written and reports come out; between an event and the write there is
// no allocation, no log, no lock, no network and no disk. The only place that raises limits: the
// slow loop sends its own raises here, so that two raises never race. Lowering is the slow loop's.
//
// One thread at a time, but for what says otherwise.
#pragma once

#include <signal.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "agent/policy/memory.h"
#include "agent/policy/snapshot.h"
#include "agent/reaction/budget_ledger.h"
#include "agent/reaction/memory_command.h"
#include "base/fd.h"
#include "base/units.h"
#include "bpf/memory_programs.h"
#include "cgroup/limit_file.h"

namespace plimsoll::agent {

class MemoryLimits {
 public:
  // `programs` may be null (tier C): then `epoll` is given the signs of each cgroup, by its slot.
  // All outlive this.
  MemoryLimits(const MemoryPolicy& policy, bpf::MemoryPrograms* programs, MemoryMailbox& mailbox,
               const Fd& epoll);
  ~MemoryLimits();
  MemoryLimits(const MemoryLimits&) = delete;
  MemoryLimits& operator=(const MemoryLimits&) = delete;

  // Answers the events that wait. False: there were none.
  bool drain() noexcept;
  void obey(const MemoryCommand& command) noexcept;
  // `slot` has given a sign, or may have: tier C.
  void on_sign(Slot slot) noexcept;

  // From any thread: sum of all raises so far (new limit minus old), for Budget::granted_before.
  // Wishes count as raises do. Read it before the reports are fetched: then the wishes that it
  // counts are among them.
  Bytes granted(BudgetGroup group = kNoGroup) const { return ledger_.granted(group); }
  // From any thread: raises of `slot` so far.
  std::uint64_t raises(Slot slot) const { return raises_[slot].load(); }

  // While it lives, the calling thread lowers the limit of `slot`, and a raise of it interrupts the
  // system call that the thread is in. A write to memory.max that finds more in use reclaims until
  // usage fits, and does not look whether the limit was raised meanwhile, only for signals.
  class Lowering {
   public:
    // Ignored where nobody asked for it, and nobody else here does.
    static constexpr int kSignal = SIGURG;

    Lowering(MemoryLimits& limits, Slot slot);
    ~Lowering();
    Lowering(const Lowering&) = delete;
    Lowering& operator=(const Lowering&) = delete;
    // A raise came since this began, and the lowering may have run over it.
    bool raised() const { return limits_.raises(slot_) != raises_; }

   private:
    MemoryLimits& limits_;
    Slot slot_;
    std::uint64_t raises_;
  };

 private:
  struct Entry;
  struct Obey;

  Entry& at(Slot slot) const noexcept;
  Entry* find(const Tenant& tenant) const noexcept;
  void react(Entry& entry, const MemoryFacts& facts, Layer layer, MonotonicTime time) noexcept;
  bool wish(Entry& entry, const Report& wished) noexcept;
  Budgets budgets_of(const Entry& entry, MonotonicTime time) const noexcept;
  int raise(Entry& entry, Bytes to, Bytes promised) noexcept;
  void raise_parents(const Entry& entry, Bytes increase, Bytes to) noexcept;
  bool is_being_written(const Entry& entry) const noexcept;
  int write(Entry& entry, Bytes to) noexcept;
  void rearm(const Entry& entry) noexcept;
  void arm(const Entry& entry) noexcept;
  void arm_all() noexcept;
  void disarm(const Entry& entry) noexcept;

  MemoryPolicy policy_;
  bpf::MemoryPrograms* programs_;
  MemoryMailbox& mailbox_;
  const Fd& epoll_;
  std::unique_ptr<Entry[]> entries_;
  std::unique_ptr<std::atomic<std::uint64_t>[]> raises_;
  std::atomic<Slot> lowered_{bpf::kMaxSlots};
  std::atomic<pid_t> lowering_thread_{0};
  BudgetLedger ledger_;
};

}  // namespace plimsoll::agent
