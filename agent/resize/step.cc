// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/step.h"

namespace plimsoll::agent {
namespace {

// How long a request waits where only the files have not been read.
constexpr Nanoseconds kReadSoon = std::chrono::milliseconds(50);

bool needs_memory(const Step& step) {
  const auto needs = [&](const ContainerResize& each) {
    // What is found above the spec becomes a lease.
    const MemoryRequest& memory = each.memory;
    const ContainerReading* seen = step.reading(each);
    const bool found = memory.spec && !memory.level_known && seen != nullptr &&
                       seen->memory.limit.bytes > memory.spec->value;
    return memory.lease || memory.want || found;
  };
  return step.state.memory.unverified ||
         std::any_of(step.state.containers.begin(), step.state.containers.end(), needs);
}

// It might need memory while the kubelet is at it. A usage that is not known counts as near.
bool is_near_limit(const Step& step, const ContainerResize& container) {
  if (!container.memory.spec) return false;  // without a limit
  const ContainerReading* seen = step.reading(container);
  return seen == nullptr ||
         seen->memory.usage >= scaled(*container.memory.spec, step.config.active_share);
}

}  // namespace

ContainerResize* Step::find(std::string_view container) const {
  for (ContainerResize& each : state.containers) {
    if (each.name == container) return &each;
  }
  return nullptr;
}

const ContainerPolicy* Step::policy(const ContainerResize& container) const {
  if (facts.policies == nullptr) return nullptr;
  for (const ContainerPolicy& each : *facts.policies) {
    if (each.name != container.name) continue;
    if (each.managed == Managed::kYes || each.leaving) return &each;
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

kube::Pod Step::known_pod() const {
  kube::Pod pod = *facts.pod;
  for (kube::Container& each : pod.containers) {
    const ContainerResize* container = find(each.name);
    if (container == nullptr) continue;
    kube::Amounts& limits = each.resources.limits;
    if (container->cpu.spec) limits.cpu = container->cpu.spec;
    const std::optional<Bytes>& memory = container->memory.spec;
    if (!memory || limits.memory == memory) continue;
    limits.memory = memory;
    if (pod.qos == kube::QosClass::kGuaranteed) each.resources.requests.memory = memory;
  }
  return pod;
}

Bytes Step::ground(const ContainerResize& container) const {
  const Bytes spec = container.memory.spec.value_or(Bytes{});
  const std::optional<ResizeUnverified>& open = state.memory.unverified;
  if (!open || !in_request(open->changes, container.name) || !refused_by_node()) return spec;
  return std::min(spec, in_force<Bytes>(container).value_or(spec));
}

bool Step::refused_by_node() const {
  return state.phase == kube::ResizePhase::kDeferred ||
         state.phase == kube::ResizePhase::kInfeasible || state.phase == kube::ResizePhase::kError;
}

kube::ResizePhase Step::memory_phase() const {
  const bool only_cpu = state.cpu.unverified && !state.memory.unverified;
  return only_cpu ? kube::ResizePhase::kNone : state.phase;
}

bool Step::is_done(const std::optional<std::int64_t>& generation, bool reported) const {
  const kube::Pod& pod = *facts.pod;
  if (generation && pod.generation && *pod.generation < *generation) return false;
  const bool observed =
      generation && pod.observed_generation && *pod.observed_generation >= *generation;
  return (reported || observed) && kube::resize_phase(pod) == kube::ResizePhase::kNone;
}

KubeletVerdict Step::kubelet_verdict() const {
  const kube::ResizeStatus& status = facts.pod->resize;
  KubeletVerdict said;
  if (status.in_progress) said.message = status.in_progress->message;
  if (status.pending) said.message = status.pending->message;
  said.capacity = state.phase == kube::ResizePhase::kInfeasible ||
                  said.message.find("enough resource") != std::string::npos;
  return said;
}

std::optional<Bytes> Step::slice_limit(bool with_files) const {
  kube::Pod pod = *facts.pod;
  for (kube::Container& each : pod.containers) {
    ContainerResize* container = find(each.name);
    std::optional<Bytes>& limit = each.resources.limits.memory;
    if (container == nullptr || !limit) continue;
    limit = ground(*container);
    const ContainerReading* seen = with_files ? reading(*container) : nullptr;
    if (seen != nullptr && !seen->memory.limit.is_max()) {
      limit = std::max(*limit, Bytes{seen->memory.limit.bytes});
    }
    if (container->memory.lease) limit = std::max(*limit, container->memory.lease->limit);
  }
  return kube::pod_memory_limit(pod);
}

bool Step::memory_is_quiet(const std::string& container) {
  if (!needs_memory(*this) && !is_near_limit(*this, *find(container))) return true;
  wake_at(now + (facts.reading ? kLookAgain : kReadSoon));
  return false;
}

void Step::say(std::string container, ResizeEvent event) {
  event.at = now;
  out.answers.push_back({.container = std::move(container), .answer = std::move(event)});
}

bool in_request(const std::vector<kube::ResizeChange>& changes, const std::string& container) {
  return std::any_of(changes.begin(), changes.end(), [&](const kube::ResizeChange& change) {
    return change.container == container;
  });
}

}  // namespace plimsoll::agent
