// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/cpu_request.h"

#include "agent/resize/outcome.h"

namespace plimsoll::agent {
namespace {

// A lowering that stops above the floor waits so many times longer: the limit moves with the use,
// and each step would be a PATCH.
constexpr int kPartway = 4;

// What the API is to be asked for, and from when on.
struct Aim {
  MilliCpu to;
  MonotonicTime at;
};

std::optional<Aim> aim_of(const Lane<MilliCpu>& lane) {
  const std::optional<Range<MilliCpu>> range = lane.range();
  if (!range || !lane.through_api() || lane.yielding()) return std::nullopt;
  const CpuRequest& own = lane.own;
  const Nanoseconds ask_after = lane.step.config.cpu_ask_after;
  const MilliCpu spec = *own.spec;
  if (range->most == range->floor) {  // it leaves: whatever stands in the cgroup
    if (spec <= range->floor) return std::nullopt;
    return Aim{range->floor, std::max(own.since + ask_after, own.lower_retry_at)};
  }
  const bool has_started = own.reason == Reason::kStarted;
  const std::optional<MilliCpu> level = own.starting ? std::nullopt : own.level;
  const bool raised = own.want && *own.want > spec;
  if (!own.want && !level) return std::nullopt;
  const MilliCpu limit =
      raised ? std::max(*own.want, level.value_or(spec)) : own.want.value_or(level.value_or(spec));
  Aim aim{.to = std::clamp(limit, range->floor, range->most), .at = lane.step.now};
  if (aim.to > spec) aim.to = std::min(aim.to, lane.allowed().ask);
  if (aim.to == spec) return std::nullopt;
  if (own.want) {
    if (!raised && !has_started) aim.at = own.want_since + ask_after;
  } else if (aim.to > spec || !has_started) {
    const bool partway = aim.to < spec && aim.to > range->floor;
    aim.at = own.since + ask_after * (partway ? kPartway : 1);
  }
  if (aim.to < spec) aim.at = std::max(aim.at, own.lower_retry_at);
  return aim;
}

// The changes that are due: raises before lowerings, so that a refusal says what was too much.
std::vector<kube::ResizeChange> due_changes(Step& step, const kube::Pod& known) {
  std::vector<kube::ResizeChange> raises;
  std::vector<kube::ResizeChange> lowerings;
  for (ContainerResize& container : step.state.containers) {
    const Lane<MilliCpu> lane(step, container);
    const std::optional<Aim> aim = aim_of(lane);
    if (!aim) {
      const bool differs = lane.own.want || lane.own.side() != 0;
      const auto& refused = lane.own.allowance.refused;
      if (differs && refused && step.now < refused->retry_at) step.wake_at(refused->retry_at);
      continue;
    }
    if (step.now < aim->at) {
      step.wake_at(aim->at);
      continue;
    }
    const auto change = change_to(known, container.name, aim->to);
    if (change) (aim->to > lane.spec() ? raises : lowerings).push_back(*change);
  }
  return raises.empty() ? lowerings : raises;
}

}  // namespace

void forget_cpu_wishes(Step& step) {
  for (ContainerResize& container : step.state.containers) {
    const Lane<MilliCpu> lane(step, container);
    if (lane.own.want && !aim_of(lane)) lane.forget_wish();
  }
}

bool ask_cpu(Step& step, const kube::Pod& known) {
  if (withdraw<MilliCpu>(step, known)) return true;
  std::vector<kube::ResizeChange> changes = due_changes(step, known);
  if (changes.empty()) return false;
  const MonotonicTime ready = step.state.cpu.attempts.retry_at;
  if (step.now < ready || step.refused_by_node()) {
    step.wake_at(step.now < ready ? ready : step.now + kLookAgain);
    return false;
  }
  std::erase_if(changes, [&](const auto& each) { return !step.memory_is_quiet(each.container); });
  std::erase_if(changes, [&](const kube::ResizeChange& change) {
    const std::vector one{change};
    const kube::Resizability why = kube::can_apply(known, one, step.facts.api.ability);
    if (why != kube::Resizability::kYes) refuse_here<MilliCpu>(step, change, why);
    return why != kube::Resizability::kYes;
  });
  return send_together<MilliCpu>(step, known, std::move(changes));
}

}  // namespace plimsoll::agent
