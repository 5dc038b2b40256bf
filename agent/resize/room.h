// SPDX-License-Identifier: Apache-2.0
//
// Preflight: a PATCH with dryRun=All asks beforehand how far a container may be raised. What its
// answer means, above all how much room a refusal leaves. Pure; used by agent/resize_plan.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/units.h"
#include "kube/pod.h"
#include "kube/status.h"

namespace plimsoll::agent {

// What is known for one container, of its memory or its CPU limit.
template <typename Amount>
struct PreflightFor {
  std::optional<Amount> ceiling;  // that the answer is about; absent: none yet
  std::optional<Amount> asking;   // that the round under way is about, as it was at its beginning
  Amount allowed;                 // how far the limit may go
  bool room_known = true;         // false: refused without a number, so `allowed` is only the spec
  MonotonicTime at;
  std::optional<kube::Cause> refused;
  std::string message;
  Nanoseconds backoff{};  // after a refusal

  bool operator==(const PreflightFor&) const = default;
};
struct PreflightState : PreflightFor<Bytes> {
  Bytes usage;  // at that time

  bool operator==(const PreflightState&) const = default;
};

// What a refusal says about how far one could go; each absent where it does not say.
template <typename Amount>
struct RoomFor {
  std::optional<Amount> increase;       // of all limits of the pod together
  std::optional<Amount> container_max;  // each container's limit
  std::optional<double> limit_ratio;    // each container's limit over its request
  std::optional<Amount> pod_max;        // the sum of the pod's limits

  bool operator==(const RoomFor&) const = default;
  bool known() const { return increase || container_max || limit_ratio || pod_max; }
};
using Room = RoomFor<Bytes>;
using CpuRoom = RoomFor<MilliCpu>;

// Reads the texts of ResourceQuota, LimitRange and, of memory, PodResizeValidator. Anything else,
// the other resource included, leaves all absent.
Room room_of(const kube::Refusal& refusal);
CpuRoom cpu_room_of(const kube::Refusal& refusal);

// One container's part of a request: where its limit stands and where it was asked to go.
template <typename Amount>
struct ClaimFor {
  Amount from;
  Amount to;
  std::optional<Amount> request;

  bool operator==(const ClaimFor&) const = default;
};
using RoomClaim = ClaimFor<Bytes>;
using CpuClaim = ClaimFor<MilliCpu>;

// The claims cut down to the room, never below where they stand: by each container's own bounds,
// then what is left for all in proportion to what each still asks for. Multiples of `unit`, where
// that does not take it below `from`. `pod_total` is the sum of all limits of the pod now.
std::vector<Bytes> fit(const Room& room, const std::vector<RoomClaim>& claims, Bytes pod_total,
                       Bytes unit);
// The same, in whole thousandths of a CPU.
std::vector<MilliCpu> fit(const CpuRoom& room, const std::vector<CpuClaim>& claims,
                          MilliCpu pod_total);

}  // namespace plimsoll::agent
