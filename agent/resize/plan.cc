// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan.h"

#include "agent/resize/bounds.h"
#include "agent/resize/cpu_request.h"
#include "agent/resize/lease_upkeep.h"
#include "agent/resize/leave.h"
#include "agent/resize/outcome.h"
#include "agent/resize/request.h"
#include "agent/resize/seen.h"

namespace plimsoll::agent {

ContainerResize* Step::find(std::string_view container) const {
  for (ContainerResize& each : state.containers) {
    if (each.name == container) return &each;
  }
  return nullptr;
}

const ContainerPolicy* Step::policy(const ContainerResize& container) const {
  if (facts.policies == nullptr) return nullptr;
  for (const ContainerPolicy& each : *facts.policies) {
    if (each.name == container.name && (each.managed == Managed::kYes || each.leaving)) {
      return &each;
    }
  }
  return nullptr;
}

const ContainerReading* Step::reading(const ContainerResize& container) const {
  if (!facts.reading) return nullptr;
  for (const ContainerReading& each : facts.reading->containers) {
    if (each.container == container.name && each.container_id == container.container_id) {
      return &each;
    }
  }
  return nullptr;
}

const kube::Container* Step::in_pod(const ContainerResize& container) const {
  return kube::find_container(*facts.pod, container.name);
}

ResizeEvent Step::event(ResizeEvent::Kind kind, const ContainerResize& container, Bytes from,
                        Bytes to) const {
  ResizeEvent event;
  event.kind = kind;
  event.from = from;
  event.to = to;
  event.layer = container.layer;
  event.reason = container.reason;
  event.bridged = container.lease.has_value();
  return event;
}

ResizeEvent Step::event(ResizeEvent::Kind kind, const ContainerResize& container, MilliCpu from,
                        MilliCpu to) const {
  const CpuResize& cpu = container.cpu;
  ResizeEvent event;
  event.kind = kind;
  event.reason = cpu.reason;
  event.bridged = cpu.asked && cpu.asked->to == to && cpu.asked->written;
  event.cpu = CpuAnswer{.from = from, .to = to};
  return event;
}

void Step::say(std::string container, ResizeEvent event) {
  event.at = now;
  out.answers.push_back({.container = std::move(container), .answer = std::move(event)});
}

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
  absorb_outcomes(step);
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
