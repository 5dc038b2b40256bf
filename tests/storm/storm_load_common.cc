// SPDX-License-Identifier: Apache-2.0
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>

#include "tests/storm/storm_load.h"
#include "tests/storm/storm_size.h"

namespace plimsoll::storm {

int64_t now_ns() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

void sleep_ms(int64_t milliseconds) {
  timespec left{milliseconds / 1000, (milliseconds % 1000) * 1'000'000};
  while (nanosleep(&left, &left) != 0 && errno == EINTR) {
  }
}

unsigned cpu_count() {
  const long count = sysconf(_SC_NPROCESSORS_ONLN);
  return count < 1 ? 1U : static_cast<unsigned>(count);
}

void Slot::error(const char* what, int error_number) {
  if (errors++ == 0) {
    const char* name = error_number == 0 ? "short" : strerrorname_np(error_number);
    snprintf(first_error, sizeof(first_error), "%s: %s", what, name == nullptr ? "?" : name);
  }
}

void Slot::wrong_page(uint64_t page) {
  if (errors++ == 0) {
    snprintf(first_error, sizeof(first_error), "page %llu reads back wrong",
             static_cast<unsigned long long>(page));
  }
}

void Slot::begin() { last_step_ns = last_progress_ns = now_ns(); }

void Slot::step() {
  const int64_t now = now_ns();
  max_gap_ns = std::max(max_gap_ns, now - last_step_ns);
  last_step_ns = last_progress_ns = now;
}

Board::Board() {
  void* memory = mmap(nullptr, kSlots * sizeof(Slot), PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) {
    perror("storm-load: the board");
    exit(3);
  }
  slots_ = static_cast<Slot*>(memory);
  for (size_t index = 0; index < kSlots; ++index) new (&slots_[index]) Slot;
}

Board::~Board() { munmap(slots_, kSlots * sizeof(Slot)); }

LoadResult Board::merged() const {
  LoadResult result;
  for (size_t index = 0; index < kSlots; ++index) {
    const Slot& slot = slots_[index];
    if (slot.errors > 0 && result.first_error.empty()) result.first_error = slot.first_error;
    result.errors += slot.errors;
    result.killed_children += slot.killed_children;
    result.waited_seconds += static_cast<double>(slot.waited_ns) / 1e9;
    result.max_gap_ms = std::max(result.max_gap_ms, static_cast<double>(slot.max_gap_ns) / 1e6);
    if (slot.shrink_seen >= 0) result.shrink_seen = slot.shrink_seen == 1;
  }
  return result;
}

int64_t Board::last_progress_ns() const {
  int64_t last = 0;
  for (size_t index = 0; index < kSlots; ++index) {
    last = std::max(last, slots_[index].last_progress_ns);
  }
  return last;
}

Region::Region(uint64_t bytes, int extra_flags, Slot& slot) : bytes_(bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | extra_flags, -1, 0);
  if (memory == MAP_FAILED) {
    slot.error("mmap", errno);
    return;
  }
  base_ = static_cast<std::byte*>(memory);
}

Region::~Region() {
  if (base_ != nullptr) munmap(base_, bytes_);
}

uint64_t pattern_word(uint64_t seed, uint64_t page) {
  uint64_t word = seed + (page + 1) * 0x9e3779b97f4a7c15ULL;
  word = (word ^ (word >> 30)) * 0xbf58476d1ce4e5b9ULL;
  word = (word ^ (word >> 27)) * 0x94d049bb133111ebULL;
  return (word ^ (word >> 31)) | 1;
}

void write_page(std::byte* page, uint64_t word) {
  std::memcpy(page, &word, sizeof(word));
  std::memcpy(page + kPageSize - sizeof(word), &word, sizeof(word));
}

bool page_holds(const std::byte* page, uint64_t word) {
  uint64_t first = 0;
  uint64_t last = 0;
  std::memcpy(&first, page, sizeof(first));
  std::memcpy(&last, page + kPageSize - sizeof(last), sizeof(last));
  return first == word && last == word;
}

void touch_pages(const Region& region, uint64_t seed, uint64_t rate, Slot& slot) {
  constexpr uint64_t kProgressPages = 64 * kKiB / kPageSize;
  constexpr uint64_t kStepPages = kMiB / kPageSize;
  const uint64_t pages = region.size() / kPageSize;
  slot.begin();
  const int64_t start = now_ns();
  for (uint64_t page = 0; page < pages; ++page) {
    write_page(region.base() + page * kPageSize, pattern_word(seed, page));
    if ((page + 1) % kProgressPages != 0) continue;
    if ((page + 1) % kStepPages != 0) {
      slot.last_progress_ns = now_ns();
      continue;
    }
    slot.step();
    if (rate == 0) continue;
    const auto due = start + static_cast<int64_t>(static_cast<double>((page + 1) * kPageSize) *
                                                  1e9 / static_cast<double>(rate));
    const int64_t early_ms = (due - now_ns()) / 1'000'000;
    if (early_ms > 0) {
      sleep_ms(early_ms);
      slot.begin();  // a pause of our own is not a gap
    }
  }
}

void verify_pages(const Region& region, uint64_t seed, Slot& slot) {
  const uint64_t pages = region.size() / kPageSize;
  for (uint64_t page = 0; page < pages; ++page) {
    if (!page_holds(region.base() + page * kPageSize, pattern_word(seed, page))) {
      slot.wrong_page(page);
    }
  }
}

}  // namespace plimsoll::storm
