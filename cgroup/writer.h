// SPDX-License-Identifier: Apache-2.0
//
// Writer: what changes cgroups. Whoever holds none cannot write; a dry run holds none. Each call
// may block in the kernel (lowering a limit and reclaim do), so the reaction thread has LimitFile.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"

namespace plimsoll::cgroup {

// Both values as the kernel shows them, which rounds down to whole pages.
struct Change {
  CgroupId id{};
  Limit before;
  Limit after;

  bool operator==(const Change&) const = default;
};

// cpu.max of one cgroup; the kernel keeps it as it was written.
struct CpuChange {
  CgroupId id{};
  CpuMax before;
  CpuMax after;

  bool operator==(const CpuChange&) const = default;
};

struct CpuStep {
  const Group* group = nullptr;
  CpuMax max;
};

struct CpuSteps {
  std::vector<CpuChange> done;
  std::optional<Error> error;
};

struct Step {
  const Group* group = nullptr;
  Limit limit;
};

// What was done, in the order it was done; when `error` is there, the next step failed.
struct Steps {
  std::vector<Change> done;
  std::optional<Error> error;
};

struct Reclaimed {
  Bytes asked;
  bool complete = false;  // false: the kernel found less than was asked for
  Bytes before;           // memory.current
  // Other tasks charge meanwhile, and kernel memory is freed a grace period later: it may be above
  // `before`, and fall on.
  Bytes after;
};

struct RemoveBounds {
  std::size_t most_groups = 4096;
  std::size_t deepest = 32;
};

// Codes beside those of reading: kDenied: no permission. kConflict: see each call.
class Writer {
 public:
  // Writes whatever the value is now. Lowering below what is in use reclaims inside the call and
  // may kill before Linux 6.16; from there on the next charge does.
  Result<Change> set_memory_max(const Group& group, Limit limit) const;
  Result<Change> set_memory_high(const Group& group, Limit limit) const;

  // memory.max of nested cgroups, `top_down`: ancestors before descendants. A raise writes in that
  // order, so that the container's new room is never beyond its pod's; lowering goes the other way.
  // A level whose limit is already at or beyond its step stays as it is and is reported unchanged.
  Steps raise_memory_max(std::span<const Step> top_down) const;
  Steps lower_memory_max(std::span<const Step> top_down) const;

  // cpu.max, whatever it is now. The burst is brought down to the quota where it is above, since
  // the kernel takes no quota below the burst.
  Result<CpuChange> set_cpu_max(const Group& group, const CpuMax& max) const;
  // cpu.max.burst. kConflict: above the quota. kUnsupported: before Linux 5.14.
  Result<void> set_cpu_burst(const Group& group, std::chrono::microseconds burst) const;

  // As raise_memory_max() and lower_memory_max(), for cpu.max: a cgroup that has more than its pod
  // is throttled with it.
  CpuSteps raise_cpu_max(std::span<const CpuStep> top_down) const;
  CpuSteps lower_cpu_max(std::span<const CpuStep> top_down) const;

  // memory.reclaim, since 5.19 (kUnsupported before). Takes as long as it takes; a signal ends it.
  Result<Reclaimed> reclaim(const Group& group, Bytes bytes) const;

  // Hands controllers to the children. kConflict: the cgroup has processes of its own.
  // kUnsupported: it does not have the controller itself.
  Result<void> enable_controllers(const Group& group,
                                  std::span<const std::string_view> names) const;

  // Takes controllers back from the children. kConflict: a child uses one.
  Result<void> disable_controllers(const Group& group,
                                   std::span<const std::string_view> names) const;

  // `name` is one component. kConflict: it exists.
  Result<Group> create_group(const Group& parent, std::string_view name) const;
  // Removes it and the cgroups below it, deepest first; one that vanished meanwhile is fine. kGone:
  // it was removed before. kConflict: a process lives in one of them; those already removed stay
  // removed.
  Result<void> remove_group(const Group& group, RemoveBounds bounds = {}) const;

  // The whole process with all threads. kGone: no such process, or no such cgroup.
  Result<void> move_process(const Group& group, pid_t pid) const;

  // SIGKILL to all that lives in it or below it; returns before they are dead. By cgroup.kill
  // (since 5.14), else one by one in a frozen cgroup.
  Result<void> kill(const Group& group) const;

 private:
  // Opens and writes; the value is the errno of the write, 0 when it went well.
  static Result<int> write(const Group& group, const std::string& name, std::string_view text);
  static Result<void> switch_controllers(const Group& group, char sign,
                                         std::span<const std::string_view> names);
  static Result<Change> set(const Group& group, const std::string& name, Limit limit);
  static Result<void> kill_one_by_one(const Group& group);
};

}  // namespace plimsoll::cgroup
