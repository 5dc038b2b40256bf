// SPDX-License-Identifier: Apache-2.0
//
// The CPU policy as pure functions: facts, configuration and budget go in, a verdict with its
// reason comes out. No I/O, no clock, no log, no allocation in the event entry, so that the CPU
// thread may call it, a test may replay it, and the same history gives the same plan.
//
// Three entries: grow_on_throttle() for one container at an event, give_back_cpu() for one that was
// raised, at each CFS period; decide_cpu() (agent/policy/decide_cpu.h) for all containers at a
// tick.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

#include "agent/policy/bounds.h"
#include "agent/policy/history.h"
#include "agent/policy/memory.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

using std::chrono::microseconds;

// The thresholds, as configured; defaults are those of `plimsoll run`.
struct CpuPolicy {
  // Share of the CFS periods of a window that may be throttled. 0: every throttle is answered.
  double throttle_target = 0.05;
  std::uint32_t window = 20;  // periods, 1 to 64
  // cpu.max.burst as a share of the floor, given before the limit is raised; 0: left as it is.
  double burst = 1;
  // A limit is raised to the measured use and this much more ...
  double margin = 0.1;
  // ... and by at least this share of it: the period may have begun before the load.
  double step_ratio = 0.2;
  // New limits are multiples of this.
  MilliCpu round_to{10};

  // A limit that was raised goes down again when for this long its use stayed under lower_below of
  // it, to that use and the margin, never below the floor ...
  Nanoseconds hold = std::chrono::milliseconds(200);
  double lower_below = 0.85;
  // ... and, where a raise follows within two such times, twice as long, up to this factor.
  double hold_backoff_max = 16;
  // For this long the next throttle is answered at once, with what was used before.
  Nanoseconds remember = std::chrono::minutes(1);
  // Lowerings that somebody else has to apply (the API) are asked for after this long.
  Nanoseconds lower_after = std::chrono::seconds(30);

  // Share of the node's CPUs that is never given away.
  double reserve = 0.05;
  // Share of time in which tasks of the node wait (PSI cpu "some") that, on busy CPUs, stops
  // grants.
  double node_pressure = 0.5;

  bool operator==(const CpuPolicy&) const = default;
};

// What the functions below rely on. kMalformed names the first member that breaks it.
Result<void> validate(const CpuPolicy& policy);

// Of a window, how many periods may be throttled without an event. `at_once`: none, since a burst
// can be given, or since it is known that more than the limit is needed.
std::uint32_t tolerated_periods(const CpuPolicy& policy, bool at_once) noexcept;

// One container that was throttled just now.
struct CpuFacts {
  MilliCpu limit;        // cpu.max
  MilliCpu use;          // what its CPUs took since the quota was refilled, over the time since
  MilliCpu remembered;   // most that it used lately, when its limit was higher; 0: not known
  microseconds burst{};  // cpu.max.burst
  std::uint32_t throttled = 0;  // periods of the window
  std::uint32_t runnable = 0;   // threads; 0: not known

  bool operator==(const CpuFacts&) const = default;
};

// The quota is handed out to CPUs in slices of this CPU time, so that a use that is measured over
// less means nothing.
inline constexpr Nanoseconds kBandwidthSlice = std::chrono::milliseconds(5);
// `used` CPU time in `elapsed`, as CPUs.
MilliCpu use_of(Nanoseconds used, Nanoseconds elapsed) noexcept;

// What the slow loop decided beforehand for one container.
struct CpuArmed {
  Bounds<MilliCpu> bounds;
  std::optional<Reason> denial;  // set: every event is refused with this reason
  microseconds burst{};          // cpu.max.burst that may be given; 0: none
  MilliCpu average;              // use, as of the last tick
  MilliCpu kept;                 // of the node's budget, what it leaves to those that come first
  bool follows = false;          // a pod's: raised with its containers only

  // The least that we lower to ourselves.
  constexpr MilliCpu least() const { return std::max(bounds.floor, direct_floor(bounds)); }

  bool operator==(const CpuArmed&) const = default;
};

// The answer to one throttle: a burst or a limit to write, a wish, or none. As Verdict's.
struct CpuVerdict {
  std::optional<MilliCpu> limit;
  std::optional<microseconds> burst;
  Reason reason = Reason::kEnoughHeadroom;
  std::optional<MilliCpu> wish;

  bool operator==(const CpuVerdict&) const = default;
};

// cpu.max and cpu.max.burst of one container.
struct CpuLimit {
  MilliCpu limit;
  microseconds period{100'000};
  microseconds burst{};
};

// A burst can be given, and helps: on average it uses less than its limit.
bool is_burst_next(const CpuArmed& armed, MilliCpu limit, microseconds burst) noexcept;

// The limit that a throttled container needs, whatever ceiling and budget say.
MilliCpu wanted_cpu(const CpuPolicy& policy, const CpuFacts& facts) noexcept;

CpuVerdict grow_on_throttle(const CpuPolicy& policy, const CpuArmed& armed, const CpuFacts& facts,
                            MilliCpu budget) noexcept;

// The give-back of one container: what it used since it was raised, and for how long it is held.
struct CpuHold {
  MonotonicTime since;  // of the last raise or lowering
  double backoff = 1;
  bool lowered = false;  // the last one was a lowering
  CpuPeaks peaks;
  CpuPeaks remembered;  // above the floor
  MonotonicTime remembered_at;
  std::optional<MonotonicTime> burst_at;  // a throttle was answered by a burst

  bool operator==(const CpuHold&) const = default;
};

// The most that it has used above its floor lately; 0: nothing.
MilliCpu remembered_of(const CpuPolicy& policy, const CpuHold& hold, MonotonicTime now) noexcept;
// Whether the next throttle is answered whatever the window's target says: a burst can be given, or
// one was given within the window and is not enough, or it is known that more than the limit is
// needed.
bool answers_at_once(const CpuPolicy& policy, const CpuArmed& armed, const CpuLimit& limit,
                     const CpuHold& hold, MonotonicTime now) noexcept;
// The limit was raised.
void note_raise(const CpuPolicy& policy, MonotonicTime now, CpuHold& hold) noexcept;
// `use` since the previous call, about a CFS period ago. Returns the limit to write, when it goes
// down; that is taken for done.
std::optional<MilliCpu> give_back_cpu(const CpuPolicy& policy, MilliCpu floor, MilliCpu limit,
                                      MilliCpu use, MonotonicTime now, CpuHold& hold) noexcept;

// `cpus` times `part`, to the nearest thousandth; what does not fit is the largest that does.
MilliCpu scaled(MilliCpu cpus, double part) noexcept;
MilliCpu round_up(MilliCpu cpus, MilliCpu unit) noexcept;
constexpr MilliCpu round_down(MilliCpu cpus, MilliCpu unit) {
  return {cpus.value - cpus.value % unit.value};
}

}  // namespace plimsoll::agent
