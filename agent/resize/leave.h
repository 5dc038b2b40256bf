// SPDX-License-Identifier: Apache-2.0
//
// Containers that may not be raised any more, and have been: opted out, or left out by the
// operator.
#pragma once

#include <string_view>

#include "agent/resize/state.h"

namespace plimsoll::agent {

struct Step;

// Their leases end, and their specs go back to what is declared, as far as their usage allows.
void leave(Step& step);

// Whether the API may be asked for lower limits of the container, now or some time; not: this pod,
// its node or the API server rules it out.
struct Lowerable {
  bool memory = true;
  bool cpu = true;
};
Lowerable lowerable(const PodResize& state, std::string_view container);

}  // namespace plimsoll::agent
