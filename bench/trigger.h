// SPDX-License-Identifier: Apache-2.0
//
// Trigger: puts memory events into the agent's own urgent ring buffer, or into a bare one, at a
// moment of the caller's choice. Used by the measurements; one in a process at a time.
#pragma once

#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::bench {

enum class Ring : std::uint8_t { kUrgent, kBare };

class Trigger {
 public:
  // `urgent_fd` is MemoryPrograms::urgent_fd().
  static Result<Trigger> load(int urgent_fd);
  Trigger(const Trigger&) = delete;
  Trigger& operator=(const Trigger&) = delete;
  Trigger(Trigger&&) noexcept;
  Trigger& operator=(Trigger&&) noexcept;
  ~Trigger();

  // From now on events are of this slot and epoch.
  void aim(std::uint32_t slot, std::uint32_t epoch);
  // Sends one event that says that `limit` is the limit and is used up. Renames the calling thread.
  void fire(Ring ring, Bytes limit);
  // Puts `count` (at most 1023) events into the urgent ring without waking anybody.
  Result<void> fill(std::uint32_t count, Bytes limit);

  std::uint64_t sent() const;
  std::uint64_t dropped() const;
  // The map of the bare ring buffer.
  int bare_fd() const;

 private:
  struct Impl;
  explicit Trigger(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::bench
