// SPDX-License-Identifier: Apache-2.0
//
// CPU limits: requests, and what becomes of them. They share the one request in flight with memory,
// and nothing else: no failure of theirs makes memory wait.
#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {
namespace {

using Kind = ResizeEvent::Kind;

MilliCpu spec_of(const ContainerResize& container) {
  return container.cpu.spec.value_or(MilliCpu{});
}

void forget_wish(Stepping& step, ContainerResize& container) {
  if (!container.cpu.wish) return;
  container.cpu.wish.reset();
  step.act(ForgetCpuWish{container.name});
}

void say_refused(Stepping& step, const kube::ResizeChange& change, const ResizeOutcome& outcome,
                 Kind kind) {
  const ContainerResize* container = step.find(change.container);
  if (container == nullptr) return;
  ResizeEvent answer =
      cpu_answer(kind, *container, spec_of(*container), change.limits.cpu.value_or(MilliCpu{}));
  if (outcome.status != 0) answer.status = outcome.status;
  answer.cause = kube::to_string(outcome.refusal->cause);
  answer.message = outcome.refusal->message;
  step.say(container->name, std::move(answer));
}

void note_refused(Stepping& step, ContainerResize& container, RefusedFor<MilliCpu> refused,
                  Nanoseconds wait) {
  CpuResize& cpu = container.cpu;
  refused.backoff = wait;
  refused.retry_at = step.now + wait;
  if (refused.allowed <= spec_of(container)) forget_wish(step, container);
  cpu.refused = std::move(refused);
}

// A lowering is not urgent: nobody is the worse for a limit that is higher than it need be.
void note_lowering_refused(Stepping& step, ContainerResize& container) {
  container.cpu.lower_retry_at = step.now + step.config.api.refused_backoff_max;
  forget_wish(step, container);
}

// The cluster has decided: what was asked for, and more, is not asked for again for a while. The
// bounds of this step tell the engine, which lowers what stands above.
void respect(Stepping& step, const ResizeInFlight& request, const kube::Refusal& refusal) {
  const CpuRoom room = cpu_room_of(refusal);
  std::vector<CpuClaim> claims;
  std::vector<ContainerResize*> containers;
  MilliCpu total;
  for (const ContainerResize& each : step.state.containers) total += spec_of(each);
  for (const kube::ResizeChange& change : request.resize.changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.cpu) continue;
    claims.push_back({.from = spec_of(*container),
                      .to = *change.limits.cpu,
                      .request = step.in_pod(*container)->resources.requests.cpu});
    containers.push_back(container);
  }
  const std::vector<MilliCpu> fitting = fit(room, claims, total);
  for (std::size_t i = 0; i < containers.size(); ++i) {
    ContainerResize& container = *containers[i];
    if (claims[i].to < claims[i].from) {
      note_lowering_refused(step, container);
      continue;
    }
    const auto& before = container.cpu.refused;
    note_refused(step, container,
                 {.value = claims[i].to,
                  .allowed = room.known() ? fitting[i] : claims[i].from,
                  .cause = refusal.cause,
                  .message = refusal.message},
                 next_refused_backoff(step, before ? before->backoff : Nanoseconds{}));
  }
}

void refused(Stepping& step, const ResizeInFlight& request, const ResizeOutcome& outcome) {
  const kube::Refusal& refusal = *outcome.refusal;
  PodResize& state = step.state;
  Kind kind = Kind::kRefused;
  switch (refusal.code) {
    case Code::kGone:
      state.gone = true;
      return;
    case Code::kConflict:
    case Code::kUnavailable: {
      ++state.cpu_attempts;
      const Nanoseconds wait = backoff_of(state, state.cpu_attempts, std::chrono::milliseconds(400),
                                          std::chrono::seconds(30));
      state.cpu_retry_at = step.now + std::max(wait, refusal.retry_after.value_or(Nanoseconds{}));
      step.wake_at(state.cpu_retry_at);
      if (refusal.code == Code::kConflict) return;
      kind = Kind::kUnavailable;
      break;
    }
    case Code::kUnsupported:
      note_unsupported(step, refusal.cause);
      break;
    case Code::kDenied:
    case Code::kMalformed:  // a fault of ours: not repeated either
      respect(step, request, refusal);
      if (request.withdraws) state.cpu_retry_at = step.now + step.config.api.refused_backoff_max;
      break;
  }
  for (const kube::ResizeChange& change : request.resize.changes) {
    say_refused(step, change, outcome, kind);
    ContainerResize* container = step.find(change.container);
    // Whoever stores this value now is not us.
    if (container != nullptr && !refusal.outcome_unknown) container->cpu.asked.reset();
  }
}

// What the reply says is stored: an admission webhook may have changed it.
MilliCpu stored_in(const std::optional<kube::Pod>& reply, const kube::ResizeChange& change) {
  const kube::Container* seen = reply ? kube::find_container(*reply, change.container) : nullptr;
  const std::optional<MilliCpu> limit = seen == nullptr ? std::nullopt : seen->resources.limits.cpu;
  return limit.value_or(*change.limits.cpu);
}

// Taken, but for another value: as good as a refusal of the rest, which is not asked for at once.
void note_changed(Stepping& step, ContainerResize& container, MilliCpu asked) {
  const MilliCpu stored = spec_of(container);
  const std::string message = "stored as " + to_string(stored);
  if (stored > asked) {
    note_lowering_refused(step, container);
  } else {
    note_refused(
        step, container,
        {.value = asked, .allowed = stored, .cause = kube::Cause::kAdmission, .message = message},
        step.config.api.refused_backoff_max);
  }
  ResizeEvent answer = cpu_answer(Kind::kRefused, container, stored, asked);
  answer.cause = kube::to_string(kube::Cause::kAdmission);
  answer.message = message;
  step.say(container.name, std::move(answer));
}

void note_accepted(Stepping& step, const ResizeInFlight& request,
                   const std::optional<kube::Pod>& reply) {
  PodResize& state = step.state;
  for (const kube::ResizeChange& change : request.resize.changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.cpu) continue;
    note_cpu_stored(step, change, request.withdraws);
    CpuResize& cpu = container->cpu;
    const MilliCpu to = *change.limits.cpu;
    cpu.spec = stored_in(reply, change);
    cpu.since = step.now;
    if (cpu.wish == to) cpu.wish.reset();
    if (request.withdraws) continue;
    if (cpu.refused && to >= cpu.refused->value) cpu.refused.reset();
    if (cpu.preflight.ceiling) cpu.preflight.allowed = std::max(cpu.preflight.allowed, *cpu.spec);
    if (cpu.spec != to) note_changed(step, *container, to);
  }
  state.cpu_attempts = 0;
  state.cpu_retry_at = step.now;
  // The phase that was seen is of the resize before it.
  state.phase = kube::ResizePhase::kNone;
  state.phase_since = step.now;
  // The kubelet may write memory.max: a bridge that begins now is looked after.
  constexpr Nanoseconds kWatchful = std::chrono::seconds(5);
  state.watchful_until = step.now + kWatchful;
}

// The change that takes `change` back to what is in force; nullopt: it is.
std::optional<kube::ResizeChange> undone(const Stepping& step, const kube::ResizeChange& change) {
  const ContainerResize* container = step.find(change.container);
  const kube::Container* seen = container == nullptr ? nullptr : step.in_pod(*container);
  if (seen == nullptr || !seen->status || !seen->status->resources) return std::nullopt;
  const std::optional<MilliCpu>& in_force = seen->status->resources->limits.cpu;
  if (!in_force || in_force == change.limits.cpu) return std::nullopt;
  kube::ResizeChange undo{
      .container = change.container, .kind = change.kind, .requests = {}, .limits = {}};
  undo.limits.cpu = in_force;
  return undo;
}

// The kubelet has not taken `asked` and has `before` in force.
void note_untaken(Stepping& step, ContainerResize& container, MilliCpu asked, MilliCpu before) {
  if (asked < before) {
    note_lowering_refused(step, container);
    return;
  }
  KubeletVerdict said = kubelet_word(step);
  // Without a decision against it what is written may stay.
  const MilliCpu level = said.capacity ? before : container.cpu.level.value_or(before);
  const auto& last = container.cpu.refused;
  forget_wish(step, container);
  note_refused(step, container,
               {.value = asked,
                .allowed = std::max(level, before),
                .cause = said.capacity ? kube::Cause::kNodeCapacity : kube::Cause::kNotReady,
                .by_kubelet = true,
                .message = std::move(said.message)},
               next_refused_backoff(step, last ? last->backoff : Nanoseconds{}));
}

}  // namespace

void absorb_cpu_outcome(Stepping& step, const ResizeInFlight& request,
                        const ResizeOutcome& outcome) {
  if (outcome.refusal) {
    refused(step, request, outcome);
    return;
  }
  for (const kube::ResizeChange& change : request.resize.changes) {
    const ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.cpu) continue;
    const auto& asked = container->cpu.asked;
    ResizeEvent answer =
        cpu_answer(request.withdraws ? Kind::kWithdrawn : Kind::kAccepted, *container,
                   asked ? asked->from : spec_of(*container), *change.limits.cpu);
    answer.status = outcome.status;
    step.say(container->name, std::move(answer));
  }
  if (outcome.pod) learn_from_reply(step, request.resize, *outcome.pod);
  note_accepted(step, request, outcome.pod);
}

void note_cpu_stored(Stepping& step, const kube::ResizeChange& change, bool withdraws) {
  if (!step.state.cpu_stored) step.state.cpu_stored.emplace();
  CpuStored& stored = *step.state.cpu_stored;
  stored.generation = step.state.generation;
  stored.withdraws = withdraws;
  std::erase_if(stored.changes,
                [&](const auto& each) { return each.container == change.container; });
  stored.changes.push_back(change);
}

void refuse_cpu_here(Stepping& step, const kube::ResizeChange& change, kube::Resizability why) {
  ContainerResize& container = *step.find(change.container);
  const MilliCpu from = spec_of(container);
  const MilliCpu to = change.limits.cpu.value_or(from);
  if (to < from) {
    note_lowering_refused(step, container);
  } else {
    note_refused(step, container,
                 {.value = to,
                  .allowed = from,
                  .cause = kube::Cause::kInvalid,
                  .message = std::string(kube::explain(why))},
                 step.config.api.refused_backoff_max);
  }
  ResizeEvent answer = cpu_answer(Kind::kRefused, container, from, to);
  answer.cause = kube::to_string(why);
  answer.message = kube::explain(why);
  step.say(container.name, std::move(answer));
}

void send_cpu(Stepping& step, std::vector<kube::ResizeChange> changes, bool withdraws) {
  PodResize& state = step.state;
  SendResize action;
  action.id = state.next_id++;
  action.resize = {.pod = state.id, .changes = std::move(changes), .dry_run = false};
  action.urgency = SendResize::Urgency::kNormal;
  // As a rescue's: memory waits for it.
  action.deadline =
      step.facts.api.slow ? step.config.api.deadline : step.config.api.rescue_deadline;
  for (const kube::ResizeChange& change : action.resize.changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.cpu) continue;
    CpuResize& cpu = container->cpu;
    cpu.asked = CpuAsked{.from = spec_of(*container),
                         .to = *change.limits.cpu,
                         .written = cpu.level == change.limits.cpu};
    if (withdraws) continue;
    step.say(container->name, cpu_answer(Kind::kSent, *container, cpu.asked->from, cpu.asked->to));
  }
  state.in_flight = ResizeInFlight{
      .id = action.id, .resize = action.resize, .withdraws = withdraws, .sent = step.now};
  ++state.patches;
  step.act(std::move(action));
}

bool withdraw_cpu(Stepping& step, const kube::Pod& known) {
  const std::optional<CpuStored>& stored = step.state.cpu_stored;
  if (!stored || stored->withdraws || !refused_by_node(step.state.phase)) return false;
  const MonotonicTime due = step.state.phase_since + step.config.api.withdraw_after;
  if (step.state.phase != kube::ResizePhase::kInfeasible && step.now < due) {
    step.wake_at(due);
    return false;
  }
  if (step.now < step.state.cpu_retry_at) {
    step.wake_at(step.state.cpu_retry_at);
    return false;
  }
  std::vector<kube::ResizeChange> back;
  for (const kube::ResizeChange& change : stored->changes) {
    if (auto undo = undone(step, change)) back.push_back(*std::move(undo));
  }
  const bool quiet = std::all_of(back.begin(), back.end(), [&](const auto& each) {
    return memory_is_quiet(step, each.container);
  });
  if (back.empty() || !quiet ||
      kube::can_apply(known, back, step.facts.api.ability) != kube::Resizability::kYes) {
    return false;
  }
  for (const kube::ResizeChange& undo : back) {
    ContainerResize& container = *step.find(undo.container);
    note_untaken(step, container, spec_of(container), *undo.limits.cpu);
  }
  send_cpu(step, std::move(back), true);
  return true;
}

void verify_cpu(Stepping& step) {
  std::optional<CpuStored>& stored = step.state.cpu_stored;
  const kube::Pod& pod = *step.facts.pod;
  if (!stored || kube::resize_phase(pod) != kube::ResizePhase::kNone) return;
  const std::optional<std::int64_t>& wanted = stored->generation;
  if (wanted && pod.generation && *pod.generation < *wanted) return;
  const bool observed = wanted && pod.observed_generation && *pod.observed_generation >= *wanted;
  const auto in_force = [&](const kube::ResizeChange& change) {
    const kube::Container* seen = kube::find_container(pod, change.container);
    return observed || seen == nullptr ||
           (seen->status && seen->status->resources &&
            seen->status->resources->limits.cpu == change.limits.cpu);
  };
  if (!std::all_of(stored->changes.begin(), stored->changes.end(), in_force)) return;
  const std::vector<kube::ResizeChange> changes = std::move(stored->changes);
  const bool withdrawn = stored->withdraws;
  stored.reset();
  if (withdrawn) return;  // said, and in force it is what was before
  for (const kube::ResizeChange& change : changes) {
    const ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.cpu) continue;
    const MilliCpu to = *change.limits.cpu;
    const auto& asked = container->cpu.asked;
    step.say(container->name, cpu_answer(Kind::kApplied, *container, asked ? asked->from : to, to));
  }
}

void adopt_cpu_pending(Stepping& step) {
  CpuStored pending{.changes = {}, .generation = step.facts.pod->generation, .withdraws = false};
  for (ContainerResize& container : step.state.containers) {
    const kube::Container* seen = step.in_pod(container);
    if (seen == nullptr || !seen->status || !seen->status->resources) continue;
    if (limit_set_by(step, container.name, &kube::ResizedBy::cpu_limits) != kube::SetBy::kUs)
      continue;
    const std::optional<MilliCpu>& in_force = seen->status->resources->limits.cpu;
    if (!container.cpu.spec || !in_force || in_force == container.cpu.spec) continue;
    kube::ResizeChange change{
        .container = container.name, .kind = seen->kind, .requests = {}, .limits = {}};
    change.limits.cpu = container.cpu.spec;
    container.cpu.asked = CpuAsked{.from = *in_force, .to = *container.cpu.spec, .written = false};
    pending.changes.push_back(std::move(change));
  }
  if (!pending.changes.empty()) step.state.cpu_stored = std::move(pending);
}

}  // namespace plimsoll::agent
