// SPDX-License-Identifier: Apache-2.0
//
// What the watch shows of the pod, and what the engine says of its limits. What another actor has
// resized is theirs: here we step back.
#pragma once

#include "agent/resize/step.h"

namespace plimsoll::agent {

void absorb_pod(Step& step);
void absorb_words(Step& step);

}  // namespace plimsoll::agent
