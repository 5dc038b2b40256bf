// SPDX-License-Identifier: Apache-2.0
//
// When a CPU limit is asked for: what the CPU thread of the engine has written is followed slowly,
// what it wishes for is asked at once, and memory always goes first.
#pragma once

#include "agent/resize/step.h"

namespace plimsoll::agent {

// Wishes that the API cannot be asked for.
void forget_cpu_wishes(Step& step);
// True: a PATCH was sent.
bool ask_cpu(Step& step, const kube::Pod& known);

}  // namespace plimsoll::agent
