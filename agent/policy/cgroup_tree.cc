// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/cgroup_tree.h"

#include <algorithm>
#include <numeric>
#include <unordered_map>

namespace plimsoll::agent {

Tree::Tree(const Snapshot& snapshot)
    : parents_(snapshot.containers.size()),
      depths_(snapshot.containers.size()),
      order_(snapshot.containers.size()) {
  std::iota(order_.begin(), order_.end(), std::size_t{0});
  const auto& containers = snapshot.containers;
  const auto has_parent = [](const ContainerSnapshot& each) { return each.parent.has_value(); };
  if (std::none_of(containers.begin(), containers.end(), has_parent)) return;

  std::unordered_map<Slot, std::size_t> by_slot;
  for (std::size_t i = 0; i < containers.size(); ++i) by_slot.emplace(containers[i].slot, i);
  for (std::size_t i = 0; i < containers.size(); ++i) {
    if (!containers[i].parent) continue;
    const auto found = by_slot.find(*containers[i].parent);
    if (found != by_slot.end()) parents_[i] = found->second;
  }
  for (std::size_t i = 0; i < containers.size(); ++i) {
    std::size_t depth = 0;
    for (std::optional<std::size_t> up = parents_[i]; up; up = parents_[*up]) {
      if (++depth > containers.size()) break;
    }
    // A circle is cut here, once: whatever hangs below it then ends at this root.
    if (depth > containers.size()) {
      parents_[i].reset();
      depth = 0;
    }
    depths_[i] = depth;
  }
  // A circle cut late leaves wrong depths before it: count again, now that there are none.
  for (std::size_t i = 0; i < containers.size(); ++i) {
    depths_[i] = 0;
    for (std::optional<std::size_t> up = parents_[i]; up; up = parents_[*up]) ++depths_[i];
  }
  std::stable_sort(order_.begin(), order_.end(),
                   [this](std::size_t a, std::size_t b) { return depths_[a] > depths_[b]; });
}

}  // namespace plimsoll::agent
