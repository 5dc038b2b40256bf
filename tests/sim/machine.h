// SPDX-License-Identifier: Apache-2.0
//
// What the node's kernel says of the whole machine, where the product reads it from /proc
// (cgroup/meminfo.h, cgroup/node_cpu.h): machine.cc is linked in their place.
#pragma once

#include "base/units.h"

namespace plimsoll::sim {

struct Machine {
  Bytes total{16 * kGiB};
  Bytes available{12 * kGiB};
};

void set_machine(const Machine& machine);

}  // namespace plimsoll::sim
