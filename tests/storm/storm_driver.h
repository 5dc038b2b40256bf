// SPDX-License-Identifier: Apache-2.0
// The parts of storm-driver that touch the guest: what is prepared once (Guest), and one run of one
// cell in one mode. All block; all run on one thread, as root, in a machine of their own.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/storm/storm_cell.h"
#include "tests/storm/storm_record.h"

namespace plimsoll::storm {

struct DriverOptions {
  std::vector<std::string> programs = killing_programs();
  std::vector<std::string> wrong;  // names of wrong cells; empty: all
  std::vector<bool> thp = {true, false};
  std::vector<bool> wrong_thp = {true, false};
  std::vector<uint64_t> limits = {32 * kMiB, 64 * kMiB, 128 * kMiB, 256 * kMiB};
  uint64_t repeat = 3;           // with Plimsoll
  uint64_t baseline_repeat = 3;  // without, and without a limit: per cell
  uint64_t wrong_repeat = 3;
  bool kill_cells = true;
  bool wrong_cells = true;
  uint64_t seed = 1;
  std::string plimsoll = "plimsoll";  // "none": only the modes without it
  std::string load = "storm-load";
  std::string disk = "/dev/nvme0n1";  // gets a file system for the page cache cells; is overwritten
  std::chrono::seconds timeout{60};   // of one run
};

inline constexpr const char* kCgroupRoot = "/sys/fs/cgroup";

// Everything that is prepared once. `problem` is empty when the guest is ready.
struct Guest {
  std::string problem;
  std::string cache_file;  // on a file system with a real page cache
  std::string tmpfs_small_pages;
  std::string tmpfs_huge_pages;
};
Guest prepare_guest(const DriverOptions& options, bool with_disk);
bool set_thp(bool always);

// Files and cgroups.
std::optional<std::string> read_file(const std::string& path);
bool write_file(const std::string& path, const std::string& text);
std::optional<uint64_t> read_counter(const std::string& path, const std::string& key);
std::set<std::string> all_cgroups();
bool make_cgroup(const std::string& path, std::optional<uint64_t> limit_bytes);
// Kills what is left in it and removes it with everything below. False when it is still there.
bool remove_cgroup(const std::string& path);

// One command, in a cgroup if one is named, with its output in a file.
struct Ended {
  std::optional<int> exit_code;
  std::optional<int> signal;
  bool timed_out = false;
  double seconds = 0;
  std::string output;  // the last part of it
};
Ended run_command(const std::vector<std::string>& words, const std::string& cgroup,
                  std::chrono::seconds timeout);

// Everything that depends on how `plimsoll run` is called. `report` is written by it.
std::vector<std::string> plimsoll_command(const DriverOptions& options, const Cell& cell,
                                          const std::string& parent, const std::string& report);

RunRecord run_cell(const DriverOptions& options, const Guest& guest, const Cell& cell,
                   const std::string& mode, uint64_t repetition);

}  // namespace plimsoll::storm
