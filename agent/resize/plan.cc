// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan.h"

#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {

ContainerResize* Stepping::find(std::string_view container) {
  for (ContainerResize& each : state.containers) {
    if (each.name == container) return &each;
  }
  return nullptr;
}

const ContainerResize* Stepping::find(std::string_view container) const {
  for (const ContainerResize& each : state.containers) {
    if (each.name == container) return &each;
  }
  return nullptr;
}

const ContainerPolicy* Stepping::policy(const ContainerResize& container) const {
  if (facts.policies == nullptr) return nullptr;
  for (const ContainerPolicy& each : *facts.policies) {
    if (each.name == container.name && each.managed == Managed::kYes) return &each;
  }
  return nullptr;
}

const ContainerReading* Stepping::reading(const ContainerResize& container) const {
  if (!facts.reading) return nullptr;
  for (const ContainerReading& each : facts.reading->containers) {
    if (each.container == container.name && each.container_id == container.container_id) {
      return &each;
    }
  }
  return nullptr;
}

const kube::Container* Stepping::in_pod(const ContainerResize& container) const {
  return kube::find_container(*facts.pod, container.name);
}

void Stepping::say(std::string container, ResizeEvent answer) {
  answer.at = now;
  out.answers.push_back({.container = std::move(container), .answer = std::move(answer)});
}

ResizeEvent Stepping::answer(ResizeEvent::Kind kind, const ContainerResize& container, Bytes from,
                             Bytes to) const {
  ResizeEvent answer;
  answer.kind = kind;
  answer.from = from;
  answer.to = to;
  answer.layer = container.layer;
  answer.reason = container.reason;
  answer.bridged = container.lease.has_value();
  return answer;
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
  Stepping stepping{.state = out.state, .out = out, .facts = facts, .now = now, .config = config};
  if (facts.pod == nullptr || facts.pod->id.uid != out.state.id.uid) out.state.gone = true;
  if (out.state.gone) return out;
  absorb_pod(stepping);
  absorb_outcomes(stepping);
  if (out.state.gone) return out;
  absorb_words(stepping);
  absorb_cpu_words(stepping);
  // From here on the state is what is known now; what follows only decides.
  verify(stepping);
  verify_cpu(stepping);
  ask(stepping);
  keep_leases(stepping);  // those that ask() found refused among them
  repair_slice(stepping);
  set_bounds(stepping);
  set_cpu_bounds(stepping);
  return out;
}

}  // namespace plimsoll::agent
