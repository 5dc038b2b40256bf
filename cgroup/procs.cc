// SPDX-License-Identifier: Apache-2.0
#include "cgroup/procs.h"

#include <limits>
#include <string>

#include "cgroup/text.h"

namespace plimsoll::cgroup {

Result<Procs> parse_procs(std::string_view text) {
  Procs procs;
  while (const auto line = next_line(text)) {
    const auto number = parse_unsigned(*line);
    if (!number || *number > std::numeric_limits<pid_t>::max()) {
      return fail(Code::kMalformed, "cgroup.procs: no pid in " + excerpt(*line));
    }
    if (*number == 0) {
      ++procs.outside_namespace;
    } else {
      procs.pids.push_back(static_cast<pid_t>(*number));
    }
  }
  return procs;
}

}  // namespace plimsoll::cgroup
