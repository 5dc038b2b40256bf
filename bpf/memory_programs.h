// SPDX-License-Identifier: Apache-2.0
//
// The memory programs, loaded and attached, as typed calls: which cgroups they watch, what they
// saw, and what they count. Used by the engine. When it goes, every program is detached and every
// map is freed; when the process dies, the kernel does the same.
//
// Threads: track, untrack and sweep belong to one thread (the slow loop's), drain_urgent, answer
// and beat to another (the reaction thread's); arm and the readers may be called from both.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "bpf/memory_records.h"

namespace plimsoll::bpf {

inline constexpr std::uint32_t kMaxSlots = 2048;

// What this kernel lets us do; docs/architecture.md says what each guarantees. What was B is gone,
// see docs/decisions/0016.
enum class Tier : std::uint8_t {
  kA,  // fentry and bpf_loop: all layers, and the hold
  kC,  // no BPF
};
std::string_view to_string(Tier tier);

// When a cgroup is near its limit.
struct Thresholds {
  bool predict = true;      // false: not told before reclaim at the limit
  double watermark = 0.85;  // share of the limit, (0, 1)
  Nanoseconds horizon = std::chrono::milliseconds(200);  // time to the limit
};

// Bounds of the waits in the kernel. All 0: nothing is ever held.
struct HoldBounds {
  Nanoseconds slice = std::chrono::milliseconds(2);
  Nanoseconds door = std::chrono::milliseconds(200);
  Nanoseconds budget_per_second = std::chrono::milliseconds(400);  // per cgroup, all tasks together
};

// A tracked cgroup as the last sweep saw it, and totals since it is tracked.
struct MemorySample {
  Bytes usage;
  Bytes reclaimable;
  Bytes peak;  // highest usage - reclaimable seen since the previous read_sample()
  Bytes rate_per_second;
  std::uint64_t reclaims = 0;
  std::uint64_t reclaims_failed = 0;
  std::uint64_t doors = 0;
  std::uint64_t held = 0;
  std::uint64_t saved = 0;
  std::uint64_t expired = 0;
};

// What the OOM killer did in a cgroup since it is tracked; of the last time, when that was and what
// usage and limit were.
struct Kills {
  std::uint64_t total = 0;
  MonotonicTime last;
  Bytes usage;
  Bytes limit;
};

// Totals of all programs. `missed`: times that the kernel skipped a program because the same one
// was already running on that CPU.
struct Counters {
  std::uint64_t events_urgent = 0;
  std::uint64_t events_dropped = 0;
  std::uint64_t held = 0;
  std::uint64_t saved = 0;
  std::uint64_t expired = 0;
  std::uint64_t missed = 0;
  std::uint64_t refused_heartbeat = 0;
  std::uint64_t refused_budget = 0;
  Nanoseconds held_for{};
};

class MemoryPrograms {
 public:
  // Loads and attaches them. kUnsupported or kDenied names the program that the kernel refused and
  // what it said. `attached` false: slots and ring buffer only, for who writes the events himself.
  static Result<MemoryPrograms> load(const HoldBounds& bounds, bool attached = true);
  // The object that load() loads, for trial_load.h.
  static std::string_view elf();

  MemoryPrograms(MemoryPrograms&&) noexcept;
  MemoryPrograms& operator=(MemoryPrograms&&) noexcept;
  MemoryPrograms(const MemoryPrograms&) = delete;
  MemoryPrograms& operator=(const MemoryPrograms&) = delete;
  ~MemoryPrograms();

  // Watches the cgroup v2 directory `cgroup_fd` as `slot` (below kMaxSlots, free). Not armed yet.
  // Returns its id. kUnsupported: the cgroup has no memory controller.
  Result<CgroupId> track(std::uint32_t slot, std::uint32_t epoch, int cgroup_fd,
                         const Thresholds& thresholds);
  void untrack(std::uint32_t slot);
  // From the next look on.
  void set_thresholds(std::uint32_t slot, const Thresholds& thresholds) noexcept;

  // Reads all tracked cgroups at once, in the kernel.
  Result<void> sweep();
  MemorySample read_sample(std::uint32_t slot);
  // Reads what the kernel has counted by now; no system call.
  Kills kills(std::uint32_t slot) const noexcept;

  // While the cgroup's limit is below `below`, whoever wrote it, events are sent and tasks may be
  // held; 0: never. Takes effect at once, without a system call.
  void arm(std::uint32_t slot, Bytes below) noexcept;

  // Another process is in a write of this slot's memory.max. As long as it is, no event is sent and
  // nobody is held, and a raise may leave it there for ever: what it wrote is below the usage.
  bool is_being_written(std::uint32_t slot, MonotonicTime now) const noexcept;

  // Readable when an urgent event waits; the second when one of a task that is in the OOM killer's
  // lock does.
  int urgent_fd() const noexcept;
  int door_fd() const noexcept;
  // Calls `handle(context, event)` for each waiting urgent event. No allocation, no system call.
  // Returns how many there were; a record that makes no sense is counted by malformed() instead.
  std::size_t drain_urgent(void (*handle)(void*, const pl_memory_event&), void* context) noexcept;
  std::uint64_t malformed() const noexcept;
  // Events that nobody got so far: dropped or malformed. No system call.
  std::uint64_t lost() const noexcept;
  // The event of this slot was answered, and the next one may be sent. After a grant the kernel
  // looks again at the next charge; without one, not before usage has risen further.
  void answer(std::uint32_t slot, bool granted) noexcept;
  // The reaction thread is alive. Without this for a second nothing is held.
  void beat(MonotonicTime now) noexcept;

  // Who is at the OOM killer's door waits in its lock, and nobody passes. Otherwise, on a kernel
  // that preempts, tasks pass while another is held.
  bool holds_in_lock() const noexcept;
  // Two system calls per program, for `missed`.
  Counters counters() const;

 private:
  struct Impl;
  explicit MemoryPrograms(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::bpf
