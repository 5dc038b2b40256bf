// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {
namespace {

using kube::Resizability;

EngineBounds bounds_of(const Stepping& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  const Bytes spec = container.spec.value_or(Bytes{});
  if (policy == nullptr) {
    return {.floor = spec,
            .ceiling = spec,
            .direct_ceiling = {},
            .direct_floor = ground(step, container)};
  }
  EngineBounds bounds;
  bounds.floor = container.floor.value_or(policy->floor);
  bounds.ceiling = wish_ceiling(step, container);
  bounds.direct_ceiling = direct_ceiling(step, container);
  const bool only_files = policy->actuation == Actuation::kCgroup || !resizable(step, container);
  bounds.direct_floor = only_files && !policy->dry_run ? bounds.floor : ground(step, container);
  // A limit that cannot be lowered through the API stays; wishes for it would come again and again.
  if (!only_files && step.state.no_decrease) bounds.floor = std::max(bounds.floor, spec);
  if (step.facts.api.may_ask && !step.facts.api.away && !only_files) {
    bounds.bridge_within =
        scaled_time(step.facts.api.patch_to_limit, step.config.api.latency_factor);
  }
  return bounds;
}

}  // namespace

bool in_request(const std::vector<kube::ResizeChange>& changes, const std::string& container) {
  return std::any_of(changes.begin(), changes.end(), [&](const kube::ResizeChange& change) {
    return change.container == container;
  });
}

bool rules_out_growth(Resizability why) {
  switch (why) {
    case Resizability::kOtherNode:
    case Resizability::kWindows:
    case Resizability::kBestEffort:
    case Resizability::kTerminating:
    case Resizability::kFinished:
    case Resizability::kNoSuchContainer:
    case Resizability::kNotRunning:
    case Resizability::kNoLimit:
    case Resizability::kNoRequest:
      return true;
    default:
      return false;
  }
}

bool refused_by_node(kube::ResizePhase phase) {
  return phase == kube::ResizePhase::kDeferred || phase == kube::ResizePhase::kInfeasible ||
         phase == kube::ResizePhase::kError;
}

kube::ResizePhase memory_phase(const Stepping& step) {
  const bool only_cpu = step.state.cpu_stored && !step.state.unverified;
  return only_cpu ? kube::ResizePhase::kNone : step.state.phase;
}

Nanoseconds next_refused_backoff(const Stepping& step, Nanoseconds last) {
  return std::clamp(last * 2, step.config.api.refused_backoff, step.config.api.refused_backoff_max);
}

Nanoseconds scaled_time(Nanoseconds time, double factor) {
  return std::chrono::duration_cast<Nanoseconds>(time * factor);
}

Bytes safe_limit(const Stepping& step, const CgroupReading& now) {
  return lowest_safe(now.usage, step.config.keep_share, step.config.keep_least);
}

KubeletVerdict kubelet_word(const Stepping& step) {
  const kube::ResizeStatus& status = step.facts.pod->resize;
  KubeletVerdict word;
  if (status.in_progress) word.message = status.in_progress->message;
  if (status.pending) word.message = status.pending->message;
  word.capacity = step.state.phase == kube::ResizePhase::kInfeasible ||
                  word.message.find("enough resource") != std::string::npos;
  return word;
}

bool resizable(const Stepping& step, const ContainerResize& container) {
  return step.state.resizable == Resizability::kYes && !step.state.unsupported &&
         container.resizable == Resizability::kYes;
}

Bytes confirmed(const Stepping& step, const ContainerResize& container) {
  if (container.refused && container.refused->by_kubelet) return container.refused->allowed;
  return ground(step, container);
}

Bytes ground(const Stepping& step, const ContainerResize& container) {
  const Bytes spec = container.spec.value_or(Bytes{});
  const bool pending =
      step.state.unverified && in_request(step.state.unverified->changes, container.name);
  if (!pending || !refused_by_node(step.state.phase)) return spec;
  const kube::Container* seen = step.in_pod(container);
  if (seen == nullptr || !seen->status || !seen->status->resources) return spec;
  return std::min(spec, seen->status->resources->limits.memory.value_or(spec));
}

Bytes direct_ceiling(const Stepping& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  if (policy == nullptr || policy->dry_run || policy->actuation == Actuation::kResize) return {};
  if (rules_out_growth(step.state.resizable) || rules_out_growth(container.resizable)) return {};
  if (step.yielding()) return {};
  if (policy->actuation == Actuation::kCgroup || !resizable(step, container))
    return policy->ceiling;
  if (step.config.fallback.on_refusal) return policy->ceiling;
  Bytes top = policy->ceiling;
  if (container.refused) top = std::min(top, container.refused->allowed);
  if (step.config.preflight) {
    if (container.preflight.ceiling) {
      top = std::min(top, container.preflight.allowed);
    } else if (!step.facts.api.away) {
      top = Bytes{};  // the answer is on its way
    }
  }
  return std::max(top, confirmed(step, container));
}

Bytes wish_ceiling(const Stepping& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  const Bytes spec = container.spec.value_or(Bytes{});
  if (policy == nullptr) return spec;
  const Bytes floor = container.floor.value_or(policy->floor);
  const Bytes direct = direct_ceiling(step, container);
  const Bytes most = std::max(policy->ceiling, floor);
  if (step.yielding()) return std::min(most, spec);
  if (rules_out_growth(step.state.resizable) || rules_out_growth(container.resizable)) {
    return std::min(most, spec);
  }
  if (policy->actuation == Actuation::kCgroup) return most;
  if (!resizable(step, container))
    return policy->dry_run ? most : std::min(most, std::max(spec, direct));
  Bytes top = most;
  const auto bound = [&](Bytes allowed) { top = std::min(top, std::max({allowed, spec, direct})); };
  if (container.refused && step.now < container.refused->retry_at)
    bound(container.refused->allowed);
  const PreflightState& preflight = container.preflight;
  if (preflight.refused && preflight.room_known && step.now < preflight.at + preflight.backoff) {
    bound(preflight.allowed);
  }
  return top;
}

LeaseWhy lease_why(const Stepping& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  if (policy != nullptr && policy->actuation == Actuation::kCgroup) return LeaseWhy::kPolicy;
  if (!resizable(step, container)) return LeaseWhy::kNoApi;
  if (container.refused && step.config.fallback.on_refusal) return LeaseWhy::kOverride;
  return step.facts.api.away ? LeaseWhy::kApiAway : LeaseWhy::kBridge;
}

std::optional<Bytes> slice_limit(const Stepping& step, bool with_files) {
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

kube::Pod known_pod(const Stepping& step) {
  kube::Pod pod = *step.facts.pod;
  for (kube::Container& each : pod.containers) {
    for (const ContainerResize& container : step.state.containers) {
      if (container.name != each.name) continue;
      if (container.cpu.spec) each.resources.limits.cpu = container.cpu.spec;
      if (!container.spec || each.resources.limits.memory == container.spec) continue;
      each.resources.limits.memory = container.spec;
      if (pod.qos == kube::QosClass::kGuaranteed) each.resources.requests.memory = container.spec;
    }
  }
  return pod;
}

void set_bounds(Stepping& step) {
  std::vector<ResizeAction> first;
  for (ContainerResize& container : step.state.containers) {
    const EngineBounds bounds = bounds_of(step, container);
    if (container.bounds == bounds) continue;
    if (!container.bounds && step.policy(container) == nullptr) continue;  // never was managed
    container.bounds = bounds;
    first.emplace_back(SetBounds{.container = container.name, .bounds = bounds});
  }
  step.out.actions.insert(step.out.actions.begin(), first.begin(), first.end());
}

}  // namespace plimsoll::agent
