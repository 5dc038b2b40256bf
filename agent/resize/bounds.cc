// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/bounds.h"

namespace plimsoll::agent {
namespace {

using kube::Resizability;

// A reason against any growth at all, by whatever way; the others only rule out the API.
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

// By what the author and the operator want.
bool is_written(const ContainerPolicy& policy) {
  return !policy.dry_run && policy.actuation != Actuation::kResize;
}

template <class Amount>
bool only_files(const Step& step, const ContainerResize& container) {
  return step.policy(container)->actuation == Actuation::kCgroup ||
         !resizable<Amount>(step, container);
}

// No further than what is stored already.
template <class Amount>
bool is_held(const Step& step, const ContainerResize& container) {
  return step.yielding() || rules_out_growth(step.state.resizable) ||
         rules_out_growth(request_of<Amount>(container).resizable);
}

// Of a limit that is written and may grow: as far as the API server has said. `confirmed` is
// allowed in any case.
template <class Amount>
Amount allowed_writes(const Step& step, const ContainerResize& container, Amount most,
                      Amount confirmed) {
  if (only_files<Amount>(step, container) || step.config.fallback.on_refusal) return most;
  const Request<Amount>& mine = request_of<Amount>(container);
  Amount top = most;
  if (mine.refused) top = std::min(top, mine.refused->allowed);
  if (step.config.preflight) {
    if (mine.preflight.ceiling) {
      top = std::min(top, mine.preflight.allowed);
    } else if (!step.facts.api.away) {
      top = Amount{};  // the answer is on its way
    }
  }
  return std::max(top, confirmed);
}

MilliCpu cpu_direct_ceiling(const Step& step, const ContainerResize& container,
                            const Range<MilliCpu>& range) {
  if (!is_written(*step.policy(container))) return range.floor;
  const MilliCpu stored = std::clamp(*container.cpu.spec, range.floor, range.most);
  if (is_held<MilliCpu>(step, container)) return stored;
  return allowed_writes(step, container, range.most, stored);
}

// What the engine may wish for.
Bytes wish_ceiling(const Step& step, const ContainerResize& container, Bytes most, Bytes direct) {
  const ContainerPolicy& policy = *step.policy(container);
  const Bytes spec = spec_of<Bytes>(container);
  if (is_held<Bytes>(step, container)) return std::min(most, spec);
  if (policy.actuation == Actuation::kCgroup) return most;
  if (!resizable<Bytes>(step, container)) {
    return policy.dry_run ? most : std::min(most, std::max(spec, direct));
  }
  Bytes top = most;
  const auto bound = [&](Bytes allowed) { top = std::min(top, std::max({allowed, spec, direct})); };
  if (container.refused && step.now < container.refused->retry_at)
    bound(container.refused->allowed);
  bound(within_room(step, container.preflight, top));
  return top;
}

EngineBounds bounds_of(const Step& step, const ContainerResize& container,
                       const std::optional<Range<Bytes>>& range) {
  const Bytes spec = spec_of<Bytes>(container);
  if (!range) {
    return {.floor = spec,
            .ceiling = spec,
            .direct_ceiling = {},
            .direct_floor = ground(step, container)};
  }
  EngineBounds bounds;
  bounds.floor = range->floor;
  bounds.direct_ceiling = direct_ceiling(step, container);
  bounds.ceiling = wish_ceiling(step, container, range->most, bounds.direct_ceiling);
  const bool no_api = only_files<Bytes>(step, container);
  const bool writes = no_api && !step.policy(container)->dry_run;
  bounds.direct_floor = writes ? bounds.floor : ground(step, container);
  // A limit that cannot be lowered through the API stays; wishes for it would come again and again.
  if (!no_api && step.state.no_decrease) bounds.floor = std::max(bounds.floor, spec);
  if (step.facts.api.may_ask && !step.facts.api.away && !no_api) {
    bounds.bridge_within =
        scaled_time(step.facts.api.patch_to_limit, step.config.api.latency_factor);
  }
  return bounds;
}

CpuBounds bounds_of(const Step& step, const ContainerResize& container,
                    const std::optional<Range<MilliCpu>>& range) {
  const MilliCpu spec = spec_of<MilliCpu>(container);
  if (!range) {
    return {.floor = spec, .ceiling = spec, .direct_ceiling = spec, .direct_floor = spec};
  }
  const bool stays = !is_written(*step.policy(container)) || is_held<MilliCpu>(step, container);
  return {.floor = range->floor,
          .ceiling = range->most,
          .direct_ceiling = cpu_direct_ceiling(step, container, *range),
          .direct_floor = stays ? std::max(range->floor, spec) : range->floor};
}

template <class Amount>
void set_bounds(const Step& step, ContainerResize& container, std::vector<ResizeAction>& actions) {
  Request<Amount>& mine = request_of<Amount>(container);
  const std::optional<Range<Amount>> range = range_of<Amount>(step, container);
  if (!range && !mine.bounds) return;  // never was managed
  const auto bounds = bounds_of(step, container, range);
  if (mine.bounds == bounds) return;
  mine.bounds = bounds;
  actions.emplace_back(SetBounds{.container = container.name, .bounds = bounds});
}

}  // namespace

Bytes confirmed(const Step& step, const ContainerResize& container) {
  if (container.refused && container.refused->by_kubelet) return container.refused->allowed;
  return ground(step, container);
}

Bytes direct_ceiling(const Step& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  if (policy == nullptr || policy->leaving || !is_written(*policy)) return {};
  if (is_held<Bytes>(step, container)) return {};
  return allowed_writes(step, container, policy->ceiling, confirmed(step, container));
}

LeaseWhy lease_why(const Step& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  if (policy != nullptr && policy->actuation == Actuation::kCgroup) return LeaseWhy::kPolicy;
  if (!resizable<Bytes>(step, container)) return LeaseWhy::kNoApi;
  if (container.refused && step.config.fallback.on_refusal) return LeaseWhy::kOverride;
  return step.facts.api.away ? LeaseWhy::kApiAway : LeaseWhy::kBridge;
}

bool cpu_write_is_coming(const Step& step, const ContainerResize& container, MilliCpu to) {
  const std::optional<Range<MilliCpu>> range = range_of<MilliCpu>(step, container);
  if (!range) return false;
  const bool asked = step.config.preflight && !container.cpu.preflight.ceiling &&
                     wants_preflight<MilliCpu>(step, container) && step.facts.api.may_ask &&
                     !step.facts.api.away && !step.yielding();
  const MilliCpu before = container.cpu.bounds ? container.cpu.bounds->direct_ceiling : MilliCpu{};
  return asked || (before < to && to <= cpu_direct_ceiling(step, container, *range));
}

void set_bounds(Step& step) {
  std::vector<ResizeAction> first;
  for (ContainerResize& container : step.state.containers) {
    set_bounds<MilliCpu>(step, container, first);
    set_bounds<Bytes>(step, container, first);
  }
  step.out.actions.insert(step.out.actions.begin(), first.begin(), first.end());
}

}  // namespace plimsoll::agent
