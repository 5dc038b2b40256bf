// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/seen.h"

#include "agent/resize/bounds.h"
#include "agent/resize/cpu_request.h"
#include "agent/resize/lease_upkeep.h"
#include "agent/resize/outcome.h"

namespace plimsoll::agent {
namespace {

// A watch that has not caught up with our own PATCH shows the pod as it was before.
bool is_stale(Step& step) {
  const kube::Pod& pod = *step.facts.pod;
  constexpr Nanoseconds kWatchLag = std::chrono::seconds(5);
  if (pod.generation && step.state.generation) {
    std::optional<MonotonicTime>& since = step.state.behind_since;
    if (*pod.generation >= *step.state.generation ||
        pod.resource_version == step.state.resource_version) {
      since.reset();
      return *pod.generation < *step.state.generation;
    }
    // News of an older generation, on and on: the API server's store was put back.
    if (!since) since = step.now;
    if (step.now - *since < kWatchLag) step.wake_at(*since + kWatchLag);
    return step.now - *since < kWatchLag;
  }
  // Before 1.33 nothing in a pod says so, and resourceVersions have no order.
  return !pod.generation && step.state.reply_at != MonotonicTime{} &&
         step.now - step.state.reply_at < kWatchLag;
}

template <class Amount>
bool carries(const std::vector<kube::ResizeChange>& changes, const std::string& container,
             Amount limit) {
  return std::any_of(changes.begin(), changes.end(), [&](const kube::ResizeChange& change) {
    return change.container == container && of<Amount>(change.limits) == limit;
  });
}

template <class Amount>
kube::SetBy limit_set_by(const Step& step, const std::string& container) {
  return kube::limit_set_by(*step.facts.pod, step.config.field_manager, container,
                            kOwnedLimits<Amount>);
}

// Whether we have asked for the limit that the watch shows, which is another than we knew.
template <class Amount>
bool is_ours(const Step& step, const std::string& container, Amount limit) {
  const kube::SetBy by = limit_set_by<Amount>(step, container);
  if (by != kube::SetBy::kUntold) return by == kube::SetBy::kUs;
  return (step.state.in_flight &&
          carries(step.state.in_flight->resize.changes, container, limit)) ||
         carries(step.state.unknown, container, limit);
}

void start_container(Step& step, ContainerResize& container, const std::string& id) {
  if (!container.container_id.empty() && container.lease) {
    step.say(ResizeEvent::Kind::kLeaseEnded, container, container.lease->limit,
             spec_of<Bytes>(container), "container_restarted");
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

template <class Amount>
void give_way(Step& step, ContainerResize& container) {
  Request<Amount>& mine = request_of<Amount>(container);
  mine.yield_until = step.now + step.config.yield_for;
  mine.want.reset();
  if constexpr (kIsMemory<Amount>) {
    if (container.lease) container.lease->withdrawing = true;
  }
}

// Somebody else's limit is what is declared from now on, and protection goes on from there. Only
// where the same actor takes back what we had raised, again, is that limit fought over.
template <class Amount>
void step_back(Step& step, ContainerResize& container, Amount from, Amount to) {
  const auto owners = kube::limit_owners(*step.facts.pod, container.name, kOwnedLimits<Amount>);
  const std::string who = owners.empty() ? "somebody else" : owners.front()->manager;
  std::erase_if(step.state.unknown, [&](const kube::ResizeChange& each) {
    return each.container == container.name && of<Amount>(each.limits);
  });
  Request<Amount>& mine = request_of<Amount>(container);
  const std::optional<Range<Amount>> range = range_of<Amount>(step, container);
  const bool undone = range && from > range->floor && to < from;
  if (undone) mine.undone = {who, mine.undone.by == who ? mine.undone.times + 1 : 1};
  // That it might have what was declared before says nothing about more than is declared now.
  Amount& upto = mine.allowance.upto;
  if (upto <= from && (!range || from <= range->floor)) upto = std::min(upto, to);
  // How far it may go is asked anew; what was allowed stands until then.
  mine.allowance.asked.reset();
  mine.allowance.asking.reset();
  mine.allowance.refused.reset();
  mine.floor = to;
  if constexpr (!kIsMemory<Amount>) {
    container.cpu.level.reset();  // the kubelet writes theirs
    container.cpu.starting = false;
  }
  constexpr int kFight = 2;
  const bool yields =
      step.config.coexist == Coexist::kYield && undone && mine.undone.times >= kFight;
  if (!step.yielding<Amount>(container)) {
    step.say(ResizeEvent::Kind::kSteppedBack, container, from, to,
             to_string(yields ? Coexist::kYield : Coexist::kShare), "resized by " + who);
  }
  if (yields) {
    give_way<Amount>(step, container);
  } else if (mine.want && *mine.want <= to) {
    mine.want.reset();
  }
}

template <class Amount>
void absorb_spec(Step& step, ContainerResize& container, const std::optional<Amount>& limit) {
  Request<Amount>& mine = request_of<Amount>(container);
  if (!limit || mine.spec == limit) return;
  const std::optional<Amount> before = std::exchange(mine.spec, limit);
  if constexpr (!kIsMemory<Amount>) container.cpu.since = step.now;
  if (mine.want == limit) mine.want.reset();
  if (!before) return;
  // A request that was stored before does not hold any more.
  std::optional<ResizeUnverified>& open = unverified_of<Amount>(step.state);
  if (open) {
    std::erase_if(open->changes, [&](const kube::ResizeChange& each) {
      return each.container == container.name && of<Amount>(each.limits) != limit;
    });
    if (open->changes.empty()) open.reset();
  }
  if (is_ours(step, container.name, *limit)) return;
  // A CPU limit that we leave alone may be resized by anybody.
  if (!kIsMemory<Amount> && !range_of<Amount>(step, container)) return;
  step_back(step, container, *before, *limit);
}

// The watch shows what a PATCH without an answer had asked for.
template <class Amount>
void adopt_unknown(Step& step) {
  std::vector<kube::ResizeChange> changes;
  for (const kube::ResizeChange& change : step.state.unknown) {
    const std::optional<Amount>& to = of<Amount>(change.limits);
    if (!to) continue;
    const ContainerResize* container = step.find(change.container);
    if (container == nullptr || request_of<Amount>(*container).spec != to) return;
    changes.push_back(change);
  }
  if (changes.empty()) return;
  std::erase_if(step.state.unknown,
                [](const kube::ResizeChange& each) { return of<Amount>(each.limits).has_value(); });
  accepted<Amount>(step, std::move(changes), step.state.unknown_withdraws, step.state.last_patch,
                   nullptr);
}

// A pod that comes with a resize of ours under way, of the agent before this one.
template <class Amount>
void adopt_pending(Step& step) {
  ResizeUnverified pending{.generation = step.facts.pod->generation, .sent = step.now};
  for (ContainerResize& container : step.state.containers) {
    Request<Amount>& mine = request_of<Amount>(container);
    const std::optional<Amount> now = in_force<Amount>(step, container);
    if (!mine.spec || !now || now == mine.spec) continue;
    if (limit_set_by<Amount>(step, container.name) != kube::SetBy::kUs) continue;
    mine.asked = {.from = *now, .to = *mine.spec, .before = *now};
    const kube::Container& seen = *step.in_pod(container);
    kube::ResizeChange change{
        .container = container.name, .kind = seen.kind, .requests = {}, .limits = {}};
    of<Amount>(change.limits) = mine.spec;
    const std::optional<Amount>& request = of<Amount>(seen.resources.requests);
    if (request != of<Amount>(seen.status->resources->requests)) {
      of<Amount>(change.requests) = request;
    }
    pending.changes.push_back(std::move(change));
  }
  if (!pending.changes.empty()) unverified_of<Amount>(step.state) = std::move(pending);
}

template <class Amount>
void say_phase(Step& step, ResizeEvent::Kind kind, std::string_view message) {
  const std::optional<ResizeUnverified>& open = unverified_of<Amount>(step.state);
  if (!open) return;
  for_each_limit<Amount>(step, open->changes, [&](const auto&, const auto& container, Amount to) {
    const auto& asked = request_of<Amount>(container).asked;
    step.say(kind, container, asked ? asked->before : to, to, kube::to_string(step.state.phase),
             message);
  });
}

void absorb_phase(Step& step) {
  const kube::ResizePhase phase = kube::resize_phase(*step.facts.pod);
  if (phase == step.state.phase) return;
  step.state.phase = phase;
  step.state.phase_since = step.now;
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
  const std::string_view message = condition == nullptr ? "" : std::string_view(condition->message);
  say_phase<Bytes>(step, kind, message);
  say_phase<MilliCpu>(step, kind, message);
}

void absorb_grant(Step& step, ContainerResize& container, const EngineWord& word) {
  if (word.to <= ground(step, container)) return;  // what the spec allows anyway
  take_lease(step, container, word.to, lease_why(step, container), word.at);
  container.lease->withdrawing = step.yielding<Bytes>(container);
}

void absorb_shrink(Step& step, ContainerResize& container, const EngineWord& word) {
  if (container.lease) {
    const Bytes from = container.lease->limit;
    container.lease->limit = word.to;
    container.lease->written_at = word.at;
    if (word.to <= ground(step, container)) {
      container.lease.reset();
      step.say(ResizeEvent::Kind::kLeaseEnded, container, from, word.to);
    }
  }
  if (container.want && *container.want > word.to) container.want.reset();
}

// 1.33: what has been raised stays raised. Said once.
void note_no_decrease(Step& step) {
  constexpr int kMinorWithoutDecrease = 33;
  if (step.facts.api.ability.minor == kMinorWithoutDecrease) step.state.no_decrease = true;
  if (!step.state.no_decrease || step.state.no_decrease_said) return;
  for (const ContainerResize& container : step.state.containers) {
    const ContainerPolicy* policy = step.policy(container);
    if (policy == nullptr || spec_of<Bytes>(container) <= policy->floor) continue;
    step.state.no_decrease_said = true;
    step.say(ResizeEvent::Kind::kRefused, container, *container.spec, policy->floor,
             kube::to_string(kube::Resizability::kDecrease),
             kube::explain(kube::Resizability::kDecrease));
  }
}

}  // namespace

void absorb_pod(Step& step) {
  const kube::Pod& pod = *step.facts.pod;
  const bool stale = is_stale(step);
  const bool first = step.state.containers.empty();
  std::erase_if(step.state.containers,
                [&](const ContainerResize& each) { return step.in_pod(each) == nullptr; });
  // What the API server can do has changed: it is asked again.
  std::optional<Unsupported>& unsupported = step.state.unsupported;
  if (unsupported && unsupported->ability != step.facts.api.ability) unsupported.reset();
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
    container->cpu.resizable = kube::can_resize_cpu(pod, seen.name, step.facts.api.ability);
    if (stale) continue;
    absorb_spec(step, *container, seen.resources.limits.memory);
    absorb_spec(step, *container, seen.resources.limits.cpu);
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
  adopt_unknown<Bytes>(step);
  adopt_unknown<MilliCpu>(step);
  if (first) {
    adopt_pending<Bytes>(step);
    adopt_pending<MilliCpu>(step);
  }
  absorb_phase(step);
}

void absorb_words(Step& step) {
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
    if (step.yielding<Bytes>(*container)) continue;
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
