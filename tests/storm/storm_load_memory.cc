// SPDX-License-Identifier: Apache-2.0
// Programs that fill anonymous memory: each reaches the charge code by another way in.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "tests/storm/storm_load.h"
#include "tests/storm/storm_size.h"

namespace plimsoll::storm {
namespace {

void touch(const Options& options, Slot& slot) {
  const Region region(options.bytes, 0, slot);
  if (!region.ok()) return;
  touch_pages(region, options.seed, options.rate_bytes_per_second, slot);
  verify_pages(region, options.seed, slot);
}

// A populating call that runs out of memory may report success and leave pages out.
void check_resident(const Region& region, const char* call, Slot& slot) {
  const uint64_t pages = region.size() / kPageSize;
  std::vector<unsigned char> resident(pages);
  if (mincore(region.base(), region.size(), resident.data()) != 0) {
    slot.error("mincore", errno);
    return;
  }
  const auto missing = std::count_if(resident.begin(), resident.end(),
                                     [](unsigned char flags) { return (flags & 1) == 0; });
  for (long page = 0; page < missing; ++page) slot.error(call, 0);
}

void populate(const Options& options, Slot& slot) {
  slot.begin();
  const Region region(options.bytes, MAP_POPULATE, slot);
  slot.step();
  if (!region.ok()) return;
  check_resident(region, "MAP_POPULATE", slot);
  touch_pages(region, options.seed, 0, slot);
  verify_pages(region, options.seed, slot);
}

void lock(const Options& options, Slot& slot) {
  const Region region(options.bytes, 0, slot);
  if (!region.ok()) return;
  slot.begin();
  if (mlock(region.base(), region.size()) != 0) slot.error("mlock", errno);
  slot.step();
  check_resident(region, "mlock", slot);
  touch_pages(region, options.seed, 0, slot);
  verify_pages(region, options.seed, slot);
}

// read() into memory that was never touched: the faults happen in the kernel's copy loop, where
// running out is not a signal but EFAULT or a short count.
void read_into_fresh(const Options& options, Slot& slot) {
  constexpr uint64_t kBlock = kMiB;
  constexpr uint64_t kBlockPages = kBlock / kPageSize;
  const int source = memfd_create("storm-source", MFD_CLOEXEC);
  if (source < 0 || ftruncate(source, kBlock) != 0) {
    slot.error("memfd", errno);
    return;
  }
  std::vector<std::byte> block(kBlock);
  for (uint64_t page = 0; page < kBlockPages; ++page) {
    write_page(block.data() + page * kPageSize, pattern_word(options.seed, page));
  }
  if (pwrite(source, block.data(), kBlock, 0) != static_cast<ssize_t>(kBlock)) {
    slot.error("writing the source", errno);
  }
  const Region region(options.bytes, 0, slot);
  if (region.ok()) {
    slot.begin();
    for (uint64_t done = 0; done + kBlock <= region.size(); done += kBlock) {
      const ssize_t got = pread(source, region.base() + done, kBlock, 0);
      if (got < 0) slot.error("read", errno);
      if (got >= 0 && got < static_cast<ssize_t>(kBlock)) slot.error("read", 0);
      slot.step();
    }
    const uint64_t pages = region.size() / kBlock * kBlockPages;
    for (uint64_t page = 0; page < pages; ++page) {
      const uint64_t word = pattern_word(options.seed, page % kBlockPages);
      if (!page_holds(region.base() + page * kPageSize, word)) slot.wrong_page(page);
    }
  }
  close(source);
}

void threads(const Options& options, Board& board) {
  const unsigned count = std::min<unsigned>(
      options.threads == 0 ? std::max(2U, cpu_count()) : options.threads, Board::kSlots);
  const uint64_t share = options.bytes / count / kPageSize * kPageSize;
  // Nobody gives memory back before all have theirs: the peak is the whole of it.
  std::vector<std::thread> workers;
  std::vector<std::unique_ptr<Region>> regions;
  for (unsigned index = 0; index < count; ++index) {
    regions.push_back(std::make_unique<Region>(share, 0, board.slot(index)));
  }
  for (unsigned index = 0; index < count; ++index) {
    workers.emplace_back([&options, &board, &regions, index] {
      if (!regions[index]->ok()) return;
      touch_pages(*regions[index], options.seed + index, 0, board.slot(index));
      verify_pages(*regions[index], options.seed + index, board.slot(index));
    });
  }
  for (std::thread& worker : workers) worker.join();
}

}  // namespace

bool run_memory_program(const Options& options, Board& board) {
  Slot& slot = board.slot(0);
  if (options.program == "touch" || options.program == "leak") {
    touch(options, slot);  // a leak is a touch with a rate that is not meant to end
  } else if (options.program == "populate") {
    populate(options, slot);
  } else if (options.program == "mlock") {
    lock(options, slot);
  } else if (options.program == "read") {
    read_into_fresh(options, slot);
  } else if (options.program == "threads") {
    threads(options, board);
  } else if (options.program == "hold-nothing") {
    sleep_ms(100);
  } else {
    return false;
  }
  return true;
}

}  // namespace plimsoll::storm
