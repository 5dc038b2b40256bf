// SPDX-License-Identifier: Apache-2.0
//
// CpuLimits: the CPU limits of the tracked cgroups as the CPU thread keeps them. Events and
// commands go in, cpu.max and cpu.max.burst are written, here and nowhere else, and reports come
// out. Between the event and the write there is no allocation, no log, no network and no disk. One
// thread, but for granted().
#pragma once

#include <atomic>
#include <cstdint>
#include <vector>

#include "agent/policy/cpu.h"
#include "agent/reaction/cpu_command.h"
#include "agent/reaction/cpu_meter.h"
#include "agent/reaction/cpu_tracked.h"
#include "base/units.h"
#include "bpf/cpu_programs.h"

namespace plimsoll::agent {

class CpuLimits {
 public:
  // `programs` may be null; all outlive this.
  CpuLimits(const CpuPolicy& policy, bpf::CpuPrograms* programs, CpuMailbox& mailbox,
            CpuMeter& meter);

  // Answers the events that wait. False: there were none.
  bool drain() noexcept;
  void obey(const CpuCommand& command) noexcept;
  // At what was raised, about once per CFS period: what is not used is given back, and without BPF
  // what is throttled is answered.
  void look() noexcept;
  // Raises less lowerings so far, in thousandths of a CPU, for Budget::granted_before. From any
  // thread.
  std::int64_t granted() const { return granted_.load(std::memory_order_acquire); }

 private:
  struct Obey;

  void on_throttle(CpuTracked& tracked, CpuFacts facts, MonotonicTime time) noexcept;
  CpuTracked* busiest_child(const CpuTracked& tracked) const noexcept;
  bool react(CpuTracked& tracked, const CpuFacts& facts, MonotonicTime time) noexcept;
  void look(CpuTracked& tracked, MonotonicTime time) noexcept;
  int raise(CpuTracked& tracked, MilliCpu to, MonotonicTime time) noexcept;
  void raise_parents(const CpuTracked& tracked, MilliCpu increase, MilliCpu to,
                     MonotonicTime time) noexcept;
  void raise_ahead(CpuTracked& tracked, MilliCpu to, Reason reason, MonotonicTime time) noexcept;
  void lower(CpuTracked& tracked, MilliCpu to, Reason reason, MonotonicTime time) noexcept;
  MilliCpu floor_of(const CpuTracked& tracked) const noexcept;
  void charge(MilliCpu from, MilliCpu to) noexcept;
  MilliCpu available_to(const CpuTracked& tracked, MonotonicTime time) const noexcept;
  void wish(CpuTracked& tracked, CpuReport told) noexcept;
  void arm(const CpuTracked& tracked) noexcept;
  void disarm(const CpuTracked& tracked) noexcept;
  void report(CpuReport report) noexcept;

  CpuPolicy policy_;
  bpf::CpuPrograms* programs_;
  CpuMailbox& mailbox_;
  CpuMeter& meter_;
  std::vector<CpuTracked*> by_slot_;
  std::int64_t budget_ = 0;  // thousandths; below 0: overdrawn by what is kept
  std::atomic<std::int64_t> granted_{0};
};

}  // namespace plimsoll::agent
