// SPDX-License-Identifier: Apache-2.0
//
// /proc/stat: how much CPU time the whole node has had and used, for the node's CPU budget.
#pragma once

#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::cgroup {

struct NodeCpu {
  std::uint32_t cpus = 0;  // online
  // Since boot, all CPUs together, to 10 ms. What the hypervisor gave to others counts as busy.
  Nanoseconds busy{};
  Nanoseconds idle{};  // waiting for a disk included

  bool operator==(const NodeCpu&) const = default;
};

// Lines of other names are skipped. kMalformed: no "cpu" line with its numbers, or no CPU.
Result<NodeCpu> parse_proc_stat(std::string_view text);

// The file of the running kernel; it shows the node also inside a container.
Result<NodeCpu> read_node_cpu();

// How long somebody has waited for a CPU since boot (/proc/pressure/cpu); 0 where PSI is off.
Nanoseconds read_cpu_wait();

}  // namespace plimsoll::cgroup
