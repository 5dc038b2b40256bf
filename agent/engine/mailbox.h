// SPDX-License-Identifier: Apache-2.0
//
// Mailbox: commands from the slow loop to one thread, and its reports back. Nothing in it waits or
// allocates; what finds no room is refused, or counted.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "agent/engine/spsc_queue.h"
#include "base/wakeup.h"

namespace plimsoll::agent {

template <typename Command, typename Report, std::size_t kCommands, std::size_t kReports>
class Mailbox {
 public:
  // A command rings `commands`, a report `reports`, which must outlive this.
  Mailbox(Wakeup commands, const Wakeup& reports)
      : command_wakeup_(std::move(commands)), report_wakeup_(reports) {}

  // The slow loop's side.

  // False: there is no room, send it again at the next tick.
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
  std::uint64_t sent_ = 0;  // the slow loop's
  std::atomic<std::uint64_t> obeyed_{0};
  std::atomic<std::uint64_t> lost_{0};
};

}  // namespace plimsoll::agent
