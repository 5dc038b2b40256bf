// SPDX-License-Identifier: Apache-2.0
//
// Dry runs: how far the API server would let a limit go, asked before it is needed. One for memory
// and one for CPU, so that a refusal is about one resource.
#pragma once

#include "agent/resize/bounds.h"
#include "agent/resize/known.h"

namespace plimsoll::agent {

template <class Amount>
bool wants_preflight(const Step& step, const ContainerResize& container) {
  const std::optional<Range<Amount>> range = range_of<Amount>(step, container);
  return range && through_api<Amount>(step, container) &&
         step.policy(container)->actuation == Actuation::kResizeThenCgroup &&
         range->most > spec_of<Amount>(container);
}

// At most one is under way.
void ask_preflight(Step& step, const kube::Pod& known);
void absorb_preflight(Step& step, const ResizeOutcome& outcome);

}  // namespace plimsoll::agent
