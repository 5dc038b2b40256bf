// SPDX-License-Identifier: Apache-2.0
//
// /proc/meminfo: what the whole node has and can still give, for the node budget.
#pragma once

#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::cgroup {

struct Meminfo {
  Bytes total;      // MemTotal
  Bytes available;  // MemAvailable: what new work could use without swapping, the kernel's estimate

  bool operator==(const Meminfo&) const = default;
};

// Lines of other names are skipped. kMalformed: one of the two is missing or is not "<number> kB".
Result<Meminfo> parse_meminfo(std::string_view text);

// The file of the running kernel; it shows the node also inside a container.
Result<Meminfo> read_meminfo();

}  // namespace plimsoll::cgroup
