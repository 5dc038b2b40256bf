// SPDX-License-Identifier: Apache-2.0
//
// Preflight: a PATCH with dryRun=All asks beforehand how far a container may be raised. What its
// answer means, above all how much room a refusal leaves. Pure; used by agent/resize/plan.
#pragma once

#include <optional>
#include <type_traits>
#include <vector>

#include "base/units.h"
#include "kube/pod.h"
#include "kube/status.h"

namespace plimsoll::agent {

// What is written once for a memory and a CPU limit is a template over their amounts.
template <class Amount>
inline constexpr bool kIsMemory = std::is_same_v<Amount, Bytes>;

// What a refusal says about how far one could go; each absent where it does not say.
template <class Amount>
struct Room {
  std::optional<Amount> increase;       // of all limits of the pod together
  std::optional<Amount> excess;         // what was asked for beyond it, from wherever it was stored
  std::optional<Amount> container_max;  // each container's limit
  std::optional<double> limit_ratio;    // each container's limit over its request
  std::optional<Amount> pod_max;        // the sum of the pod's limits

  bool operator==(const Room&) const = default;
  bool known() const { return increase || container_max || limit_ratio || pod_max; }
};

// Reads the texts of ResourceQuota, LimitRange and, of memory, PodResizeValidator. Anything else,
// the other resource included, leaves all absent.
template <class Amount>
Room<Amount> room_of(const kube::Refusal& refusal);

// One container's part of a request: where its limit stands and where it was asked to go.
template <class Amount>
struct Claim {
  Amount from;
  Amount to;
  std::optional<Amount> request;

  bool operator==(const Claim&) const = default;
};

// The claims cut down to the room, never below where they stand: by each container's own bounds,
// then what is left for all in proportion to what each still asks for. Whole MiB or thousandths of
// a CPU, where that does not take it below `from`. `pod_total` is the sum of all limits of the pod
// now.
template <class Amount>
std::vector<Amount> fit(const Room<Amount>& room, const std::vector<Claim<Amount>>& claims,
                        Amount pod_total);

}  // namespace plimsoll::agent
