// SPDX-License-Identifier: Apache-2.0
// Programs whose memory belongs to files: shared memory that cannot be reclaimed (tmpfs), and page
// cache that can (cache, rewrite). The latter must never make a limit grow.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "tests/storm/storm_load.h"
#include "tests/storm/storm_size.h"

namespace plimsoll::storm {
namespace {

constexpr uint64_t kBlock = kMiB;
constexpr uint64_t kBlockPages = kBlock / kPageSize;

void fill_block(std::vector<std::byte>& block, uint64_t seed, uint64_t first_page) {
  for (uint64_t page = 0; page < kBlockPages; ++page) {
    write_page(block.data() + page * kPageSize, pattern_word(seed, first_page + page));
  }
}

void check_block(const std::vector<std::byte>& block, uint64_t seed, uint64_t first_page,
                 Slot& slot) {
  for (uint64_t page = 0; page < kBlockPages; ++page) {
    if (!page_holds(block.data() + page * kPageSize, pattern_word(seed, first_page + page))) {
      slot.wrong_page(first_page + page);
    }
  }
}

void write_blocks(int file, uint64_t bytes, uint64_t seed, Slot& slot) {
  std::vector<std::byte> block(kBlock);
  slot.begin();
  for (uint64_t done = 0; done + kBlock <= bytes; done += kBlock) {
    fill_block(block, seed, done / kPageSize);
    const ssize_t put = pwrite(file, block.data(), kBlock, static_cast<off_t>(done));
    if (put < 0) slot.error("write", errno);
    if (put >= 0 && put < static_cast<ssize_t>(kBlock)) slot.error("write", 0);
    slot.step();
  }
}

void read_blocks(int file, uint64_t bytes, uint64_t seed, Slot& slot) {
  std::vector<std::byte> block(kBlock);
  slot.begin();
  for (uint64_t done = 0; done + kBlock <= bytes; done += kBlock) {
    const ssize_t got = pread(file, block.data(), kBlock, static_cast<off_t>(done));
    if (got < 0) slot.error("read", errno);
    if (got >= 0 && got < static_cast<ssize_t>(kBlock)) slot.error("read", 0);
    check_block(block, seed, done / kPageSize, slot);
    slot.step();
  }
}

void fill_tmpfs(const Options& options, Slot& slot) {
  const std::string directory = options.file.empty() ? "/dev/shm" : options.file;
  // Without a name: whatever becomes of this process, the memory goes with it.
  const int file = open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (file < 0) {
    slot.error("opening a file in tmpfs", errno);
    return;
  }
  write_blocks(file, options.bytes, options.seed, slot);
  read_blocks(file, options.bytes, options.seed, slot);
  close(file);
}

// Streams `bytes` through the file, which was filled before, again and again from its start.
void stream(const Options& options, bool rewrite, Slot& slot) {
  const int file = open(options.file.c_str(), (rewrite ? O_RDWR : O_RDONLY) | O_CLOEXEC);
  const off_t size = file < 0 ? -1 : lseek(file, 0, SEEK_END);
  if (file < 0 || size < static_cast<off_t>(kBlock)) {
    slot.error("opening the file to stream", errno);
    return;
  }
  const auto length = static_cast<uint64_t>(size);
  for (uint64_t left = options.bytes; left >= kBlock;) {
    const uint64_t part = std::min(left, length);
    if (rewrite) write_blocks(file, part, options.seed, slot);
    read_blocks(file, part, options.seed, slot);
    left -= part;
  }
  close(file);
}

void fill_file(const Options& options, Slot& slot) {
  const int file = open(options.file.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) {
    slot.error("creating the file", errno);
    return;
  }
  write_blocks(file, options.bytes, options.seed, slot);
  if (fsync(file) != 0) slot.error("fsync", errno);
  close(file);
}

}  // namespace

bool run_file_program(const Options& options, Board& board) {
  Slot& slot = board.slot(0);
  if (options.program == "tmpfs") {
    fill_tmpfs(options, slot);
  } else if (options.program == "cache") {
    stream(options, false, slot);
  } else if (options.program == "rewrite") {
    stream(options, true, slot);
  } else if (options.program == "fill") {
    fill_file(options, slot);
  } else {
    return false;
  }
  return true;
}

}  // namespace plimsoll::storm
