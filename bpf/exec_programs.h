// SPDX-License-Identifier: Apache-2.0
//
// The programs that see announced commands begin and end, loaded and attached, as typed calls. Used
// by agent/engine/announced_commands. When it goes, every program is detached and every map is
// freed; when the process dies, the kernel does the same. All calls: one thread, the slow loop's.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "bpf/exec_records.h"

namespace plimsoll::bpf {

// What of a command's name the kernel keeps: longer ones are the same if this much of them is.
inline constexpr std::size_t kCommandBytes = 15;

// A process that was started by an announced command, in a watched cgroup or below it.
struct RunningCommand {
  std::uint32_t watch = 0;
  std::uint32_t command = 0;  // index into the names that were given to watch()
  std::uint32_t pid = 0;      // in the first PID namespace

  bool operator==(const RunningCommand&) const = default;
};

struct ExecCounters {
  std::uint64_t events = 0;
  std::uint64_t events_dropped = 0;
  std::uint64_t forgotten = 0;  // starts that the table of running commands had no room for
  // Times that the kernel skipped a program because the same one was already running on that CPU.
  std::uint64_t missed = 0;
};

struct ExecRoom {
  std::uint32_t running = 4096;      // processes that are remembered at the same time
  std::uint32_t ring_bytes = 65536;  // 32 for an event; a power of two, a page or more
};

class ExecPrograms {
 public:
  // kUnsupported or kDenied names the program that the kernel refused and what it said.
  static Result<ExecPrograms> load(const ExecRoom& room = {});
  // The object that load() loads, for trial_load.h.
  static std::string_view elf();

  ExecPrograms(ExecPrograms&&) noexcept;
  ExecPrograms& operator=(ExecPrograms&&) noexcept;
  ExecPrograms(const ExecPrograms&) = delete;
  ExecPrograms& operator=(const ExecPrograms&) = delete;
  ~ExecPrograms();

  // From now on the commands `names` are told of in the cgroup v2 directory `cgroup_fd` and below,
  // up to the next watched cgroup that announces the same name; those that run already are told of
  // at once, unless their name is no longer that of the command, as that of a script that has
  // become its interpreter by another exec. `watch` is a number that is not in use. Returns the
  // cgroup's id. kConflict: the number or the cgroup is in use. kMalformed: an empty name, or two
  // that the kernel cannot tell apart. kDenied: the tables are full.
  Result<CgroupId> watch(std::uint32_t watch, int cgroup_fd, std::span<const std::string> names);
  // Nothing is told of it any more, its running commands included.
  void unwatch(std::uint32_t watch);

  // Who runs an announced command now, whatever events were lost; those that were found to have
  // ended are forgotten. Looks at those that are remembered, in the kernel, not at all processes.
  Result<std::vector<RunningCommand>> running();

  // Readable when an event waits.
  int event_fd() const noexcept;
  // Calls `handle(context, event)` for each waiting event, in their order. Returns how many there
  // were; a record that makes no sense is counted by malformed() instead.
  std::size_t drain(void (*handle)(void*, const pl_exec_event&), void* context);
  std::uint64_t malformed() const noexcept;

  // Two system calls per program, for `missed`.
  ExecCounters counters() const;

 private:
  struct Impl;
  explicit ExecPrograms(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace plimsoll::bpf
