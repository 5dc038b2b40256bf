// SPDX-License-Identifier: Apache-2.0
//
// StateFile: the node's state on disk, replaced as a whole, so that SIGKILL at any instruction
// leaves the old or the new one. Records of cgroups belong on a tmpfs of the host (/run): they are
// worth nothing after a reboot, and a save then waits for no disk. What outlives a boot
// (agent/state/declared_limits) is another file, with an empty boot id.
// docs/decisions/0010-state-and-restore.md.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "agent/state/node_state.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

inline constexpr const char* kStatePath = "/run/plimsoll/state";

// What was there. Nothing that was written by anyone makes this fail.
struct FoundState {
  NodeState state;           // empty, but for the boot id, when there was none of this boot
  bool from_backup = false;  // the last one could not be read; this is the one before it
  bool other_boot = false;   // there was one, of another boot: ignored
  std::vector<std::string> complaints;  // why a file could not be used, one sentence each
};
FoundState read_state(const std::string& path, const std::string& boot_id);

class StateFile {
 public:
  // Takes the lock of the file (PATH.lock) and reads what is there. Makes the directory. kConflict:
  // another process holds the lock.
  static Result<StateFile> open(std::string path, const std::string& boot_id,
                                Nanoseconds coalesce = std::chrono::seconds(1));

  // What the agent before this one left.
  const FoundState& found() const { return found_; }

  // Brings `state` to disk (its boot id and generation are set here): at once if something in it is
  // not explained by what is there (a new cgroup, a higher direct ceiling, a floor), else at
  // most every `coalesce`. True: written. After an error the old state stays, and covers() and
  // covers_cpu() with it.
  Result<bool> update(NodeState state, MonotonicTime now);
  // The same without coalescing: at a clean stop.
  Result<bool> flush(NodeState state, MonotonicTime now);
  // Lets go of the lock, for the next agent; nothing is written after that (kConflict).
  void release() { lock_ = Fd(); }

  // The write-ahead rule: nobody may write directly to a cgroup, nor above `direct_ceiling`, unless
  // this is true.
  bool covers(CgroupId id, Limit direct_ceiling) const;
  // The same of its cpu.max; 0 is no write, and needs nothing.
  bool covers_cpu(CgroupId id, MilliCpu direct_ceiling) const;

  const NodeState& saved() const { return saved_; }

 private:
  StateFile(std::string path, Fd lock, FoundState found, Nanoseconds coalesce);
  Result<void> replace(const std::string& text) const;

  std::string path_;
  Fd lock_;
  FoundState found_;
  Nanoseconds coalesce_;
  NodeState saved_;
  std::unordered_map<CgroupId, DirectCeiling> ceilings_;  // of saved_
  std::optional<MonotonicTime> saved_at_;
};

}  // namespace plimsoll::agent
