// SPDX-License-Identifier: Apache-2.0
//
// BudgetLedger: what may still be given away, by the node and by each group that has a bound of its
// own, and whether that is enough for all who may grow. The reaction thread's, but for granted().
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "agent/policy/memory.h"
#include "base/units.h"

namespace plimsoll::agent {

// kNoGroup stands for the node. Nothing may be given away before the first set() of each.
class BudgetLedger {
 public:
  // All grants up to `granted_before` are counted in: what was given away since comes off. True:
  // whom admits() has judged may be judged differently now.
  bool set(BudgetGroup group, Bytes left, Bytes granted_before) noexcept;
  // What may be given to one of `group`, whose own `promised` bytes are.
  Budgets left(BudgetGroup group, Bytes promised) const noexcept;
  void charge(BudgetGroup group, Bytes bytes) noexcept;

  // Whether there is a grant of `smallest` for it, above what it leaves to others.
  bool admits(const Armed& armed, Bytes smallest) noexcept;
  // Somebody of `group`, or of those whom only the node bounds, was admitted and has not enough any
  // more.
  bool is_short(BudgetGroup group) const noexcept;
  // Nobody has been judged.
  void judge_anew() noexcept;

  // Sum of all grants so far. From any thread.
  Bytes granted(BudgetGroup group = kNoGroup) const noexcept {
    return {of(group).granted.load(std::memory_order_acquire)};
  }

 private:
  struct Account {
    Bytes left;
    Bytes enough;  // the most that one of the admitted needs to be left
    std::atomic<std::uint64_t> granted{0};
  };
  Account& of(BudgetGroup group) noexcept { return accounts_[group % kMaxGroups]; }
  const Account& of(BudgetGroup group) const noexcept { return accounts_[group % kMaxGroups]; }

  std::array<Account, kMaxGroups> accounts_{};
  bool somebody_waits_ = false;
};

}  // namespace plimsoll::agent
