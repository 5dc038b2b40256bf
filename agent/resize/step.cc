// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/step.h"

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
  event.change = MemoryChange{from, to};
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
  event.change = CpuChange{from, to};
  return event;
}

void Step::say(std::string container, ResizeEvent event) {
  event.at = now;
  out.answers.push_back({.container = std::move(container), .answer = std::move(event)});
}

}  // namespace plimsoll::agent
