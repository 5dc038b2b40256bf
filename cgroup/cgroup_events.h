// SPDX-License-Identifier: Apache-2.0
//
// cgroup.events: whether anything lives in a cgroup or below it.
#pragma once

#include <optional>
#include <string_view>

#include "base/result.h"

namespace plimsoll::cgroup {

struct CgroupEvents {
  bool populated = false;      // a process lives in it or below it
  std::optional<bool> frozen;  // since 5.2

  bool operator==(const CgroupEvents&) const = default;
};

// Lines of other names are skipped. kMalformed: no `populated`, or a value that is not 0 or 1.
Result<CgroupEvents> parse_cgroup_events(std::string_view text);

}  // namespace plimsoll::cgroup
