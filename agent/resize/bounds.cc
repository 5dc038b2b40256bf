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
  return step.yielding<Amount>(container) || rules_out_growth(step.state.resizable) ||
         rules_out_growth(request_of<Amount>(container).resizable);
}

// By the operator's word, whatever the API server would say, or as nobody asks it.
template <class Amount>
bool needs_no_word(const Step& step, const ContainerResize& container) {
  const ContainerPolicy& policy = *step.policy(container);
  if (policy.actuation == Actuation::kCgroup || step.config.fallback.on_refusal) return true;
  const Request<Amount>& mine = request_of<Amount>(container);
  if (may_try<Amount>(step, container) || mine.allowance.asked) {
    return !step.config.preflight && !mine.allowance.refused;
  }
  return kIsMemory<Amount> && policy.unasked && !step.unsupported();
}

// Nobody could be asked before the API server went away: so much more than what is stored.
template <class Amount>
Amount one_step(Amount confirmed) {
  return confirmed + Amount{confirmed.value / 2};
}

// Of a limit that may grow, as far as somebody has said.
template <class Amount>
Amount writable(const Step& step, const ContainerResize& container, Amount most, Amount base) {
  if (needs_no_word<Amount>(step, container)) return most;
  const Allowance<Amount>& said = request_of<Amount>(container).allowance;
  Amount upto = said.upto;
  const bool never_asked = !said.asked && !said.refused;
  if (never_asked && step.facts.api.away && may_try<Amount>(step, container)) {
    upto = std::max(upto, one_step(base));
  }
  return std::max(std::min(upto, most), base);
}

template <class Amount>
Amount write_base(const Step& step, const ContainerResize& container, const Range<Amount>& range) {
  if constexpr (kIsMemory<Amount>) {
    return confirmed(step, container);
  } else {
    return std::clamp(*container.cpu.spec, range.floor, range.most);
  }
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
  const Allowed<Bytes> so_far = allowed<Bytes>(step, container);
  EngineBounds bounds{
      .floor = range->floor, .ceiling = so_far.wish, .direct_ceiling = so_far.write};
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
          .direct_ceiling = allowed<MilliCpu>(step, container).write,
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

template <class Amount>
Allowed<Amount> allowed(const Step& step, const ContainerResize& container) {
  const Amount spec = spec_of<Amount>(container);
  const std::optional<Range<Amount>> range = range_of<Amount>(step, container);
  if (!range) return {.write = kIsMemory<Amount> ? Amount{} : spec, .ask = spec, .wish = spec};
  const ContainerPolicy& policy = *step.policy(container);
  const bool held = is_held<Amount>(step, container);
  const Amount base = write_base(step, container, *range);
  Allowed<Amount> result{.write = kIsMemory<Amount> ? Amount{} : base, .ask = spec, .wish = {}};
  if (!is_written(policy)) {
    if (!kIsMemory<Amount>) result.write = range->floor;
  } else if (!held && !(kIsMemory<Amount> && policy.leaving)) {
    result.write = writable(step, container, range->most, base);
  }
  if (through_api<Amount>(step, container) && !held) {
    result.ask = range->most;
    const auto& refused = request_of<Amount>(container).allowance.refused;
    if (refused && refused->ask_upto && step.now < refused->retry_at) {
      result.ask = std::max(std::min(range->most, *refused->ask_upto), spec);
    }
  }
  const bool nobody_bounds = !held && (policy.dry_run || policy.actuation == Actuation::kCgroup);
  result.wish = nobody_bounds ? range->most
                              : std::min(range->most,
                                         std::max({spec, held ? spec : result.write, result.ask}));
  return result;
}

template Allowed<Bytes> allowed(const Step&, const ContainerResize&);
template Allowed<MilliCpu> allowed(const Step&, const ContainerResize&);

Bytes confirmed(const Step& step, const ContainerResize& container) {
  const auto& refused = container.allowance.refused;
  return refused && refused->by_kubelet ? container.allowance.upto : ground(step, container);
}

LeaseWhy lease_why(const Step& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  if (policy != nullptr && policy->actuation == Actuation::kCgroup) return LeaseWhy::kPolicy;
  if (!resizable<Bytes>(step, container)) return LeaseWhy::kNoApi;
  if (container.allowance.refused && step.config.fallback.on_refusal) return LeaseWhy::kOverride;
  return step.facts.api.away ? LeaseWhy::kApiAway : LeaseWhy::kBridge;
}

bool cpu_write_is_coming(const Step& step, const ContainerResize& container, MilliCpu to) {
  const std::optional<Range<MilliCpu>> range = range_of<MilliCpu>(step, container);
  if (!range) return false;
  const bool asked = step.config.preflight && !container.cpu.allowance.asked &&
                     wants_preflight<MilliCpu>(step, container) && step.facts.api.may_ask &&
                     !step.facts.api.away;
  const MilliCpu before = container.cpu.bounds ? container.cpu.bounds->direct_ceiling : MilliCpu{};
  return asked || (before < to && to <= allowed<MilliCpu>(step, container).write);
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
