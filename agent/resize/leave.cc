// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/leave.h"

#include "agent/resize/known.h"

namespace plimsoll::agent {
namespace {

// The limit that the spec can go down to now; nullopt: it is down, or not worth a PATCH.
std::optional<Bytes> way_down(const Step& step, const ContainerResize& container, Bytes floor) {
  const ContainerReading* seen = step.reading(container);
  if (seen == nullptr || *container.spec <= floor) return std::nullopt;
  const Bytes safe = round_up(safe_limit(step, seen->memory), Bytes{kMiB});
  if (safe <= floor) return floor;
  const bool worth_it = safe + step.config.keep_least < *container.spec;
  return worth_it ? std::optional(safe) : std::nullopt;
}

}  // namespace

void leave(Step& step) {
  for (ContainerResize& container : step.state.containers) {
    const ContainerPolicy* policy = step.policy(container);
    if (policy == nullptr || !policy->leaving || !container.spec) continue;
    if (container.lease) container.lease->withdrawing = true;
    const Bytes floor = container.floor.value_or(policy->floor);
    const bool waits = container.lease || step.now < container.lower_retry_at;
    const std::optional<Bytes> to = waits ? std::nullopt : way_down(step, container, floor);
    if (to && !container.want) container.last_word = step.now;
    container.want = to;
  }
}

Lowerable lowerable(const PodResize& state, std::string_view container) {
  const bool pod = state.resizable == kube::Resizability::kYes && !state.unsupported;
  Lowerable result{.memory = pod && !state.no_decrease, .cpu = pod};
  for (const ContainerResize& each : state.containers) {
    if (each.name != container) continue;
    result.memory = result.memory && each.resizable == kube::Resizability::kYes;
    result.cpu = result.cpu && each.cpu.resizable == kube::Resizability::kYes;
  }
  return result;
}

}  // namespace plimsoll::agent
