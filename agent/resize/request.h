// SPDX-License-Identifier: Apache-2.0
//
// What the API is asked for and when: at most one request of a pod, the most urgent first.
#pragma once

#include "agent/resize/step.h"

namespace plimsoll::agent {

void ask(Step& step);

}  // namespace plimsoll::agent
