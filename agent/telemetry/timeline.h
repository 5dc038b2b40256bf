// SPDX-License-Identifier: Apache-2.0
//
// What happened to each container, newest last: signals, decisions with their numbers, answers of
// the API, verdicts of the kernel. Bounded per container and in all; kept for a while after a
// container is gone, for that is when people ask. Owned by the slow loop;
// agent/telemetry/explain_server serves it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/engine/engine.h"
#include "agent/resize/resize_event.h"
#include "base/units.h"

namespace plimsoll::agent {

struct TimelineEntry {
  MonotonicTime at;
  MonotonicTime last;         // of the repeats
  std::uint32_t repeats = 1;  // the same, several times in a row
  std::string_view what;      // "grant", "denial", "applied": of Record::Kind and ResizeEvent::Kind
  std::optional<Layer> layer;
  std::optional<Reason> reason;
  std::optional<MemoryFacts> facts;
  std::optional<LimitChange> change;
  std::optional<Nanoseconds> took;  // event to limit, or PATCH to limit
  std::optional<int> status;
  std::string detail;  // cause and words of who answered

  bool operator==(const TimelineEntry&) const = default;
};

struct Timeline {
  ContainerRef subject;
  bool gone = false;
  std::uint64_t forgotten = 0;  // older entries that gave way
  std::vector<TimelineEntry> entries;
};

// Of a server's or the kubelet's words, in one entry.
inline constexpr std::size_t kLongestDetail = 512;

struct TimelineBounds {
  std::size_t entries = 64;  // per container
  std::size_t gone = 64;     // containers that are kept after their end
  std::size_t all = 4096;    // entries of all containers together: some 200 bytes each, and words
};

class Timelines {
 public:
  explicit Timelines(const TimelineBounds& bounds = {}) : bounds_(bounds) {}

  void add(const ContainerRef& subject, const Record& record);
  void add(const ContainerRef& subject, const ResizeEvent& answer);
  // Anything else; `what` is a word that outlives this: "watched", "annotation".
  void note(const ContainerRef& subject, MonotonicTime at, std::string_view what,
            std::string detail);
  void ended(const ContainerRef& subject);

  // Containers of the pods of that name, the living ones first.
  std::vector<const Timeline*> of(std::string_view name_space, std::string_view pod) const;
  void set_bounds(const TimelineBounds& bounds) { bounds_ = bounds; }
  std::size_t living() const { return living_.size(); }
  std::size_t gone() const { return gone_.size(); }
  std::size_t entries() const { return entries_; }

 private:
  static std::string key_of(const ContainerRef& subject);
  void append(const ContainerRef& subject, TimelineEntry entry);
  void drop_oldest(Timeline& timeline);
  Timeline* with_oldest();

  TimelineBounds bounds_;
  std::map<std::string, Timeline> living_;  // by uid and container
  std::deque<Timeline> gone_;               // the oldest first
  std::size_t entries_ = 0;
};

}  // namespace plimsoll::agent
