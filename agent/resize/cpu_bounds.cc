// SPDX-License-Identifier: Apache-2.0
//
// CPU limits: how far the engine may go by itself, and the dry runs that tell.
#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {
namespace {

// By what the author and the operator want.
bool is_written(const ContainerPolicy& policy) {
  return !policy.dry_run && policy.actuation != Actuation::kResize;
}

// No further than what is stored already.
bool is_held(const Stepping& step, const ContainerResize& container) {
  return step.yielding() || rules_out_growth(step.state.resizable) ||
         rules_out_growth(container.cpu.resizable);
}

MilliCpu cpu_direct_ceiling(const Stepping& step, const ContainerResize& container,
                            const CpuRange& range) {
  const CpuResize& cpu = container.cpu;
  const ContainerPolicy& policy = *step.policy(container);
  if (!is_written(policy)) return range.floor;
  const MilliCpu stored = std::clamp(*cpu.spec, range.floor, range.most);
  if (is_held(step, container)) return stored;
  const bool only_files = policy.actuation == Actuation::kCgroup || !cpu_resizable(step, container);
  if (only_files || step.config.fallback.on_refusal) return range.most;
  MilliCpu top = range.most;
  if (cpu.refused) top = std::min(top, cpu.refused->allowed);
  if (step.config.preflight) {
    if (cpu.preflight.ceiling) {
      top = std::min(top, cpu.preflight.allowed);
    } else if (!step.facts.api.away) {
      top = MilliCpu{};  // the answer is on its way
    }
  }
  return std::max(top, stored);
}

CpuBounds bounds_of(const Stepping& step, const ContainerResize& container, const CpuRange& range) {
  CpuBounds bounds{.floor = range.floor,
                   .ceiling = range.most,
                   .direct_ceiling = cpu_direct_ceiling(step, container, range),
                   .direct_floor = range.floor};
  if (!is_written(*step.policy(container)) || is_held(step, container)) {
    bounds.direct_floor = std::max(range.floor, *container.cpu.spec);
  }
  return bounds;
}

bool wants_preflight(const Stepping& step, const ContainerResize& container) {
  const std::optional<CpuRange> range = cpu_range(step, container);
  return range && cpu_through_api(step, container) &&
         step.policy(container)->actuation == Actuation::kResizeThenCgroup &&
         range->most > *container.cpu.spec;
}

// A refusal is asked about again only where more was needed since.
bool is_due(const Stepping& step, const ContainerResize& container) {
  const CpuResize& cpu = container.cpu;
  const PreflightFor<MilliCpu>& known = cpu.preflight;
  if (known.ceiling != cpu_range(step, container)->most) return true;
  return known.refused && step.now - known.at >= known.backoff && cpu.needed_at > known.at;
}

void answered(Stepping& step, const kube::ResizeChange& change, std::optional<MilliCpu> allowed) {
  ContainerResize* container = step.find(change.container);
  if (container == nullptr || !container->cpu.spec) return;
  PreflightFor<MilliCpu>& known = container->cpu.preflight;
  known.ceiling = known.asking;
  known.allowed = allowed.value_or(*container->cpu.spec);
  known.at = step.now;
}

void note_refusal(Stepping& step, const kube::ResizeChange& change, const kube::Refusal& refusal,
                  bool room_known) {
  ContainerResize* container = step.find(change.container);
  if (container == nullptr) return;
  PreflightFor<MilliCpu>& known = container->cpu.preflight;
  known.refused = refusal.cause;
  known.message = refusal.message;
  known.room_known = room_known;
  known.backoff = next_refused_backoff(step, known.backoff);
}

// Asks again within the room that the refusal named. False: nothing is left to ask for.
bool ask_within(Stepping& step, const ResizeInFlight& asked, const CpuRoom& room) {
  if (!room.known() || step.state.preflight_tries >= step.config.preflight_attempts) return false;
  std::vector<CpuClaim> claims;
  MilliCpu total;
  for (const ContainerResize& each : step.state.containers) {
    total += each.cpu.spec.value_or(MilliCpu{});
  }
  for (const kube::ResizeChange& change : asked.resize.changes) {
    const ContainerResize* container = step.find(change.container);
    if (container == nullptr || !container->cpu.spec || !change.limits.cpu) return false;
    claims.push_back({.from = *container->cpu.spec,
                      .to = *change.limits.cpu,
                      .request = step.in_pod(*container)->resources.requests.cpu});
  }
  const std::vector<MilliCpu> fitting = fit(room, claims, total);
  const kube::Pod known = known_pod(step);
  std::vector<kube::ResizeChange> changes;
  std::vector<kube::ResizeChange> full;
  bool smaller = false;
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const kube::ResizeChange& before = asked.resize.changes[i];
    smaller |= fitting[i] < claims[i].to;
    const auto change = kube::cpu_change(known, before.container, fitting[i]);
    (change ? changes : full).push_back(change.value_or(before));
  }
  if (changes.empty() || !smaller ||
      kube::can_apply(known, changes, step.facts.api.ability) != kube::Resizability::kYes) {
    return false;
  }
  // Those that are left out have no room, whatever becomes of the others.
  for (const kube::ResizeChange& change : full) answered(step, change, std::nullopt);
  ++step.state.preflight_tries;
  send_preflight(step, std::move(changes));
  return true;
}

}  // namespace

std::optional<CpuRange> cpu_range(const Stepping& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  if (policy == nullptr || !policy->cpu || !container.cpu.spec) return std::nullopt;
  const MilliCpu floor = container.cpu.floor.value_or(policy->cpu->floor);
  return CpuRange{.floor = floor, .most = std::max(policy->cpu->most(), floor)};
}

bool cpu_write_is_coming(const Stepping& step, const ContainerResize& container, MilliCpu to) {
  const std::optional<CpuRange> range = cpu_range(step, container);
  if (!range) return false;
  const bool asked = step.config.preflight && !container.cpu.preflight.ceiling &&
                     wants_preflight(step, container) && step.facts.api.may_ask &&
                     !step.facts.api.away && !step.yielding();
  const MilliCpu before = container.cpu.bounds ? container.cpu.bounds->direct_ceiling : MilliCpu{};
  return asked || (before < to && to <= cpu_direct_ceiling(step, container, *range));
}

bool cpu_resizable(const Stepping& step, const ContainerResize& container) {
  return step.state.resizable == kube::Resizability::kYes && !step.state.unsupported &&
         container.cpu.resizable == kube::Resizability::kYes;
}

bool cpu_through_api(const Stepping& step, const ContainerResize& container) {
  const ContainerPolicy* policy = step.policy(container);
  return policy != nullptr && !policy->dry_run && policy->actuation != Actuation::kCgroup &&
         cpu_resizable(step, container);
}

void set_cpu_bounds(Stepping& step) {
  std::vector<ResizeAction> first;
  for (ContainerResize& container : step.state.containers) {
    CpuResize& cpu = container.cpu;
    if (!cpu.spec) continue;
    const std::optional<CpuRange> range = cpu_range(step, container);
    if (!range && !cpu.bounds) continue;  // never was managed, or is not any more
    const CpuBounds bounds = range ? bounds_of(step, container, *range)
                                   : CpuBounds{.floor = *cpu.spec,
                                               .ceiling = *cpu.spec,
                                               .direct_ceiling = *cpu.spec,
                                               .direct_floor = *cpu.spec};
    if (cpu.bounds != bounds) {
      first.emplace_back(SetCpuBounds{.container = container.name, .bounds = bounds});
    }
    cpu.bounds = range ? std::optional(bounds) : std::nullopt;
  }
  step.out.actions.insert(step.out.actions.begin(), first.begin(), first.end());
}

// A dry run of its own, so that a refusal is about one resource.
void ask_cpu_preflight(Stepping& step, const kube::Pod& known) {
  if (!step.config.preflight || step.state.preflight || step.yielding()) return;
  std::vector<kube::ResizeChange> changes;
  bool due = false;
  for (ContainerResize& container : step.state.containers) {
    if (!wants_preflight(step, container)) continue;
    due |= is_due(step, container);
    container.cpu.preflight.asking = cpu_range(step, container)->most;
    const auto change = kube::cpu_change(known, container.name, *container.cpu.preflight.asking);
    if (change) changes.push_back(*change);
  }
  if (!due) return;
  if (step.now < step.state.preflight_retry_at) {
    step.wake_at(step.state.preflight_retry_at);
    return;
  }
  const kube::Resizability why = kube::can_apply(known, changes, step.facts.api.ability);
  step.state.preflight_tries = 1;
  if (why == kube::Resizability::kYes) {
    send_preflight(step, std::move(changes));
    return;
  }
  const kube::Refusal refusal{.code = Code::kDenied,
                              .cause = kube::Cause::kInvalid,
                              .message = std::string(kube::explain(why))};
  for (const kube::ResizeChange& change : changes) {
    answered(step, change, std::nullopt);
    note_refusal(step, change, refusal, true);
  }
}

void cpu_preflight_taken(Stepping& step, const ResizeInFlight& asked) {
  for (const kube::ResizeChange& change : asked.resize.changes) {
    answered(step, change, change.limits.cpu);
    ContainerResize* container = step.find(change.container);
    if (container == nullptr) continue;
    PreflightFor<MilliCpu>& known = container->cpu.preflight;
    if (!known.ceiling || known.allowed < *known.ceiling) continue;  // the refusal before it stands
    known.refused.reset();
    known.room_known = true;
    known.message.clear();
    known.backoff = {};
    if (container->cpu.refused && !container->cpu.refused->by_kubelet) {
      container->cpu.refused.reset();
    }
  }
}

void cpu_preflight_refused(Stepping& step, const ResizeInFlight& asked,
                           const ResizeOutcome& outcome) {
  const kube::Refusal& refusal = *outcome.refusal;
  const CpuRoom room = cpu_room_of(refusal);
  const bool first = step.state.preflight_tries == 1;
  for (const kube::ResizeChange& change : asked.resize.changes) {
    note_refusal(step, change, refusal, room.known());
    const ContainerResize* container = step.find(change.container);
    if (!first || container == nullptr) continue;
    const MilliCpu spec = container->cpu.spec.value_or(MilliCpu{});
    ResizeEvent answer =
        cpu_answer(ResizeEvent::Kind::kRefused, *container, spec, change.limits.cpu.value_or(spec));
    if (outcome.status != 0) answer.status = outcome.status;
    answer.cause = kube::to_string(refusal.cause);
    answer.message = refusal.message;
    step.say(container->name, std::move(answer));
  }
  if (ask_within(step, asked, room)) return;
  for (const kube::ResizeChange& change : asked.resize.changes) {
    answered(step, change, std::nullopt);
  }
}

}  // namespace plimsoll::agent
