// SPDX-License-Identifier: Apache-2.0
//
// Who gets a budget that is short: what each container leaves to those that come before it, and
// whose idle room is taken back for them. Used by decide(); pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "agent/policy/snapshot.h"
#include "base/units.h"

namespace plimsoll::agent {

// What one container may ask for before the next tick.
struct Demand {
  Rank rank;
  BudgetGroup group = kNoGroup;
  Bytes next;        // its next grant; 0: it may not grow
  bool hot = false;  // it may ask any moment

  bool operator==(const Demand&) const = default;
};

// Of each budget, what a container leaves to those that come before it: the next grants of all of
// them that are hot, and at least the largest one of all.
struct Reserved {
  Bytes node;
  Bytes group;

  bool operator==(const Reserved&) const = default;
};
// One for each demand, in their order.
std::vector<Reserved> reserved_for_higher(std::span<const Demand> demands);

// One container that has more than it needs.
struct Spare {
  std::size_t index = 0;
  Rank rank;
  BudgetGroup group = kNoGroup;
  Bytes bytes;

  bool operator==(const Spare&) const = default;
};

// What is missing for one container: in its group (set) or on the node.
struct Missing {
  std::size_t index = 0;
  Rank rank;
  std::optional<BudgetGroup> group;
  Bytes bytes;

  bool operator==(const Missing&) const = default;
};

// How much of which spare goes back, the lowest rank first and the largest of a rank first; never
// from a container that comes before the one in need. `unit`: what is taken is a multiple of it,
// or all.
std::vector<Spare> take_back(std::vector<Missing> missing, std::vector<Spare> spares, Bytes unit);

}  // namespace plimsoll::agent
