// SPDX-License-Identifier: Apache-2.0
//
// The CPU programs, loaded and attached, as typed calls: which cgroups they watch, how often those
// are throttled, and an event when that is more than is tolerated. Used by the engine. When it
// goes, every program is detached and every map is freed; when the process dies, the kernel does
// the same.
//
// Threads: track, untrack, sweep, read_sample and counters belong to one thread (the slow loop's),
// drain and answer to another (the CPU thread's); arm and set_tolerance may be called from both.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/units.h"
#include "bpf/cpu_records.h"

namespace plimsoll::bpf {

// Of the last `window` CFS periods (1 to 64), `periods` may be throttled without an event.
struct Tolerance {
  std::uint32_t window = 20;
  std::uint32_t periods = 1;

  bool operator==(const Tolerance&) const = default;
};

// A tracked cgroup; totals are since it is tracked.
struct CpuSample {
  std::uint64_t throttles = 0;  // queues of one CPU that ran out of quota
  std::uint64_t periods = 0;    // that had an end; the kernel has none where nothing runs
  std::uint64_t periods_throttled = 0;
  Nanoseconds used{};  // in these periods
  Nanoseconds peak{};  // most in one period since the previous read_sample()
  // As of the last sweep, the kernel's own: what cpu.stat shows.
  std::optional<Nanoseconds> quota;  // absent: no limit
  Nanoseconds burst{};
  Nanoseconds period{};
  std::uint64_t kernel_periods = 0;
  std::uint64_t kernel_throttled = 0;
  Nanoseconds throttled_for{};
};

// How much a tracked cgroup has used until its last period ended.
struct CpuUse {
  Nanoseconds used{};  // since it is tracked
  MonotonicTime at;
};

struct CpuCounters {
  std::uint64_t events = 0;
  std::uint64_t events_dropped = 0;
  // Times that the kernel skipped a program because the same one was already running on that CPU.
  std::uint64_t missed = 0;
};

class CpuPrograms {
 public:
  // kUnsupported or kDenied names the program that the kernel refused and what it said.
  static Result<CpuPrograms> load();
  // The object that load() loads, for trial_load.h.
  static std::string_view elf();

  CpuPrograms(CpuPrograms&&) noexcept;
  CpuPrograms& operator=(CpuPrograms&&) noexcept;
  CpuPrograms(const CpuPrograms&) = delete;
  CpuPrograms& operator=(const CpuPrograms&) = delete;
  ~CpuPrograms();

  // Watches the cgroup v2 directory `cgroup_fd` as `slot` (below kMaxSlots, free). Not armed yet.
  // Returns its id. kUnsupported: the cgroup has no cpu controller.
  Result<CgroupId> track(std::uint32_t slot, std::uint32_t epoch, int cgroup_fd,
                         const Tolerance& tolerance);
  void untrack(std::uint32_t slot);
  void set_tolerance(std::uint32_t slot, const Tolerance& tolerance) noexcept;

  // Reads all tracked cgroups at once, in the kernel.
  Result<void> sweep();
  CpuSample read_sample(std::uint32_t slot);
  // Any thread, without a system call.
  CpuUse use(std::uint32_t slot) const noexcept;

  // Armed: events are sent. Takes effect at once, without a system call.
  void arm(std::uint32_t slot, bool armed) noexcept;

  // Readable when an event waits.
  int event_fd() const noexcept;
  // Calls `handle(context, event)` for each waiting event. No allocation, no system call. Returns
  // how many there were; a record that makes no sense is counted by malformed() instead.
  std::size_t drain(void (*handle)(void*, const pl_cpu_event&), void* context) noexcept;
  std::uint64_t malformed() const noexcept;
  // Events that nobody got so far: dropped or malformed. No system call.
  std::uint64_t lost() const noexcept;
  // The event of this slot was answered, and the next one may be sent at once.
  void answer(std::uint32_t slot) noexcept;

  // Two system calls per program, for `missed`.
  CpuCounters counters() const;

 private:
  struct Impl;
  explicit CpuPrograms(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::bpf
