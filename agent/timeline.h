// SPDX-License-Identifier: Apache-2.0
//
// What happened to each container, newest last: signals, decisions with their numbers, answers of
// the API, verdicts of the kernel. Bounded per container and in all; kept for a while after a
// container is gone, for that is when people ask. Owned by the slow loop; agent/explain_server
// serves it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "agent/api_answer.h"
#include "agent/engine.h"
#include "base/units.h"
#include "kube/event.h"

namespace plimsoll::agent {

struct TimelineEntry {
  MonotonicTime at;
  MonotonicTime last;         // of the repeats
  std::uint32_t repeats = 1;  // the same, several times in a row
  std::string_view what;      // "grant", "denial", "applied": of Record::Kind and ApiAnswer::Kind
  std::optional<Layer> layer;
  std::optional<Reason> reason;
  std::optional<MemoryFacts> facts;
  std::optional<Bytes> from;
  std::optional<Bytes> to;
  std::optional<Nanoseconds> took;  // event to limit, or PATCH to limit
  std::optional<int> status;
  std::string detail;  // cause and words of who answered

  bool operator==(const TimelineEntry&) const = default;
};

struct Timeline {
  Subject subject;
  bool gone = false;
  std::uint64_t forgotten = 0;  // older entries that gave way
  std::deque<TimelineEntry> entries;
};

struct TimelineBounds {
  std::size_t entries = 64;  // per container
  std::size_t gone = 64;     // containers that are kept after their end
};

class Timelines {
 public:
  explicit Timelines(const TimelineBounds& bounds = {}) : bounds_(bounds) {}

  void add(const Subject& subject, const Record& record);
  void add(const Subject& subject, const ApiAnswer& answer);
  // Anything else, in words: "began to be watched", "annotation refused: ...".
  void note(const Subject& subject, MonotonicTime at, std::string_view what, std::string detail);
  void ended(const Subject& subject);

  // Containers of the pods of that name, the living ones first.
  std::vector<const Timeline*> of(std::string_view name_space, std::string_view pod) const;
  std::size_t size() const { return timelines_.size(); }

 private:
  Timeline& timeline_of(const Subject& subject);
  void append(const Subject& subject, TimelineEntry entry);

  TimelineBounds bounds_;
  std::deque<Timeline> timelines_;
};

// What is so now, beside what happened: filled in by who knows it.
struct ContainerState {
  Subject subject;
  Bytes floor;
  Bytes ceiling;
  Limit limit;
  std::optional<Bytes> usage;
  std::optional<Bytes> reclaimable;
  std::string actuation;           // "resize-then-cgroup"
  std::optional<Reason> denial;    // why it may not grow now
  std::vector<std::string> notes;  // lease, preflight, annotations
};

// One JSON object: {"namespace", "pod", "containers": [{"name", "state", "timeline": [...]}]}.
// Times are those of the wall clock, by `now` and `wall`, which are the same moment.
std::string explain_json(const Timelines& timelines, const std::vector<ContainerState>& states,
                         std::string_view name_space, std::string_view pod,
                         std::string_view container, MonotonicTime now, kube::WallTime wall);

}  // namespace plimsoll::agent
