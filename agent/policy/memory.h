// SPDX-License-Identifier: Apache-2.0
//
// The memory policy as pure functions: facts, configuration and `now` go in, a verdict with its
// reason comes out. No I/O, no clock, no log, no allocation in the event entry, so that the
// reaction thread may call it, a test may replay it, and the same history gives the same plan.
//
// Two entries: grow_on_event() for one container at an event; decide() (agent/policy/decide.h) for
// all containers at a tick.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "agent/policy/bounds.h"
#include "agent/policy/reason.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// memory.stat counts refaults in pages of the kernel. 4 KiB is right on x86-64 and on the usual
// arm64 kernels; with 64 KiB pages refaults weigh a sixteenth of what they should.
inline constexpr std::uint64_t kPageBytes = 4 * kKiB;

constexpr Bytes bytes_of_pages(std::uint64_t pages) {
  constexpr std::uint64_t kMost = ~std::uint64_t{0} / kPageBytes;
  return {(pages < kMost ? pages : kMost) * kPageBytes};
}

// The thresholds, as configured; defaults are those of `plimsoll run`.
struct MemoryPolicy {
  // False: the kernel's programs say nothing before reclaim at the limit has failed.
  bool predict = true;
  // Share of the limit that, once what cannot be reclaimed rises over it, is an event. (0, 1).
  double watermark = 0.85;
  // Grow when the limit is nearer in time than this.
  Nanoseconds horizon = std::chrono::milliseconds(200);
  // A grant covers the measured growth rate for this long.
  Nanoseconds look_ahead = std::chrono::seconds(1);
  // A grant is at least this large, and at least this share of the limit: few big grants keep the
  // door shut and cost the API less than many small ones.
  Bytes step{64 * kMiB};
  double step_ratio = 0.5;
  // ... and, where the measured growth rate asks for more, at most this share of the limit: a rate
  // that was measured for a millisecond says little about the next second.
  double step_ratio_max = 3;
  // New limits are multiples of this.
  Bytes round_to{1 * kMiB};

  // Shrink when the peak of a window this long stayed under shrink_below of the limit ...
  Nanoseconds shrink_after = std::chrono::seconds(30);
  // 0.92: a limit that is left alone is then at most 9 % above the need.
  double shrink_below = 0.92;
  // ... to that peak times (1 + shrink_margin), never below the floor. The margin grows with the
  // backoff: a program that was shrunk too far once is left more room.
  double shrink_margin = 0.05;
  // A shrink that was followed by growth makes the next one wait twice as long, up to this factor.
  double shrink_backoff_max = 16;

  // A leak: at least this many grants over at least this long, what cannot be reclaimed never
  // falling by more than leak_dip of its peak, never flat, (almost) no refaults.
  std::uint32_t leak_grants = 6;
  Nanoseconds leak_window = std::chrono::minutes(10);
  double leak_dip = 0.05;

  // Stalled share of time (PSI memory "some") over a tick that, with refaults, means thrashing.
  double thrash_stall = 0.20;

  bool operator==(const MemoryPolicy&) const = default;
};

// What the functions below rely on: shares within (0, 1), times and sizes above 0. kMalformed names
// the first member that breaks it. The allowed ranges of a configuration are narrower.
Result<void> validate(const MemoryPolicy& policy);

// One container at one moment, from a kernel event or from the kernel's files.
struct MemoryFacts {
  Bytes limit;            // memory.max now
  Bytes usage;            // memory.current
  Bytes reclaimable;      // what reclaim could free without swap: file pages on the LRU
  Bytes rate_per_second;  // growth of usage - reclaimable; 0 when it does not grow or is unknown

  bool operator==(const MemoryFacts&) const = default;
};
// The working memory: what stays when reclaim has done all it can.
constexpr Bytes unreclaimable(const MemoryFacts& facts) { return facts.usage - facts.reclaimable; }

// memory.max is "max" or so large that it means the same (the kernel's own largest is 2^63 less a
// page): there is nothing to grow or to shrink.
constexpr bool is_unlimited(Bytes limit) { return limit.value >= std::uint64_t{1} << 62; }

// Containers whose grants together have a bound of their own, such as those of a namespace.
using BudgetGroup = std::uint16_t;
inline constexpr BudgetGroup kNoGroup = 0;  // bounded by the node only
inline constexpr BudgetGroup kMaxGroups = 512;

// What the slow loop decided beforehand for one container: how far an event may go without asking.
struct Armed {
  Bounds<Bytes> bounds;
  std::optional<Reason> denial;  // set: every event is refused with this reason
  // The peak that the last shrink was fitted to; 0: the limit was not shrunk since it grew. Below
  // it the watermark is silent: a limit 5 % above the need is over its watermark by design.
  Bytes settled;
  // A need that is foreseen farther away than this is wished and not written: whoever applies it
  // comes in time. Absent: all is written.
  std::optional<Nanoseconds> bridge_within;
  std::optional<Nanoseconds> look_ahead;  // absent: the policy's
  BudgetGroup group = kNoGroup;
  // Of the node's and of the group's budget, what this container leaves to those that come first.
  Bytes kept;
  Bytes kept_in_group;

  bool operator==(const Armed&) const = default;
};

// What may still be given away, the grant's increase included.
struct Budgets {
  Bytes node;
  Bytes group{~std::uint64_t{0}};

  constexpr Budgets(Bytes of_node) : node(of_node) {}  // NOLINT(google-explicit-constructor)
  constexpr Budgets(Bytes of_node, Bytes of_group) : node(of_node), group(of_group) {}
  bool operator==(const Budgets&) const = default;
};

// A wish that nobody has applied yet counts as promised for this long after it was last made.
inline constexpr Nanoseconds kWishLife = std::chrono::seconds(30);
// The same wish is made again after this long, if it still is one.
inline constexpr Nanoseconds kWishAgain = std::chrono::seconds(1);

// The answer to one event: a limit to write, a wish, both or neither. Both are above facts.limit,
// the wish is above the limit, and the reason is then that of a grant.
struct Verdict {
  std::optional<Bytes> limit;
  Reason reason = Reason::kEnoughHeadroom;
  std::optional<Bytes> wish;  // the whole need, where not all of it may be written

  bool operator==(const Verdict&) const = default;
};

// Working memory above this is a watermark crossing: the policy's share of the limit, or, after a
// shrink, halfway between the peak that it was fitted to and the limit.
Bytes watermark_of(const MemoryPolicy& policy, const Armed& armed, Bytes limit) noexcept;

// At its growth rate, what cannot be reclaimed is at the limit sooner than in `horizon`.
bool at_limit_within(const MemoryFacts& facts, Nanoseconds horizon) noexcept;

// Whether growth is foreseen: kTimeToLimit (only once half of the limit is needed), kWatermark, or
// nothing.
std::optional<Reason> foreseen(const MemoryPolicy& policy, const Armed& armed,
                               const MemoryFacts& facts) noexcept;

// An event of the layer kAtTheLimit is granted unless it is denied or only cache fills the limit,
// one of kAtTheDoor unless it is denied; both unless the limit has already been raised since.
Verdict grow_on_event(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts,
                      Layer layer, const Budgets& budgets) noexcept;

// The limit that a need asks for, whatever the budgets have: ceiling and steps only.
Bytes wanted(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts,
             Layer layer) noexcept;

// Which budget has not even the smallest grant left for it: kGroupBudget, kBudget, kPriority.
std::optional<Reason> shortage(const MemoryPolicy& policy, const Armed& armed,
                               const Budgets& budgets) noexcept;

// The grant for a need that is already established: how much, and whether ceiling and budget
// allow it. Used by grow_on_event() and by the slow loop.
Verdict grant(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts, Layer layer,
              const Budgets& budgets, Reason reason) noexcept;

// The same for a limit that is known: announced work. A limit that is there already is
// kEnoughHeadroom.
Verdict grant_up_to(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts,
                    Bytes limit, const Budgets& budgets, Reason reason) noexcept;

// `bytes` up or down to a multiple of `unit` (above 0).
constexpr Bytes round_down(Bytes bytes, Bytes unit) {
  return {bytes.value / unit.value * unit.value};
}
constexpr Bytes round_up(Bytes bytes, Bytes unit) {
  return round_down(bytes + Bytes{unit.value - 1}, unit);
}

// As scaled(), but a result outside 0 to 2^64-1 becomes the nearer end.
Bytes scaled_to_fit(Bytes whole, double part) noexcept;

// "needs 200 MiB of 256 MiB, growing by 40 MiB per second"; what cannot be reclaimed is the need.
std::string numbers_of(const MemoryFacts& facts);

}  // namespace plimsoll::agent
