// SPDX-License-Identifier: Apache-2.0
#include "cgroup/memory_events.h"

#include <array>
#include <cstddef>
#include <string>

#include "cgroup/text.h"

namespace plimsoll::cgroup {
namespace {

struct Counter {
  std::string_view name;
  std::uint64_t MemoryEvents::*field;
};

constexpr std::array<Counter, 5> kCounters{{{"low", &MemoryEvents::low},
                                            {"high", &MemoryEvents::high},
                                            {"max", &MemoryEvents::max},
                                            {"oom", &MemoryEvents::oom},
                                            {"oom_kill", &MemoryEvents::oom_kill}}};

}  // namespace

Result<MemoryEvents> parse_memory_events(std::string_view text) {
  MemoryEvents events;
  std::array<bool, kCounters.size()> seen{};
  while (const auto line = next_line(text)) {
    const std::size_t blank = line->find(' ');
    if (blank == std::string_view::npos) continue;
    const std::string_view name = line->substr(0, blank);
    const auto number = parse_unsigned(line->substr(blank + 1));
    const auto malformed = [&line] {
      return fail(Code::kMalformed, "memory.events: no number in " + excerpt(*line));
    };
    for (std::size_t i = 0; i < kCounters.size(); ++i) {
      if (kCounters[i].name != name) continue;
      if (!number) return malformed();
      events.*kCounters[i].field = *number;
      seen[i] = true;
    }
    if (name == "oom_group_kill") {
      if (!number) return malformed();
      events.oom_group_kill = *number;
    }
  }
  for (std::size_t i = 0; i < kCounters.size(); ++i) {
    if (!seen[i]) {
      return fail(Code::kMalformed, "memory.events: no line " + std::string(kCounters[i].name));
    }
  }
  return events;
}

}  // namespace plimsoll::cgroup
