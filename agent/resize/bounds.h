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
  const ContainerPolicy* policy = step.policy(container);
  return range && policy->actuation == Actuation::kResizeThenCgroup && !policy->dry_run &&
         may_try<Amount>(step, container) && !step.yielding<Amount>(container) &&
         range->most > spec_of<Amount>(container);
}

// How far a limit may go for now, by what has been said of it: written to the cgroup (0, and of CPU
// the spec: not at all), asked for in a PATCH that stores, and wished for by the engine.
template <class Amount>
struct Allowed {
  Amount write;
  Amount ask;
  Amount wish;
};
template <class Amount>
Allowed<Amount> allowed(const Step& step, const ContainerResize& container);

// How far the API server and the kubelet are known to stand behind the limit.
Bytes confirmed(const Step& step, const ContainerResize& container);
// What a direct write to it would be for now.
LeaseWhy lease_why(const Step& step, const ContainerResize& container);
// A CPU limit of `to` could not be written when it was wished for, and can be now or soon.
bool cpu_write_is_coming(const Step& step, const ContainerResize& container, MilliCpu to);

void set_bounds(Step& step);

}  // namespace plimsoll::agent
