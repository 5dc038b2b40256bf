// SPDX-License-Identifier: Apache-2.0
//
// memory.stat: what a cgroup's memory consists of and what reclaim did to it. Read by the policy to
// tell what can be reclaimed from what cannot.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::cgroup {

// The fields that the policy uses, of the cgroup and everything below it. Names are the kernel's.
struct MemoryStat {
  Bytes anon;
  Bytes file;  // page cache, shmem included
  Bytes shmem;
  Bytes slab_reclaimable;
  Bytes inactive_file;  // the two file LRU lists hold no shmem: that is on the anon lists
  Bytes active_file;
  Bytes unevictable;  // mlock and the like, whatever it is counted under above

  // Dirty and written-back cache cannot be dropped at once.
  Bytes file_dirty;
  Bytes file_writeback;

  // Counters of events since the cgroup was made. Absent where the kernel has no such line:
  // refaults were not split into anon and file before 5.9.
  std::optional<std::uint64_t> workingset_refault_anon;
  std::optional<std::uint64_t> workingset_refault_file;
  std::optional<std::uint64_t> workingset_activate_anon;  // refaults that came back hot
  std::optional<std::uint64_t> workingset_activate_file;
  std::optional<std::uint64_t> pgscan;
  std::optional<std::uint64_t> pgsteal;

  bool operator==(const MemoryStat&) const = default;
};

// Lines of other names are skipped. kMalformed: a wanted line has no number, or one of those that
// every kernel has is missing.
Result<MemoryStat> parse_memory_stat(std::string_view text);

}  // namespace plimsoll::cgroup
