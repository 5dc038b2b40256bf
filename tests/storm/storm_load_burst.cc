// SPDX-License-Identifier: Apache-2.0
// The second burst: memory is filled and given back; the moment the limit comes down, it is filled
// again. With no limit, or one that nobody raised, there is no shrink to wait for.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <fstream>
#include <optional>

#include "tests/storm/storm_load.h"
#include "tests/storm/storm_load_cgroup.h"
#include "tests/storm/storm_size.h"

namespace plimsoll::storm {

std::string own_cgroup(const std::string& root) {
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    if (line.rfind("0::", 0) == 0) return root + (line == "0::/" ? "" : line.substr(3));
  }
  return root;
}

int write_file(const std::string& path, const std::string& text) {
  const int file = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  const ssize_t put = write(file, text.data(), text.size());
  const int failure = put == static_cast<ssize_t>(text.size()) ? 0 : errno;
  close(file);
  return failure;
}

std::optional<uint64_t> read_limit(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return std::nullopt;
  std::array<char, 32> text{};
  const ssize_t got = read(file, text.data(), text.size());
  close(file);
  if (got <= 0) return std::nullopt;
  std::string_view value(text.data(), static_cast<size_t>(got));
  if (value.ends_with('\n')) value.remove_suffix(1);
  return parse_count(value);
}

namespace {

void burst(const Options& options, Slot& slot) {
  const Region region(options.bytes, 0, slot);
  if (!region.ok()) return;
  touch_pages(region, options.seed, 0, slot);
  verify_pages(region, options.seed, slot);
}

// Waits for the first lowering of the limit; false when the deadline came first.
bool wait_for_shrink(const Options& options, const std::string& limit_file) {
  const int64_t deadline = now_ns() + static_cast<int64_t>(options.deadline_seconds * 1e9);
  uint64_t highest = read_limit(limit_file).value_or(0);
  while (now_ns() < deadline) {
    const uint64_t limit = read_limit(limit_file).value_or(0);
    if (limit < highest) return true;
    highest = std::max(highest, limit);
    sleep_ms(5);
  }
  return false;
}

}  // namespace

bool run_burst_program(const Options& options, Board& board) {
  if (options.program != "burst2") return false;
  Slot& slot = board.slot(0);
  const std::string limit_file = own_cgroup(options.cgroup_root) + "/memory.max";
  burst(options, slot);
  if (read_limit(limit_file).has_value()) {
    const int64_t start = now_ns();
    slot.shrink_seen = wait_for_shrink(options, limit_file) ? 1 : 0;
    slot.waited_ns = now_ns() - start;
  }
  burst(options, slot);
  return true;
}

}  // namespace plimsoll::storm
