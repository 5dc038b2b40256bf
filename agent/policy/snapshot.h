// SPDX-License-Identifier: Apache-2.0
//
// What the slow loop knows at one tick, as plain values: recorded, printed and replayed as they
// are. Made by the observers, read by decide().
#pragma once

#include <chrono>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "agent/policy/bounds.h"
#include "agent/policy/memory.h"
#include "base/units.h"

namespace plimsoll::agent {

// Index of a tracked cgroup in the kernel's and the engine's tables; reused after the cgroup is
// gone, with another epoch.
using Slot = std::uint32_t;

// Who comes first when a budget is short: the higher one. Among equals, whoever is nearer to its
// limit in time.
enum class QosRank : std::uint8_t { kBestEffort, kBurstable, kGuaranteed };
struct Rank {
  std::int32_t priority = 0;  // the value of the pod's PriorityClass
  QosRank qos = QosRank::kBestEffort;

  constexpr auto operator<=>(const Rank&) const = default;
};

// The CPU part of a tracked cgroup. "Since" is since the previous tick.
struct CpuSnapshot {
  Bounds<MilliCpu> bounds;
  MilliCpu promised;                  // its request: kept for it whether it uses it or not
  std::optional<MilliCpu> limit;      // cpu.max; absent: none, so that there is nothing to do
  std::chrono::microseconds burst{};  // cpu.max.burst that it may be given; 0: none
  MilliCpu use;                       // since, on average
  MilliCpu peak;                      // since, most in one CFS period
  std::uint64_t throttled = 0;        // since: periods
  std::uint32_t raises = 0;           // since, made by the CPU thread
  MilliCpu starved;                   // since: the most that the budget kept from an event
  MilliCpu wished;                    // asked of somebody else and not seen in the limit yet

  bool operator==(const CpuSnapshot&) const = default;
};

// One tracked cgroup (a container, or a parent that may bind, such as a pod slice).
struct ContainerSnapshot {
  Slot slot = 0;
  CgroupId id{};
  Bounds<Bytes> bounds;
  MemoryFacts facts;
  // Highest usage - reclaimable since the last tick, where a finer source than this tick has it.
  std::optional<Bytes> peak;
  // Since the previous tick; absent when not read at this tick.
  std::optional<std::uint64_t> refaults;  // pages, workingset_refault_anon + _file
  // Pages, workingset_activate_anon + _file: the refaults of pages that a slightly larger limit
  // would have kept. A stream that reads a large file again and again refaults, but not these.
  std::optional<std::uint64_t> activations;
  std::optional<double> stall_ratio;  // PSI memory "some" time over elapsed time, 0 to 1
  std::uint64_t oom_kills = 0;        // total, memory.events
  std::uint32_t grants = 0;           // made on the event path since the previous tick
  bool can_reclaim = true;  // it has memory.reclaim (5.19 and newer), so a shrink can be probed
  // The nearest tracked ancestor in this snapshot, if there is one: what a parent was promised
  // contains what its children were.
  std::optional<Slot> parent;

  // See Armed.
  std::optional<Nanoseconds> bridge_within;
  std::optional<Nanoseconds> look_ahead;
  bool covers_children = false;  // see ContainerSpec
  BudgetGroup group = kNoGroup;
  Rank rank;
  Bytes wished;   // asked of somebody else and not seen in the limit yet; counts as promised
  Bytes starved;  // the most that a budget kept from an event since the previous tick
  // The limit for the announced work that runs: grown to, and not shrunk below. Absent: none runs.
  std::optional<Bytes> announced;
  std::optional<CpuSnapshot> cpu;  // absent: its CPU limit is left alone

  bool operator==(const ContainerSnapshot&) const = default;
};

// It is only looked at, as a bound of what is below it.
constexpr bool is_boundary(const ContainerSnapshot& container) {
  return container.bounds.ceiling == Bytes{};
}

struct NodeCpuSnapshot {
  MilliCpu capacity;    // all CPUs, or the node's allocatable
  MilliCpu use;         // since the previous tick, everything on the node
  double pressure = 0;  // share of that time in which tasks waited for a CPU (PSI "some")

  bool operator==(const NodeCpuSnapshot&) const = default;
};

struct NodeSnapshot {
  std::optional<Bytes> total;      // MemTotal
  std::optional<Bytes> available;  // MemAvailable; absent: nothing is granted (fail closed)
  // The most that all tracked cgroups together may need (the node's allocatable); absent: no bound.
  std::optional<Bytes> allocatable;
  std::optional<NodeCpuSnapshot> cpu;  // absent: no CPU is granted (fail closed)

  bool operator==(const NodeSnapshot&) const = default;
};

struct Snapshot {
  MonotonicTime now;
  NodeSnapshot node;
  std::uint64_t lost_events = 0;  // since the previous tick; a window with losses shrinks nothing
  std::vector<ContainerSnapshot> containers;
  // The most that the grants of a group together may stand above the floors. A group that is not in
  // here may not grow (fail closed); kNoGroup needs no entry.
  std::map<BudgetGroup, Limit> groups;

  bool operator==(const Snapshot&) const = default;
};

}  // namespace plimsoll::agent
