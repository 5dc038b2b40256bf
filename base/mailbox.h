// SPDX-License-Identifier: Apache-2.0
//
// Mailbox: commands from one thread to another that works for it, and that one's reports back.
// Nothing in it waits, locks or allocates; what finds no room is refused, or counted.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

#include "base/wakeup.h"

namespace plimsoll {

// A bounded queue from one thread to one other. A full queue refuses.
template <typename T, std::size_t kCapacity>
class SpscQueue {
  static_assert((kCapacity & (kCapacity - 1)) == 0, "the capacity is a power of two");
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // The producer's thread only. False: full.
  bool push(const T& item) noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == kCapacity) return false;
    items_[head % kCapacity] = item;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // The consumer's thread only.
  std::optional<T> pop() noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return std::nullopt;
    const T item = items_[tail % kCapacity];
    tail_.store(tail + 1, std::memory_order_release);
    return item;
  }

 private:
  // Each on a cache line of its own, so that the two threads do not slow each other down.
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
  std::array<T, kCapacity> items_{};
};

template <typename Command, typename Report, std::size_t kCommands, std::size_t kReports>
class Mailbox {
 public:
  // A command rings `commands`, a report `reports`, which must outlive this.
  Mailbox(Wakeup commands, const Wakeup& reports)
      : command_wakeup_(std::move(commands)), report_wakeup_(reports) {}

  // The side of whoever commands.

  // False: there is no room, send it again later.
  bool send(const Command& command) noexcept {
    const bool sent = commands_.push(command);
    if (sent) ++sent_;
    wake();
    return sent;
  }
  // Without a command: to look up, as at the end.
  void wake() const noexcept { command_wakeup_.ring(); }
  std::optional<Report> receive() noexcept { return reports_.pop(); }
  // Whether every command that was sent has been obeyed.
  bool idle() const noexcept { return obeyed_.load(std::memory_order_acquire) == sent_; }
  // Reports that were lost because nobody fetched them.
  std::uint64_t reports_lost() const noexcept { return lost_.load(std::memory_order_relaxed); }

  // The thread's side.

  // Readable when a command may be there. Cleared before the commands are taken: one that is sent
  // from then on wakes again.
  int fd() const { return command_wakeup_.fd(); }
  void clear() const noexcept { command_wakeup_.clear(); }
  // False: there was none.
  template <typename Obey>
  bool take(Obey&& obey) noexcept {
    const std::optional<Command> command = commands_.pop();
    if (!command) return false;
    obey(*command);
    obeyed_.fetch_add(1, std::memory_order_release);
    return true;
  }
  void report(const Report& report) noexcept {
    if (!reports_.push(report)) lost_.fetch_add(1, std::memory_order_relaxed);
    report_wakeup_.ring();
  }

 private:
  Wakeup command_wakeup_;
  const Wakeup& report_wakeup_;
  SpscQueue<Command, kCommands> commands_;
  SpscQueue<Report, kReports> reports_;
  std::uint64_t sent_ = 0;  // of whoever commands
  std::atomic<std::uint64_t> obeyed_{0};
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace plimsoll
