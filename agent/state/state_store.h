// SPDX-License-Identifier: Apache-2.0
//
// StateStore: both files of what outlives the agent, the one of cgroups and the one of what pods
// declared, and what is wrong with them. Owned by the slow loop; a save may wait for a disk.
// docs/decisions/0010-state-and-restore.md.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "agent/state/node_state.h"
#include "agent/state/state_file.h"
#include "base/result.h"
#include "base/units.h"

namespace plimsoll::agent {

class StateStore {
 public:
  // Takes the locks of both files and reads what the agent before this one left. kConflict: another
  // process holds one.
  static Result<StateStore> open(const std::string& state_path, const std::string& floors_path);

  const NodeState& found() const { return cgroups_.file.found().state; }
  const NodeState& found_floors() const { return floors_.file.found().state; }
  // Why a file could not be used, one sentence each.
  std::vector<std::string> complaints() const;

  // What may be written is on disk before it may be written, and a floor before the API forgets it.
  // The error of a file that could be saved until now.
  std::optional<Error> save(NodeState state, NodeState floors, MonotonicTime now);
  // At a clean stop.
  void flush(NodeState state, NodeState floors, MonotonicTime now);
  // For the next agent: see StateFile::release().
  void release();

  // The write-ahead rule, see StateFile::covers().
  bool covers(CgroupId id, Limit direct_ceiling) const {
    return cgroups_.file.covers(id, direct_ceiling);
  }
  bool covers_cpu(CgroupId id, MilliCpu direct_ceiling) const {
    return cgroups_.file.covers_cpu(id, direct_ceiling);
  }
  const NodeState& saved_floors() const { return floors_.file.saved(); }
  const std::string& floors_trouble() const { return floors_.trouble; }

  // Why it cannot be saved; empty: it can.
  const std::string& trouble() const {
    return cgroups_.trouble.empty() ? floors_.trouble : cgroups_.trouble;
  }
  std::uint64_t writes() const { return cgroups_.writes + floors_.writes; }
  std::uint64_t write_failures() const { return cgroups_.failures + floors_.failures; }

 private:
  struct Kept {
    StateFile file;
    std::string trouble;
    std::uint64_t writes = 0;
    std::uint64_t failures = 0;

    std::optional<Error> save(NodeState state, MonotonicTime now);
  };
  StateStore(StateFile cgroups, StateFile floors)
      : cgroups_{std::move(cgroups)}, floors_{std::move(floors)} {}

  Kept cgroups_;
  Kept floors_;
};

}  // namespace plimsoll::agent
