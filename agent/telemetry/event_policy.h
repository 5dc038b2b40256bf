// SPDX-License-Identifier: Apache-2.0
//
// Which Kubernetes Events are written: notices made from records, answers and refused settings go
// in, at most a few API writes come out. Notices about the same container for the same reason
// become one Event and, at the end of a window, its series or a second Event that counts the
// others; what is over the rate waits for the next window. Pure but for what it remembers, which is
// bounded. Used by agent/telemetry/event_poster.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/telemetry/event_notice.h"
#include "base/units.h"
#include "kube/event.h"
#include "kube/token_bucket.h"

namespace plimsoll::agent {

struct EventLimits {
  Nanoseconds window = std::chrono::minutes(5);  // at most one write per container and reason
  double node_per_minute = 20;
  double node_burst = 50;
  double pod_per_minute = 2;
  double pod_burst = 10;
  std::size_t most_series = 1024;  // remembered at once
};

// One write to the API.
struct EventWrite {
  kube::EventSubject subject;
  EventReason reason = EventReason::kMemoryLimitRaised;
  std::string note;
  // Set: the series of the Event of this name continues; else a new Event.
  std::string series_of;
  std::uint32_t count = 1;  // of the series
  kube::WallTime time;      // of the last notice in it

  bool operator==(const EventWrite&) const = default;
};

class EventPolicy {
 public:
  explicit EventPolicy(const EventLimits& limits);

  // The write that this notice makes now, if any.
  std::optional<EventWrite> take(const Notice& notice, MonotonicTime now, kube::WallTime wall);
  // Writes of windows that have ended.
  std::vector<EventWrite> due(MonotonicTime now);
  // When due() may have something; absent: not before another take().
  std::optional<MonotonicTime> next() const;

  // The API server has stored `write` as a new Event of this name.
  void stored(const EventWrite& write, std::string_view name);

  // Notices that made no write of their own.
  std::uint64_t suppressed() const { return suppressed_; }
  std::size_t series() const { return series_.size(); }

 private:
  // What was seen of one container for one reason.
  struct Series {
    kube::EventSubject subject;
    EventReason reason = EventReason::kMemoryLimitRaised;
    MonotonicTime until;      // of the window
    std::string name;         // of the Event that is stored; empty: none
    std::string note;         // of the last write
    std::uint32_t count = 0;  // in the stored Event
    std::uint32_t waiting = 0;
    std::string waiting_note;      // of the newest
    kube::WallTime waiting_time;   // of the newest
    kube::WallTime waiting_since;  // of the oldest
  };
  bool may_write(const std::string& pod, MonotonicTime now);
  void make_room();
  std::optional<EventWrite> write_waiting(Series& series, MonotonicTime now);

  EventLimits limits_;
  std::map<std::string, Series> series_;
  std::map<std::string, kube::TokenBucket> pods_;
  kube::TokenBucket node_;
  std::uint64_t suppressed_ = 0;
};

}  // namespace plimsoll::agent
