// SPDX-License-Identifier: Apache-2.0
//
// What is known of a pod by now: what the API server has stored, what the kubelet says, what the
// files show. Asked by all parts of the plan; changes nothing but when to look again.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/resize/step.h"

namespace plimsoll::agent {

// How long a request waits before it looks again whether memory, or the kubelet, is quiet.
inline constexpr Nanoseconds kLookAgain = std::chrono::seconds(1);

// What is asked for about CPU is never asked together with memory.
bool is_cpu(const kube::Resize& resize);
// Whether one of the changes is about that container.
bool in_request(const std::vector<kube::ResizeChange>& changes, const std::string& container);

// Calls `each` with every container of the changes, and what its limit is to be.
template <class Amount, class Changes, class Each>
void for_each_limit(const Step& step, Changes& changes, const Each& each) {
  for (auto& change : changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !of<Amount>(change.limits)) continue;
    each(change, *container, *of<Amount>(change.limits));
  }
}

template <class Amount>
Amount spec_of(const ContainerResize& container) {
  return request_of<Amount>(container).spec.value_or(Amount{});
}
// What the API server's answer says is stored, or would be: an admission webhook may have changed
// what was asked for.
template <class Amount>
Amount stored_in(const kube::Pod* answer, const kube::ResizeChange& change, Amount asked) {
  const kube::Container* seen =
      answer == nullptr ? nullptr : kube::find_container(*answer, change.container);
  return seen == nullptr ? asked : of<Amount>(seen->resources.limits).value_or(asked);
}
// The pod with the limits that the API server is known to have stored.
kube::Pod known_pod(const Step& step);
// Where a lease on it ends: what is in force without us.
Bytes ground(const Step& step, const ContainerResize& container);
// memory.max of the slice for what the containers have: spec or lease, and `with_files` whatever
// more their files show. nullopt: the kubelet sets none.
std::optional<Bytes> slice_limit(const Step& step, bool with_files);
// The lowest limit that does not hurt.
Bytes safe_limit(const Step& step, const CgroupReading& now);
// What the kubelet reports to be in force; nullopt: it does not say.
template <class Amount>
std::optional<Amount> in_force(const Step& step, const ContainerResize& container) {
  const kube::Container* seen = step.in_pod(container);
  if (seen == nullptr || !seen->status || !seen->status->resources) return std::nullopt;
  return of<Amount>(seen->status->resources->limits);
}

// Whether the container can do with what the API knows of its memory limit: to carry out a CPU
// resize the kubelet writes memory.max as well. Else it is looked at again soon.
bool memory_is_quiet(Step& step, const std::string& container);

// Neither the pod nor the container has a reason against a resize through the API.
template <class Amount>
bool resizable(const Step& step, const ContainerResize& container) {
  return step.state.resizable == kube::Resizability::kYes && !step.unsupported() &&
         request_of<Amount>(container).resizable == kube::Resizability::kYes;
}
// ... or a dry run can at least ask how far it would go: that restarts nobody.
template <class Amount>
bool may_try(const Step& step, const ContainerResize& container) {
  const kube::Resizability why = request_of<Amount>(container).resizable;
  return request_of<Amount>(container).spec && step.state.resizable == kube::Resizability::kYes &&
         !step.unsupported() &&
         (why == kube::Resizability::kYes || why == kube::Resizability::kRestart);
}
template <class Amount>
bool through_api(const Step& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  return policy != nullptr && !policy->dry_run && policy->actuation != Actuation::kCgroup &&
         request_of<Amount>(container).spec && resizable<Amount>(step, container);
}

// By the kubelet, for now or for good, or tried in vain.
bool refused_by_node(kube::ResizePhase phase);
// What the kubelet says of memory: nothing while only a CPU limit of ours is on its way.
kube::ResizePhase memory_phase(const Step& step);
// It has carried out what is stored since `generation`: it has looked at it, or `reported` the
// same.
bool kubelet_says_done(const Step& step, const std::optional<std::int64_t>& generation,
                       bool reported);
// Why the kubelet does not carry a request out, as it says, and whether it lacks the room: that is
// a decision, and anything else (disk pressure, say) has nothing to do with the limit.
struct KubeletVerdict {
  std::string message;
  bool capacity = false;
};
KubeletVerdict kubelet_verdict(const Step& step);

Nanoseconds scaled_time(Nanoseconds time, double factor);

}  // namespace plimsoll::agent
