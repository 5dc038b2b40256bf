// SPDX-License-Identifier: Apache-2.0
//
// A small model of memcg and of the agent's two loops, in steps of 10 ms: programs that want
// memory, a limit that is enforced, file cache that is reclaimed, the events the kernel would send,
// a tick each second. For policy tests only: what it says of times inside a tick means nothing.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "agent/policy/decide.h"

namespace plimsoll::agent::simulation {

// What a program wants at one moment, in seconds since it started.
struct Demand {
  Bytes anon;               // memory that cannot be reclaimed
  Bytes stream_per_second;  // file pages read once
  Bytes hot;                // file pages read again and again
};
using Program = std::function<Demand(double seconds)>;

struct Change {
  double seconds = 0;
  ActionKind kind = ActionKind::kGrow;
  Bytes from;
  Bytes to;
  Layer layer = Layer::kSlowLoop;
  Reason reason = Reason::kEnoughHeadroom;
};

struct Container {
  ContainerSnapshot state;  // limit and counters as the kernel has them
  Program program;
  double started = 0;  // the program starts again after a kill
  Armed armed;

  Bytes anon;
  Bytes cold;
  Bytes hot;
  Bytes hot_evicted;  // of the hot pages, what would come back as a refault
  Bytes peak;
  Bytes anon_before;
  Nanoseconds stalled{};

  std::uint64_t kills = 0;
  std::vector<Change> changes;
  std::vector<Reason> denials;  // at the door

  std::size_t count(ActionKind kind, double from = 0) const;
};

class Node {
 public:
  explicit Node(Bytes memory) : memory_(memory) {}

  Policy policy;
  bool events_are_lost = false;

  Container& add(Bytes floor, Bytes ceiling, Program program);
  Container& at(std::size_t index) { return containers_.at(index); }
  // Runs until `seconds` since the start.
  void run_until(double seconds);
  double seconds() const;
  // Highest sum of all limits above their floors that was ever seen.
  Bytes most_granted() const { return most_granted_; }

 private:
  void step(Container& c);
  void charge(Container& c, Bytes bytes);
  void foresee(Container& c);
  bool event(Container& c, Layer layer);
  void set_limit(Container& c, Bytes limit);
  void tick();
  MemoryFacts facts(const Container& c) const;
  Bytes available() const;

  Bytes memory_;
  std::vector<Container> containers_;
  History history_;
  Bytes budget_;
  std::uint64_t lost_ = 0;
  std::int64_t steps_ = 0;
  Bytes most_granted_;
};

}  // namespace plimsoll::agent::simulation
