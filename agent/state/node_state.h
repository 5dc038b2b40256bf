// SPDX-License-Identifier: Apache-2.0
//
// What must outlive the agent: whose limits it may have raised, and where they were. Plain values;
// state_file.h keeps them on disk, restore.h puts them back.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "agent/policy/learned_sizes.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

// What stands behind the limit of a container now.
enum class Backing : std::uint8_t {
  kSpec,    // the API: nothing of ours is in the way
  kBridge,  // written here, the API raise is on its way
  kLease,   // written here without the API; has an end
  kCgroup,  // written here, and meant to be: the policy wants no API
};
std::string_view to_string(Backing backing);

// cpu.max of one cgroup, under the same rules as its memory.max.
struct CpuLimitState {
  MilliCpu first_seen;                // what it was then
  std::optional<MilliCpu> confirmed;  // what the API and the kernel last agreed on
  MilliCpu direct_ceiling;            // how far direct writes were allowed to go; 0: none
  std::optional<MilliCpu> written;    // the last direct write known; may lag behind
  // cpu.max.burst when it was first seen; absent: not known, or the kernel has none.
  std::optional<std::chrono::microseconds> burst;

  bool operator==(const CpuLimitState&) const = default;
};

// memory.max of one cgroup. The record is on disk before the first direct write, so what is found
// in the kernel later is explained by it: at most `direct_ceiling`, and back to restore_target().
struct LimitState {
  CgroupId id{};     // another id under the same path is another cgroup, with limits not ours; 0:
                     // none, of a record that is about the spec (agent/state/declared_limits)
  std::string path;  // below the root
  Limit first_seen;  // what it was then; "max" and no direct ceiling: its memory
                     // is not ours to change
  std::optional<Limit> confirmed;    // what the API and the kernel last agreed on
  Limit direct_ceiling{0};           // how far direct writes were allowed to go
  std::optional<Limit> written;      // the last direct write known; may lag behind
  std::optional<CpuLimitState> cpu;  // absent: its cpu.max is not ours to change

  bool operator==(const LimitState&) const = default;
};

struct ContainerState {
  std::string container_id;
  std::string name;
  LimitState limit;
  Backing backing = Backing::kSpec;
  std::optional<MonotonicTime> lease_end;  // of this boot's clock
  std::string who;                         // what asked for it, for people: "bridge generation=4"

  bool operator==(const ContainerState&) const = default;
};

struct PodState {
  std::string uid;  // as its cgroup path has it
  std::string name_space;
  std::string name;
  std::optional<LimitState> slice;  // absent: nothing of it is ever raised (no limit)
  std::vector<ContainerState> containers;

  bool operator==(const PodState&) const = default;
};

struct NodeState {
  std::string boot_id;           // /proc/sys/kernel/random/boot_id: cgroups do not outlive a boot
  std::uint64_t generation = 0;  // one more with each save
  std::vector<PodState> pods;
  LearnedSizes learned;  // of announced commands; in the file that outlives the boot

  bool operator==(const NodeState&) const = default;
};

// Where a limit belongs without us.
Limit restore_target(const LimitState& limit);
MilliCpu restore_target(const CpuLimitState& limit);

// The record of this cgroup; nullptr: none.
const LimitState* find_limit(const NodeState& state, CgroupId id);

// How far direct writes to a cgroup may go; 0: none.
struct DirectCeiling {
  Limit memory{0};
  MilliCpu cpu;

  bool operator==(const DirectCeiling&) const = default;
};
// Of every cgroup in it.
std::unordered_map<CgroupId, DirectCeiling> direct_ceilings(const NodeState& state);

// True: everything that may be written under `next`, and every floor that a spec may hide, is
// explained by `saved` already, so there is no hurry to save `next`.
bool explains(const NodeState& saved, const NodeState& next);

Result<std::string> read_boot_id();

}  // namespace plimsoll::agent
