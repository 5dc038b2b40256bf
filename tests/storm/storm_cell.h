// SPDX-License-Identifier: Apache-2.0
// The matrix: which cells there are, how big their loads are, and in which modes each one runs.
// Pure; used by storm-driver and its tests.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/storm/storm_size.h"

namespace plimsoll::storm {

// What a cell is for. With Plimsoll:
enum class Expect {
  kSurvive,        // is killed without; lives with
  kNoGrant,        // lives without, and must not grow with (page cache, idle)
  kDoorOnly,       // mostly lives without; is fed only when the OOM killer has been called
  kCeiling,        // bursts: is fed to its ceiling, then killed
  kLeak,           // climbs without end: is fed to its ceiling, then killed
  kLeakRule,       // likewise, and is fed no further long before its ceiling
  kDeniedCeiling,  // the ceiling is the limit: killed at once, without grant and hold
  kDeniedBudget,   // the node has nothing to give: likewise
};

inline const char* name_of(Expect expect) {
  switch (expect) {
    case Expect::kSurvive:
      return "survive";
    case Expect::kNoGrant:
      return "no-grant";
    case Expect::kDoorOnly:
      return "door-only";
    case Expect::kCeiling:
      return "ceiling";
    case Expect::kLeak:
      return "leak";
    case Expect::kLeakRule:
      return "leak-rule";
    case Expect::kDeniedCeiling:
      return "denied-ceiling";
    case Expect::kDeniedBudget:
      return "denied-budget";
  }
  return "?";
}

struct Cell {
  std::string name;
  std::string program;  // of storm-load
  Expect expect = Expect::kSurvive;
  bool thp = false;
  bool parent_binds = false;  // the limit is the parent's, the command's own cgroup has none
  bool supervised = false;    // the program's death is timed
  bool late = false;          // nothing is foreseen: Plimsoll is told at the limit at the earliest
  uint64_t limit_bytes = 0;
  uint64_t ceiling_bytes = 0;
  uint64_t load_bytes = 0;
  uint64_t rate_bytes_per_second = 0;
  std::string shrink_after = "10s";
  bool runs_baseline = true;    // is also run without Plimsoll
  bool runs_unlimited = false;  // is also run without a limit, for the time ratio
};

inline const std::vector<std::string>& killing_programs() {
  static const std::vector<std::string> kPrograms = {
      "touch", "populate", "mlock",  "read",       "tmpfs",         "forks",     "threads",
      "child", "parent",   "burst2", "late-touch", "late-populate", "late-forks"};
  return kPrograms;
}

// Enough to be killed for certain: reclaiming the program's own text saves nobody.
inline uint64_t killing_load(uint64_t limit_bytes) { return 2 * limit_bytes + 64 * kMiB; }

// Room for the load and what the kernel charges beside it (page tables, the file that is read).
inline uint64_t generous_ceiling(uint64_t load_bytes) {
  return load_bytes + load_bytes / 4 + 64 * kMiB;
}

inline std::string cell_name(const std::string& program, bool thp, uint64_t limit_bytes) {
  return program + "/" + (thp ? "always" : "never") + "/" + std::to_string(limit_bytes / kMiB);
}

inline Cell killing_cell(const std::string& program, bool thp, uint64_t limit_bytes) {
  Cell cell;
  cell.name = cell_name(program, thp, limit_bytes);
  cell.late = program.rfind("late-", 0) == 0;
  cell.program = program == "parent" ? "touch" : cell.late ? program.substr(5) : program;
  cell.thp = thp;
  cell.parent_binds = program == "parent";
  cell.limit_bytes = limit_bytes;
  cell.load_bytes = killing_load(limit_bytes);
  if (program == "burst2") {
    cell.shrink_after = "1s";
  }
  cell.ceiling_bytes = generous_ceiling(cell.load_bytes);
  cell.runs_unlimited = true;
  return cell;
}

inline Cell wrong_cell(const std::string& name, const std::string& program, Expect expect, bool thp,
                       uint64_t limit_bytes) {
  Cell cell;
  cell.name = cell_name(name, thp, limit_bytes);
  cell.program = program;
  cell.expect = expect;
  cell.thp = thp;
  cell.limit_bytes = limit_bytes;
  cell.load_bytes = 8 * limit_bytes;
  cell.ceiling_bytes = 4 * limit_bytes;
  return cell;
}

// A difference of two medians needs more runs than a yes or no does.
inline bool times_the_kill(Expect expect) {
  return expect == Expect::kCeiling || expect == Expect::kDeniedCeiling ||
         expect == Expect::kDeniedBudget;
}

// The cells where growing, or growing further, would be wrong.
inline std::vector<Cell> wrong_cells(bool thp) {
  const uint64_t limit = 64 * kMiB;
  std::vector<Cell> cells;
  Cell cache = wrong_cell("cache", "cache", Expect::kNoGrant, thp, 32 * kMiB);
  cache.load_bytes = 384 * kMiB;  // twice through a file of six times the limit
  cells.push_back(cache);
  cache = wrong_cell("rewrite", "rewrite", Expect::kDoorOnly, thp, 32 * kMiB);
  cache.load_bytes = 96 * kMiB;  // written back at the speed that the kernel allows the cgroup
  cells.push_back(cache);
  cells.push_back(wrong_cell("idle", "hold-nothing", Expect::kNoGrant, thp, 32 * kMiB));
  cells.push_back(wrong_cell("ceiling", "touch", Expect::kCeiling, thp, limit));
  Cell leak = wrong_cell("leak", "leak", Expect::kLeak, thp, 32 * kMiB);
  leak.rate_bytes_per_second = 48 * kMiB;
  leak.load_bytes = kGiB;
  cells.push_back(leak);
  leak = wrong_cell("leak-rule", "leak", Expect::kLeakRule, thp, 32 * kMiB);
  leak.rate_bytes_per_second = 48 * kMiB;
  leak.load_bytes = kGiB;
  leak.ceiling_bytes = 768 * kMiB;
  leak.runs_baseline = false;  // what the kernel does at the ceiling is the cell before
  cells.push_back(leak);
  Cell denied = wrong_cell("denied-ceiling", "touch", Expect::kDeniedCeiling, thp, limit);
  denied.ceiling_bytes = limit;
  cells.push_back(denied);
  cells.push_back(wrong_cell("denied-budget", "touch", Expect::kDeniedBudget, thp, limit));
  for (Cell& cell : cells) {
    cell.supervised = cell.expect != Expect::kNoGrant && cell.expect != Expect::kDoorOnly;
  }
  return cells;
}

}  // namespace plimsoll::storm
