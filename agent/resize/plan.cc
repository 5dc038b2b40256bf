// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan.h"

#include "agent/resize/dry_run.h"
#include "agent/resize/lane.h"
#include "agent/resize/lease_upkeep.h"
#include "agent/resize/outcome.h"
#include "agent/resize/request.h"
#include "agent/resize/seen.h"

namespace plimsoll::agent {
namespace {

template <class Amount>
void set_bounds(const Lane<Amount>& lane, std::vector<ResizeAction>& actions) {
  if (!lane.range() && !lane.own.bounds) return;  // never was managed
  const EngineBounds<Amount> bounds = lane.bounds();
  if (lane.own.bounds == bounds) return;
  lane.own.bounds = bounds;
  actions.emplace_back(SetBounds{.container = lane.container.name, .bounds = bounds});
}

// They go before all else that is to be done.
void set_bounds(Step& step) {
  std::vector<ResizeAction> first;
  for (ContainerResize& container : step.state.containers) {
    set_bounds(Lane<MilliCpu>(step, container), first);
    set_bounds(Lane<Bytes>(step, container), first);
  }
  step.out.actions.insert(step.out.actions.begin(), first.begin(), first.end());
}

}  // namespace

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
  // From here on the state is what is known now; what follows only decides.
  verify(step);
  leave(step);
  ask(step);
  keep_leases(step);  // those that ask() found refused among them
  repair_slice(step);
  set_bounds(step);
  return out;
}

Lowerable lowerable(const PodResize& state, std::string_view container) {
  const bool pod = state.resizable == kube::Resizability::kYes && !state.unsupported;
  Lowerable result{.memory = pod && !state.no_decrease, .cpu = pod};
  for (const ContainerResize& each : state.containers) {
    if (each.name != container) continue;
    result.memory = result.memory && each.memory.resizable == kube::Resizability::kYes;
    result.cpu = result.cpu && each.cpu.resizable == kube::Resizability::kYes;
  }
  return result;
}

}  // namespace plimsoll::agent
