// SPDX-License-Identifier: Apache-2.0
//
// A pod of the API as each part of the agent wants to see it: its policy's facts, its identity, its
// rank. Pure; the one place that knows both sides.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "agent/pods/container_ref.h"
#include "agent/pods/match.h"
#include "agent/pods/pod_policy.h"
#include "agent/policy/snapshot.h"
#include "base/units.h"
#include "kube/pod.h"

namespace plimsoll::agent {

// The limits that the pod's author declared, by container: of the spec before any raise of ours.
struct DeclaredLimit {
  std::optional<Bytes> memory;
  std::optional<MilliCpu> cpu;

  bool operator==(const DeclaredLimit&) const = default;
};
using DeclaredLimits = std::map<std::string, DeclaredLimit, std::less<>>;

PodFacts facts_of(const kube::Pod& pod, const DeclaredLimits& declared);
ApiPod api_pod_of(const kube::Pod& pod);
Rank rank_of(const kube::Pod& pod);
ContainerRef ref_of(const kube::PodIdentity& pod, std::string container);

}  // namespace plimsoll::agent
