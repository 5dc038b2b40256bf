// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {
namespace {

// A watch that has not caught up with our own PATCH shows the pod as it was before.
bool is_stale(const Stepping& step) {
  const kube::Pod& pod = *step.facts.pod;
  if (pod.generation && step.state.generation) return *pod.generation < *step.state.generation;
  // Before 1.33 nothing in a pod says so, and resourceVersions have no order.
  constexpr Nanoseconds kWatchLag = std::chrono::seconds(5);
  return !pod.generation && step.state.reply_at != MonotonicTime{} &&
         step.now - step.state.reply_at < kWatchLag;
}

bool carries(const std::vector<kube::ResizeChange>& changes, const std::string& container,
             Bytes limit) {
  return std::any_of(changes.begin(), changes.end(), [&](const kube::ResizeChange& change) {
    return change.container == container && change.limits.memory == limit;
  });
}

// Whether we have asked for the limit that the watch shows, which is another than we knew.
bool is_ours(const Stepping& step, const std::string& container, Bytes limit) {
  const kube::SetBy by = limit_set_by(step, container, &kube::ResizedBy::memory_limits);
  if (by != kube::SetBy::kUntold) return by == kube::SetBy::kUs;
  return (step.state.in_flight &&
          carries(step.state.in_flight->resize.changes, container, limit)) ||
         carries(step.state.unknown, container, limit);
}

void start_container(Stepping& step, ContainerResize& container, const std::string& id) {
  if (!container.container_id.empty() && container.lease) {
    ResizeEvent answer = step.answer(ResizeEvent::Kind::kLeaseEnded, container,
                                     container.lease->limit, container.spec.value_or(Bytes{}));
    answer.cause = "container_restarted";
    step.say(container.name, std::move(answer));
  }
  // A new cgroup, with the limit that the kubelet gave it.
  if (!container.container_id.empty()) {
    container.lease.reset();
    container.want.reset();
    restart_cpu(container.cpu);
  }
  container.container_id = id;
  container.level_known = false;
}

void step_back(Stepping& step, ContainerResize& container, Bytes from, Bytes to) {
  say_stepped_back(step, container, &kube::ResizedBy::memory_limits,
                   step.answer(ResizeEvent::Kind::kSteppedBack, container, from, to));
  std::erase_if(step.state.unknown,
                [&](const kube::ResizeChange& each) { return each.container == container.name; });
  container.preflight = {};
  container.refused.reset();
  container.floor = to;  // theirs is the declaration now
  if (step.config.coexist == Coexist::kShare) {
    if (container.want && *container.want <= to) container.want.reset();
    return;
  }
  give_way(step);
}

void absorb_spec(Stepping& step, ContainerResize& container, Bytes limit) {
  if (!container.spec) {
    container.spec = limit;
    return;
  }
  if (*container.spec == limit) return;
  const Bytes before = *container.spec;
  const bool ours = is_ours(step, container.name, limit);
  container.spec = limit;
  // A request that was stored before does not hold any more.
  if (step.state.unverified) {
    std::erase_if(step.state.unverified->changes, [&](const kube::ResizeChange& each) {
      return each.container == container.name && each.limits.memory != limit;
    });
    if (step.state.unverified->changes.empty()) step.state.unverified.reset();
  }
  if (container.want == limit) container.want.reset();
  if (!ours) step_back(step, container, before, limit);
}

// The watch shows what a PATCH without an answer had asked for.
void adopt_unknown(Stepping& step) {
  if (step.state.unknown.empty()) return;
  for (const kube::ResizeChange& change : step.state.unknown) {
    const ContainerResize* container = step.find(change.container);
    if (container == nullptr || container->spec != change.limits.memory) return;
  }
  const kube::Resize resize{.pod = step.state.id, .changes = step.state.unknown, .dry_run = false};
  step.state.unknown.clear();
  accepted(step, resize, false, step.state.last_patch);
}

// A pod that comes with a resize of ours under way, of the agent before this one.
void adopt_pending(Stepping& step) {
  std::vector<kube::ResizeChange> changes;
  for (ContainerResize& container : step.state.containers) {
    const kube::Container* seen = step.in_pod(container);
    if (seen == nullptr || !seen->status || !seen->status->resources) continue;
    if (limit_set_by(step, container.name, &kube::ResizedBy::memory_limits) != kube::SetBy::kUs)
      continue;
    const std::optional<Bytes>& in_force = seen->status->resources->limits.memory;
    if (in_force == container.spec) continue;
    container.asked_from = in_force.value_or(container.spec.value_or(Bytes{}));
    kube::ResizeChange change{
        .container = container.name, .kind = seen->kind, .requests = {}, .limits = {}};
    change.limits.memory = container.spec;
    if (seen->resources.requests.memory != seen->status->resources->requests.memory) {
      change.requests.memory = seen->resources.requests.memory;
    }
    changes.push_back(change);
  }
  if (changes.empty()) return;
  step.state.unverified = ResizeUnverified{.changes = std::move(changes),
                                           .visible = {},
                                           .generation = step.facts.pod->generation,
                                           .withdraws = false,
                                           .overdue = false,
                                           .sent = step.now};
}

void absorb_phase(Stepping& step) {
  const kube::ResizePhase phase = kube::resize_phase(*step.facts.pod);
  if (phase == step.state.phase) return;
  step.state.phase = phase;
  step.state.phase_since = step.now;
  if (!step.state.unverified && !step.state.cpu_stored) return;  // not ours to report
  ResizeEvent::Kind kind{};
  const kube::ResizeStatus& status = step.facts.pod->resize;
  const kube::ResizeCondition* condition = status.pending ? &*status.pending : nullptr;
  switch (phase) {
    case kube::ResizePhase::kDeferred:
      kind = ResizeEvent::Kind::kDeferred;
      break;
    case kube::ResizePhase::kInfeasible:
      kind = ResizeEvent::Kind::kInfeasible;
      break;
    case kube::ResizePhase::kError:
      kind = ResizeEvent::Kind::kFailed;
      condition = status.in_progress ? &*status.in_progress : nullptr;
      break;
    default:
      return;
  }
  const auto say = [&](const ContainerResize& container, ResizeEvent answer) {
    answer.cause = kube::to_string(phase);
    if (condition != nullptr) answer.message = condition->message;
    step.say(container.name, std::move(answer));
  };
  if (step.state.unverified) {
    for (const kube::ResizeChange& change : step.state.unverified->changes) {
      const ContainerResize* container = step.find(change.container);
      if (container == nullptr || !change.limits.memory) continue;
      say(*container,
          step.answer(kind, *container, ground(step, *container), *change.limits.memory));
    }
  }
  if (!step.state.cpu_stored) return;
  for (const kube::ResizeChange& change : step.state.cpu_stored->changes) {
    const ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.cpu) continue;
    const MilliCpu to = *change.limits.cpu;
    const MilliCpu from = container->cpu.asked ? container->cpu.asked->from : to;
    say(*container, cpu_answer(kind, *container, from, to));
  }
}

void absorb_grant(Stepping& step, ContainerResize& container, const EngineWord& word) {
  if (word.to <= ground(step, container)) return;  // what the spec allows anyway
  if (!container.lease) {
    container.lease = Lease{.limit = word.to, .why = lease_why(step, container), .since = word.at};
  }
  container.lease->limit = word.to;
  container.lease->why = lease_why(step, container);
  container.lease->until = step.now + step.config.fallback.lease;
  container.lease->written_at = word.at;
  container.lease->withdrawing = step.yielding();
}

void absorb_shrink(Stepping& step, ContainerResize& container, const EngineWord& word) {
  if (container.lease) {
    const Bytes from = container.lease->limit;
    container.lease->limit = word.to;
    container.lease->written_at = word.at;
    if (word.to <= ground(step, container)) {
      container.lease.reset();
      step.say(container.name,
               step.answer(ResizeEvent::Kind::kLeaseEnded, container, from, word.to));
    }
  }
  if (container.want && *container.want > word.to) container.want.reset();
}

// 1.33: what has been raised stays raised. Said once.
void note_no_decrease(Stepping& step) {
  constexpr int kMinorWithoutDecrease = 33;
  if (step.facts.api.ability.minor == kMinorWithoutDecrease) step.state.no_decrease = true;
  if (!step.state.no_decrease || step.state.no_decrease_said) return;
  for (const ContainerResize& container : step.state.containers) {
    const ContainerPolicy* policy = step.policy(container);
    if (policy == nullptr || container.spec.value_or(Bytes{}) <= policy->floor) continue;
    step.state.no_decrease_said = true;
    ResizeEvent answer =
        step.answer(ResizeEvent::Kind::kRefused, container, *container.spec, policy->floor);
    answer.cause = kube::to_string(kube::Resizability::kDecrease);
    answer.message = kube::explain(kube::Resizability::kDecrease);
    step.say(container.name, std::move(answer));
  }
}

}  // namespace

kube::SetBy limit_set_by(const Stepping& step, const std::string& container,
                         kube::OwnedLimits limits) {
  return kube::limit_set_by(*step.facts.pod, step.config.field_manager, container, limits);
}

void say_stepped_back(Stepping& step, const ContainerResize& container, kube::OwnedLimits limits,
                      ResizeEvent answer) {
  const auto owners = kube::limit_owners(*step.facts.pod, container.name, limits);
  answer.cause = to_string(step.config.coexist);
  answer.message =
      "resized by " + (owners.empty() ? std::string("somebody else") : owners.front()->manager);
  step.say(container.name, std::move(answer));
}

void give_way(Stepping& step) {
  step.state.yield_until = step.now + step.config.yield_for;
  for (ContainerResize& each : step.state.containers) {
    each.want.reset();
    if (each.lease) each.lease->withdrawing = true;
  }
}

void absorb_pod(Stepping& step) {
  const kube::Pod& pod = *step.facts.pod;
  const bool stale = is_stale(step);
  const bool first = step.state.containers.empty();
  std::erase_if(step.state.containers,
                [&](const ContainerResize& each) { return step.in_pod(each) == nullptr; });
  step.state.resizable = kube::can_resize(pod, step.facts.api.ability, step.config.node_name);
  for (const kube::Container& seen : pod.containers) {
    ContainerResize* container = step.find(seen.name);
    if (container == nullptr) {
      container = &step.state.containers.emplace_back();
      container->name = seen.name;
    }
    container->resizable = kube::can_resize_memory(pod, seen.name, step.facts.api.ability);
    if (seen.status && container->container_id != seen.status->id) {
      start_container(step, *container, seen.status->id);
    }
    if (!stale && seen.resources.limits.memory) {
      absorb_spec(step, *container, *seen.resources.limits.memory);
    }
    container->cpu.resizable = kube::can_resize_cpu(pod, seen.name, step.facts.api.ability);
    if (!stale && seen.resources.limits.cpu) {
      absorb_cpu_spec(step, *container, *seen.resources.limits.cpu);
    }
  }
  note_no_decrease(step);
  if (stale) return;
  if (pod.generation && step.state.generation && *pod.generation > *step.state.generation) {
    // A resize, of whatever resource and by whomever, may make the kubelet write memory.max.
    constexpr Nanoseconds kWatchful = std::chrono::seconds(5);
    step.state.watchful_until = step.now + kWatchful;
  }
  if (pod.generation) step.state.generation = pod.generation;
  step.state.resource_version = pod.resource_version;
  adopt_unknown(step);
  if (first) {
    adopt_pending(step);
    adopt_cpu_pending(step);
  }
  absorb_phase(step);
}

void absorb_words(Stepping& step) {
  for (const EngineWord& word : step.facts.words) {
    ContainerResize* container = step.find(word.container);
    if (container == nullptr || !container->spec) continue;
    container->layer = word.layer;
    container->reason = word.reason;
    container->rate_per_second = word.rate_per_second;
    if (word.kind == EngineWord::Kind::kShrink) {
      absorb_shrink(step, *container, word);
      continue;
    }
    if (word.kind == EngineWord::Kind::kGrant) absorb_grant(step, *container, word);
    if (step.yielding()) continue;
    if (word.to == *container->spec) {
      if (!container->lease) container->want.reset();
      continue;
    }
    if (container->want == word.to) continue;  // said before
    if (!container->want) container->want_since = word.at;
    container->last_word = word.at;
    container->want = word.to;
    container->want_from = word.from;
  }
}

}  // namespace plimsoll::agent
