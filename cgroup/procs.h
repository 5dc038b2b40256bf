// SPDX-License-Identifier: Apache-2.0
//
// cgroup.procs: the processes of one cgroup, without those of its descendants.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace plimsoll::cgroup {

struct Procs {
  std::vector<pid_t> pids;  // all above 0, in the order of the file, which may repeat one
  // Processes that our pid namespace has no number for: the kernel prints 0. They are no pids,
  // since kill(0) would hit ourselves.
  std::size_t outside_namespace = 0;

  bool operator==(const Procs&) const = default;
};

// kMalformed: a line is no pid. The number of pids is bounded by the size of `text`.
Result<Procs> parse_procs(std::string_view text);

}  // namespace plimsoll::cgroup
