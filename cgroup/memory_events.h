// SPDX-License-Identifier: Apache-2.0
//
// memory.events and memory.events.local: how often a cgroup met its limits. Read by the policy and
// by the tiers that have no BPF.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"

namespace plimsoll::cgroup {

// Counts since the cgroup was made. memory.events counts the descendants too, unless the file
// system was mounted with memory_localevents; memory.events.local never does.
struct MemoryEvents {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
  std::uint64_t max = 0;
  std::uint64_t oom = 0;
  std::uint64_t oom_kill = 0;
  std::optional<std::uint64_t> oom_group_kill;  // since 5.17

  bool operator==(const MemoryEvents&) const = default;
};

// Lines of other names are skipped. kMalformed: a wanted line has no number, or one of those that
// every kernel has is missing.
Result<MemoryEvents> parse_memory_events(std::string_view text);

}  // namespace plimsoll::cgroup
