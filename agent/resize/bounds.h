// SPDX-License-Identifier: Apache-2.0
//
// How far a limit may go: what the engine may write by itself, and what it may wish for.
#pragma once

#include <algorithm>
#include <optional>

#include "agent/resize/known.h"

namespace plimsoll::agent {

// How far it may go at all: the author's limit, or another actor's; and the most of its policy.
template <class Amount>
struct Range {
  Amount floor;
  Amount most;
};
// nullopt: it is left alone.
template <class Amount>
std::optional<Range<Amount>> range_of(const Step& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  if (policy == nullptr) return std::nullopt;
  const auto range = [&](Amount floor, Amount most) {
    floor = request_of<Amount>(container).floor.value_or(floor);
    return Range<Amount>{.floor = floor, .most = std::max(most, floor)};
  };
  if constexpr (kIsMemory<Amount>) {
    return range(policy->floor, policy->ceiling);
  } else {
    if (!policy->cpu || !container.cpu.spec) return std::nullopt;
    return range(policy->cpu->floor, policy->cpu->most());
  }
}

// The API server is asked beforehand how far it may go.
template <class Amount>
bool wants_preflight(const Step& step, const ContainerResize& container) {
  const std::optional<Range<Amount>> range = range_of<Amount>(step, container);
  return range && through_api<Amount>(step, container) &&
         step.policy(container)->actuation == Actuation::kResizeThenCgroup &&
         range->most > spec_of<Amount>(container);
}

// How far the API server and the kubelet are known to stand behind the limit.
Bytes confirmed(const Step& step, const ContainerResize& container);
// How far memory.max may be written for now; 0: not at all.
Bytes direct_ceiling(const Step& step, const ContainerResize& container);
// What a direct write to it would be for now.
LeaseWhy lease_why(const Step& step, const ContainerResize& container);
// A CPU limit of `to` could not be written when it was wished for, and can be now or soon.
bool cpu_write_is_coming(const Step& step, const ContainerResize& container, MilliCpu to);

// `wanted`, cut down to the room that a refused dry run has left, while that holds.
template <class Amount>
Amount within_room(const Step& step, const Preflight<Amount>& known, Amount wanted) {
  const bool holds = known.refused && known.room_known && step.now < known.at + known.backoff;
  return holds ? std::min(wanted, known.allowed) : wanted;
}

void set_bounds(Step& step);

}  // namespace plimsoll::agent
