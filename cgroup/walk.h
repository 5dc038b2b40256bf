// SPDX-License-Identifier: Apache-2.0
//
// Walking the tree: the cgroups below one, and which of them has an id.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"
#include "cgroup/root.h"

namespace plimsoll::cgroup {

struct Found {
  CgroupId id{};
  std::string path;  // below the root

  bool operator==(const Found&) const = default;
};

// How much of a tree is looked at. A node has a few thousand cgroups, some ten levels deep.
struct WalkBounds {
  std::size_t most_groups = 65536;
  std::size_t deepest = 64;
};

struct Walk {
  std::vector<Found> groups;  // parents before their children, the start itself not among them
  bool complete = true;       // false: the bounds ended it
};

// The cgroups below `start`. One that vanishes meanwhile is left out. kGone: `start` was removed.
Result<Walk> list_descendants(const Group& start, WalkBounds bounds = {});

// The cgroup of this id below (or at) the root. kGone: there is none. kUnavailable: the bounds
// ended the search before it was found.
Result<Group> find_by_id(const Root& root, CgroupId id, WalkBounds bounds = {});

}  // namespace plimsoll::cgroup
