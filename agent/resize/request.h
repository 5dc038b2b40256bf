// SPDX-License-Identifier: Apache-2.0
//
// What the API is asked for and when: at most one request of a pod, the most urgent first.
#pragma once

#include "agent/resize/step.h"

namespace plimsoll::agent {

// Containers that may not be raised any more, and have been, opted out or left out by the operator:
// their leases end, and their specs go back to what is declared, as far as their usage allows.
void leave(Step& step);
void ask(Step& step);

}  // namespace plimsoll::agent
