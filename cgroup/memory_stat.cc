// SPDX-License-Identifier: Apache-2.0
#include "cgroup/memory_stat.h"

#include <array>
#include <cstddef>
#include <string>

#include "cgroup/text.h"

namespace plimsoll::cgroup {
namespace {

struct Size {
  std::string_view name;
  Bytes MemoryStat::*field;
};
struct Counter {
  std::string_view name;
  std::optional<std::uint64_t> MemoryStat::*field;
};

constexpr std::array<Size, 9> kSizes{{{"anon", &MemoryStat::anon},
                                      {"file", &MemoryStat::file},
                                      {"shmem", &MemoryStat::shmem},
                                      {"slab_reclaimable", &MemoryStat::slab_reclaimable},
                                      {"inactive_file", &MemoryStat::inactive_file},
                                      {"active_file", &MemoryStat::active_file},
                                      {"unevictable", &MemoryStat::unevictable},
                                      {"file_dirty", &MemoryStat::file_dirty},
                                      {"file_writeback", &MemoryStat::file_writeback}}};
constexpr std::array<Counter, 6> kCounters{
    {{"workingset_refault_anon", &MemoryStat::workingset_refault_anon},
     {"workingset_refault_file", &MemoryStat::workingset_refault_file},
     {"workingset_activate_anon", &MemoryStat::workingset_activate_anon},
     {"workingset_activate_file", &MemoryStat::workingset_activate_file},
     {"pgscan", &MemoryStat::pgscan},
     {"pgsteal", &MemoryStat::pgsteal}}};

}  // namespace

Result<MemoryStat> parse_memory_stat(std::string_view text) {
  MemoryStat stat;
  std::array<bool, kSizes.size()> seen{};
  while (const auto line = next_line(text)) {
    const std::size_t blank = line->find(' ');
    if (blank == std::string_view::npos) continue;
    const std::string_view name = line->substr(0, blank);
    const auto number = parse_unsigned(line->substr(blank + 1));
    const auto malformed = [&line] {
      return fail(Code::kMalformed, "memory.stat: no number in " + excerpt(*line));
    };
    for (std::size_t i = 0; i < kSizes.size(); ++i) {
      if (kSizes[i].name != name) continue;
      if (!number) return malformed();
      stat.*kSizes[i].field = Bytes{*number};
      seen[i] = true;
    }
    for (const Counter& counter : kCounters) {
      if (counter.name != name) continue;
      if (!number) return malformed();
      stat.*counter.field = *number;
    }
  }
  for (std::size_t i = 0; i < kSizes.size(); ++i) {
    if (!seen[i]) {
      return fail(Code::kMalformed, "memory.stat: no line " + std::string(kSizes[i].name));
    }
  }
  return stat;
}

}  // namespace plimsoll::cgroup
