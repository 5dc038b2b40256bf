// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan.h"

#include "agent/resize/bounds.h"
#include "agent/resize/cpu_request.h"
#include "agent/resize/dry_run.h"
#include "agent/resize/lease_upkeep.h"
#include "agent/resize/leave.h"
#include "agent/resize/outcome.h"
#include "agent/resize/request.h"
#include "agent/resize/seen.h"

namespace plimsoll::agent {

ResizeConfig resize_config(const NodeConfig& config, std::string node_name) {
  ResizeConfig out;
  out.node_name = std::move(node_name);
  out.fallback = config.fallback;
  out.api = config.api;
  out.coexist = config.coexist;
  out.yield_for = config.yield_for;
  out.preflight = config.preflight.enabled;
  out.cpu_ask_after = config.cpu.ask_after;
  return out;
}

ResizeStep step(PodResize state, const ResizeFacts& facts, MonotonicTime now,
                const ResizeConfig& config) {
  ResizeStep out;
  out.state = std::move(state);
  Step step{.state = out.state, .out = out, .facts = facts, .now = now, .config = config};
  if (facts.pod == nullptr || facts.pod->id.uid != out.state.id.uid) out.state.gone = true;
  if (out.state.gone) return out;
  absorb_pod(step);
  for (const ResizeOutcome& outcome : facts.outcomes) {
    absorb_preflight(step, outcome);
    absorb_outcome(step, outcome);
  }
  if (out.state.gone) return out;
  absorb_words(step);
  absorb_cpu_words(step);
  // From here on the state is what is known now; what follows only decides.
  verify(step);
  verify_cpu(step);
  leave(step);
  ask(step);
  keep_leases(step);  // those that ask() found refused among them
  repair_slice(step);
  set_bounds(step);
  return out;
}

}  // namespace plimsoll::agent
