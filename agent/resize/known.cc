// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/known.h"

namespace plimsoll::agent {
namespace {

// The same where only the files have not been read.
constexpr Nanoseconds kReadSoon = std::chrono::milliseconds(50);

bool pod_needs_memory(const Step& step) {
  return step.state.unverified ||
         std::any_of(step.state.containers.begin(), step.state.containers.end(),
                     [&](const ContainerResize& each) {
                       // What is found above the spec becomes a lease.
                       const ContainerReading* seen = step.reading(each);
                       const bool found = each.spec && !each.level_known && seen != nullptr &&
                                          seen->memory.limit.bytes > each.spec->value;
                       return each.lease || each.want || found;
                     });
}

// It might need memory while the kubelet is at it. A usage that is not known counts as near.
bool is_near_limit(const Step& step, const ContainerResize& container) {
  if (!container.spec) return false;  // without a limit
  const ContainerReading* seen = step.reading(container);
  return seen == nullptr || seen->memory.usage >= scaled(*container.spec, step.config.active_share);
}

}  // namespace

bool is_cpu(const kube::Resize& resize) {
  return !resize.changes.empty() && resize.changes.front().limits.cpu.has_value();
}

bool in_request(const std::vector<kube::ResizeChange>& changes, const std::string& container) {
  return std::any_of(changes.begin(), changes.end(), [&](const kube::ResizeChange& change) {
    return change.container == container;
  });
}

kube::Pod known_pod(const Step& step) {
  kube::Pod pod = *step.facts.pod;
  for (kube::Container& each : pod.containers) {
    const ContainerResize* container = step.find(each.name);
    if (container == nullptr) continue;
    if (container->cpu.spec) each.resources.limits.cpu = container->cpu.spec;
    if (!container->spec || each.resources.limits.memory == container->spec) continue;
    each.resources.limits.memory = container->spec;
    if (pod.qos == kube::QosClass::kGuaranteed) each.resources.requests.memory = container->spec;
  }
  return pod;
}

Bytes ground(const Step& step, const ContainerResize& container) {
  const Bytes spec = spec_of<Bytes>(container);
  const bool pending =
      step.state.unverified && in_request(step.state.unverified->changes, container.name);
  if (!pending || !refused_by_node(step.state.phase)) return spec;
  return std::min(spec, in_force<Bytes>(step, container).value_or(spec));
}

std::optional<Bytes> slice_limit(const Step& step, bool with_files) {
  kube::Pod pod = *step.facts.pod;
  for (const ContainerResize& container : step.state.containers) {
    Bytes limit = ground(step, container);
    if (const ContainerReading* seen = step.reading(container); seen != nullptr && with_files) {
      if (!seen->memory.limit.is_max()) limit = std::max(limit, Bytes{seen->memory.limit.bytes});
    }
    if (container.lease) limit = std::max(limit, container.lease->limit);
    for (kube::Container& each : pod.containers) {
      if (each.name == container.name && each.resources.limits.memory) {
        each.resources.limits.memory = limit;
      }
    }
  }
  return kube::pod_memory_limit(pod);
}

Bytes safe_limit(const Step& step, const CgroupReading& now) {
  return lowest_safe(now.usage, step.config.keep_share, step.config.keep_least);
}

bool memory_is_quiet(Step& step, const std::string& container) {
  if (!pod_needs_memory(step) && !is_near_limit(step, *step.find(container))) return true;
  step.wake_at(step.now + (step.facts.reading ? kLookAgain : kReadSoon));
  return false;
}

bool refused_by_node(kube::ResizePhase phase) {
  return phase == kube::ResizePhase::kDeferred || phase == kube::ResizePhase::kInfeasible ||
         phase == kube::ResizePhase::kError;
}

kube::ResizePhase memory_phase(const Step& step) {
  const bool only_cpu = step.state.cpu_unverified && !step.state.unverified;
  return only_cpu ? kube::ResizePhase::kNone : step.state.phase;
}

bool kubelet_says_done(const Step& step, const std::optional<std::int64_t>& generation,
                       bool reported) {
  const kube::Pod& pod = *step.facts.pod;
  if (generation && pod.generation && *pod.generation < *generation) return false;
  const bool observed =
      generation && pod.observed_generation && *pod.observed_generation >= *generation;
  return (reported || observed) && kube::resize_phase(pod) == kube::ResizePhase::kNone;
}

KubeletVerdict kubelet_verdict(const Step& step) {
  const kube::ResizeStatus& status = step.facts.pod->resize;
  KubeletVerdict said;
  if (status.in_progress) said.message = status.in_progress->message;
  if (status.pending) said.message = status.pending->message;
  said.capacity = step.state.phase == kube::ResizePhase::kInfeasible ||
                  said.message.find("enough resource") != std::string::npos;
  return said;
}

Nanoseconds scaled_time(Nanoseconds time, double factor) {
  return std::chrono::duration_cast<Nanoseconds>(time * factor);
}

}  // namespace plimsoll::agent
