// SPDX-License-Identifier: Apache-2.0
#include "tests/sim/machine.h"

#include "cgroup/meminfo.h"
#include "cgroup/node_cpu.h"

namespace plimsoll {
namespace sim {
namespace {

Machine machine;

}  // namespace

void set_machine(const Machine& is) { machine = is; }

}  // namespace sim

namespace cgroup {

Result<Meminfo> read_meminfo() {
  return Meminfo{.total = sim::machine.total, .available = sim::machine.available};
}

// Eight idle CPUs, for which nobody waits.
Result<NodeCpu> read_node_cpu() { return NodeCpu{.cpus = 8}; }
Nanoseconds read_cpu_wait() { return {}; }

}  // namespace cgroup
}  // namespace plimsoll
