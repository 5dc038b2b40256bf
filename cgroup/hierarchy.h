// SPDX-License-Identifier: Apache-2.0
//
// The limits above a cgroup: every ancestor's memory.max holds for it too, and the one with the
// smallest margin binds.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"
#include "cgroup/root.h"

namespace plimsoll::cgroup {

// One cgroup that has the memory controller.
struct Level {
  CgroupId id{};
  std::string path;
  Limit max;
  Limit high;
  Bytes current;

  bool operator==(const Level&) const = default;
};

// What may still be charged before memory.max is met; 0 when usage is above it; nullopt without a
// limit.
std::optional<Bytes> margin_of(const Level& level);

// The group itself first, then its ancestors up to the root. Those without memory files (the root
// of the machine) are left out. The values are read one after the other, not at one moment. kGone:
// the group or its path is not there any more.
Result<std::vector<Level>> read_levels(const Root& root, const Group& group);

// The index of the level with the smallest margin, the one nearest to the group where two are
// equal; nullopt where none has a limit.
std::optional<std::size_t> binding_limit(const std::vector<Level>& levels);

}  // namespace plimsoll::cgroup
