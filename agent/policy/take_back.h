// SPDX-License-Identifier: Apache-2.0
//
// What containers ask for together, and what is taken back from idle ones when it is not there.
// Used by decide() only; pure.
#pragma once

#include <vector>

#include "agent/policy/decide_internal.h"

namespace plimsoll::agent {

// What each may ask for before the next tick. A container's own floor is in the snapshot; a
// candidate's may be higher.
std::vector<Demand> demands_of(const Tick& tick, const Snapshot& snapshot,
                               const std::vector<Candidate>& candidates);

// Idle containers give back what those that come first are short of; it is there at the next tick.
void take_back_idle(const Tick& tick, const Tree& tree, const std::vector<Demand>& demands,
                    const Budget& budget, std::vector<Candidate>& candidates);

}  // namespace plimsoll::agent
