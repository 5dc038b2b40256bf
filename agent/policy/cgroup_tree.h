// SPDX-License-Identifier: Apache-2.0
//
// Parents and children among the containers of one snapshot, by index. Used by decide() for the
// budget and for the order of actions.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "agent/policy/snapshot.h"

namespace plimsoll::agent {

class Tree {
 public:
  // A parent that is not in the snapshot, or a circle of parents, makes a root.
  explicit Tree(const Snapshot& snapshot);

  std::optional<std::size_t> parent(std::size_t index) const { return parents_[index]; }
  // Every index once, each before its parent; among equals in the snapshot's order.
  const std::vector<std::size_t>& children_first() const { return order_; }
  // Roots are 0.
  std::size_t depth(std::size_t index) const { return depths_[index]; }

 private:
  std::vector<std::optional<std::size_t>> parents_;
  std::vector<std::size_t> depths_;
  std::vector<std::size_t> order_;
};

}  // namespace plimsoll::agent
