// SPDX-License-Identifier: Apache-2.0
//
// What decide() remembers between two ticks, as plain values. Bounded: nothing in it grows with
// time, about half a KiB per container.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "base/units.h"

namespace plimsoll::agent {

// The highest value of a sliding window, in buckets of a sixteenth of the window each. A bucket
// leaves as a whole when its begin leaves the window, so the window seen is 15/16 to 16/16 of the
// one asked for: a limit is back within the time that was configured, not a bucket later.
template <typename Value>
class PeakWindowOf {
 public:
  // `now` never before that of an earlier call.
  void add(MonotonicTime now, Value value, Nanoseconds window);
  // 0 when nothing was added since clear(); the newest bucket always counts.
  Value peak(MonotonicTime now, Nanoseconds window) const;
  // The lowest and the earliest bucket's peak; 0 when nothing was added.
  Value lowest(MonotonicTime now, Nanoseconds window) const;
  Value earliest(MonotonicTime now, Nanoseconds window) const;
  void clear() { count_ = 0; }

  struct Bucket {
    MonotonicTime begin;
    Value peak;
    bool operator==(const Bucket&) const = default;
  };
  // All that it has, the oldest first, and the window that has them; more than fit: the newest.
  std::vector<Bucket> buckets() const;
  static PeakWindowOf of(std::span<const Bucket> buckets);

  // What was overwritten or cleared does not count.
  bool operator==(const PeakWindowOf& other) const;

 private:
  // How many buckets count, newest first.
  std::size_t within(MonotonicTime now, Nanoseconds window) const;
  const Bucket& bucket(std::size_t age) const {
    return buckets_[(newest_ + buckets_.size() - age) % buckets_.size()];
  }

  static constexpr std::size_t kParts = 16;
  // One more than the parts, so that the ring never overwrites a bucket that still counts.
  std::array<Bucket, kParts + 1> buckets_{};
  std::size_t newest_ = 0;
  std::size_t count_ = 0;
};
using PeakWindow = PeakWindowOf<Bytes>;
using CpuPeaks = PeakWindowOf<MilliCpu>;

// A climb without a plateau, from its first grant on.
struct Climb {
  MonotonicTime since;
  std::uint32_t grants = 0;
  Bytes peak;               // highest working memory of the climb
  Bytes mark;               // the peak when it last rose noticeably ...
  MonotonicTime marked_at;  // ... and when that was: too long ago is a plateau
  Bytes refaulted;

  bool operator==(const Climb&) const = default;
};

// A shrink that is being tried: the kernel was asked to reclaim, the limit still stands.
struct Probe {
  Bytes usage_before;
  std::uint64_t refaults_before = 0;  // of the tick before, to tell a jump
  std::uint32_t tries = 1;

  bool operator==(const Probe&) const = default;
};

// A lower limit that somebody else was asked for; that it was shrunk is known when it has moved.
struct Wished {
  Bytes to;
  Bytes peak;  // what it was fitted to
  MonotonicTime at;

  bool operator==(const Wished&) const = default;
};

struct ContainerHistory {
  Bytes limit;    // at the last tick, or what was granted then
  Bytes working;  // at the last tick
  std::uint64_t oom_kills = 0;
  std::uint64_t refaults = 0;  // in the last tick

  // Shrinking: the window starts again at every growth and failed probe.
  MonotonicTime quiet_since;
  PeakWindow peaks;
  double backoff = 1;                      // factor on the window
  std::optional<MonotonicTime> shrunk_at;  // unset when it grew again
  MonotonicTime calm_since;  // growth, a shrink, a change of backoff, or peaks that go up and down
  Bytes settled;             // see Armed::settled
  double cache_kept = 0;     // share of the cache that failed probes showed to be needed
  std::optional<Probe> probe;

  std::optional<Wished> wished;
  Bytes asked;                            // the grant that was wished for as of the last tick
  std::optional<MonotonicTime> asked_at;  // when the slow loop did so itself

  // Thrashing: ticks in a row that stalled, and what was activated in them.
  Bytes activated;

  std::optional<Climb> climb;
  bool leaking = false;
  bool announced = false;  // work ran at the last tick

  bool operator==(const ContainerHistory&) const = default;
};

struct CpuHistory {
  MonotonicTime quiet_since;  // the last raise, or lowering that was wished
  MilliCpu limit;             // at the last tick
  CpuPeaks peaks;

  bool operator==(const CpuHistory&) const = default;
};

struct History {
  std::optional<MonotonicTime> now;      // of the last tick
  std::optional<MonotonicTime> lost_at;  // last tick that had lost events
  std::map<CgroupId, ContainerHistory> containers;
  std::map<CgroupId, CpuHistory> cpus;

  bool operator==(const History&) const = default;
};

}  // namespace plimsoll::agent
