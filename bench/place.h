// SPDX-License-Identifier: Apache-2.0
//
// Place: somewhere to write limits. A cgroup of our own in cgroup v2 where there is a memory
// controller, else a small tree of ordinary files in memory that looks like one; the machine's own
// cgroups are left alone. Removed when it goes.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cgroup/group.h"
#include "cgroup/root.h"

namespace plimsoll::bench {

class Place {
 public:
  static Result<Place> make();
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  Place(Place&& other) noexcept;
  Place& operator=(Place&&) = delete;
  ~Place();

  bool real() const { return real_; }
  const cgroup::Root& root() const { return root_; }
  // A new group `path` below the place, made with its parents, with the memory and CPU controllers.
  Result<cgroup::Group> add(std::string_view path);

 private:
  Place(cgroup::Root root, std::string top, bool real);

  cgroup::Root root_;
  std::string top_;  // what is ours, below the root
  bool real_;
};

}  // namespace plimsoll::bench
