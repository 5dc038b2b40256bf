// SPDX-License-Identifier: Apache-2.0
//
// Dry runs: how far the API server would let a limit go, asked before it is needed. One for memory
// and one for CPU, so that a refusal is about one resource.
#pragma once

#include "agent/resize/step.h"

namespace plimsoll::agent {

// The containers whose memory was never answered for, and should be; kept for the metric.
std::size_t count_unanswered(Step& step);
// At most one is under way.
void ask_preflight(Step& step, const kube::Pod& known);
// An outcome of something else is left alone.
void absorb_preflight(Step& step, const ResizeOutcome& outcome);

}  // namespace plimsoll::agent
