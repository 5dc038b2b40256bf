// SPDX-License-Identifier: Apache-2.0
// What the programs of storm-load share: options, the slot in which a thread or process notes what
// it saw, fresh memory, and the pattern that is written and verified. Every program takes Options
// and a Board and leaves its findings in slots; main merges them into one LoadResult.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tests/storm/storm_result.h"

namespace plimsoll::storm {

inline constexpr uint64_t kPageSize = 4096;

struct Options {
  std::string program;
  uint64_t bytes = 0;
  unsigned threads = 0;                // 0: as many as there are CPUs
  uint64_t rate_bytes_per_second = 0;  // 0: as fast as it goes
  std::string file;                    // tmpfs: a directory; cache, fill: the file
  std::string result;                  // where the JSON goes; empty: standard output
  uint64_t seed = 1;
  double deadline_seconds = 30;  // burst2: how long a shrink is waited for
  bool supervise = false;        // run the program in a child and note when it dies
  std::string cgroup_root = "/sys/fs/cgroup";
};

// One thread's or process's findings. Plain memory, one writer each, so that a slot in shared
// memory still tells what a killed child had done.
struct Slot {
  uint64_t errors = 0;
  uint64_t killed_children = 0;
  int64_t waited_ns = 0;
  int64_t max_gap_ns = 0;
  int64_t last_step_ns = 0;      // last 1 MiB step
  int64_t last_progress_ns = 0;  // last 64 KiB
  int32_t shrink_seen = -1;      // -1: does not apply
  uint32_t finished = 0;
  char first_error[160] = {};

  void error(const char* what, int error_number);
  void wrong_page(uint64_t page);
  void begin();  // the clock of the first gap starts
  void step();   // another 1 MiB is done
};

// Slots in shared anonymous memory, touched beforehand: noting something later cannot fail.
class Board {
 public:
  static constexpr size_t kSlots = 64;
  Board();
  ~Board();
  Board(const Board&) = delete;
  Board& operator=(const Board&) = delete;
  Slot& slot(size_t index) { return slots_[index % kSlots]; }
  LoadResult merged() const;
  int64_t last_progress_ns() const;

 private:
  Slot* slots_ = nullptr;
};

// Fresh private anonymous memory. `ok()` is false and an error is noted when it was refused.
class Region {
 public:
  Region(uint64_t bytes, int extra_flags, Slot& slot);
  ~Region();
  Region(const Region&) = delete;
  Region& operator=(const Region&) = delete;
  bool ok() const { return base_ != nullptr; }
  std::byte* base() const { return base_; }
  uint64_t size() const { return bytes_; }

 private:
  std::byte* base_ = nullptr;
  uint64_t bytes_ = 0;
};

int64_t now_ns();
void sleep_ms(int64_t milliseconds);
unsigned cpu_count();

// The first and last eight bytes of page `page`. Never zero: a page that lost its content differs.
uint64_t pattern_word(uint64_t seed, uint64_t page);
void write_page(std::byte* page, uint64_t word);
bool page_holds(const std::byte* page, uint64_t word);

// Writes the pattern page by page, at `rate` if it is not 0, stamping progress.
void touch_pages(const Region& region, uint64_t seed, uint64_t rate, Slot& slot);
void verify_pages(const Region& region, uint64_t seed, Slot& slot);

// The programs. True when the name is theirs.
bool run_memory_program(const Options& options, Board& board);
bool run_file_program(const Options& options, Board& board);
bool run_process_program(const Options& options, Board& board);
bool run_burst_program(const Options& options, Board& board);

}  // namespace plimsoll::storm
