// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/seen.h"

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
inline constexpr kube::OwnedLimits kOwnedLimits =
    kIsMemory<Amount> ? &kube::ResizedBy::memory_limits : &kube::ResizedBy::cpu_limits;

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
  const bool is_another = !container.container_id.empty();
  container.container_id = id;
  container.memory.level_known = false;
  if (!is_another) return;
  // A new cgroup, with the limits that the kubelet gave it.
  const Lane<Bytes> memory(step, container);
  if (memory.own.lease) end_lease(memory, memory.spec(), "container_restarted");
  memory.own.want.reset();
  container.cpu.level.reset();
  container.cpu.want.reset();
  container.cpu.starting = false;
}

// Somebody else's limit is what is declared from now on, and protection goes on from there. Only
// where the same actor takes back what we had raised, again, is that limit fought over.
template <class Amount>
void step_back(const Lane<Amount>& lane, Amount from, Amount to) {
  Step& step = lane.step;
  auto& own = lane.own;
  const auto owners =
      kube::limit_owners(*step.facts.pod, lane.container.name, kOwnedLimits<Amount>);
  const std::string who = owners.empty() ? "somebody else" : owners.front()->manager;
  std::erase_if(step.state.unknown, [&](const kube::ResizeChange& each) {
    return each.container == lane.container.name && of<Amount>(each.limits);
  });
  const std::optional<Range<Amount>> range = lane.range();
  const bool undone = range && from > range->floor && to < from;
  if (undone) own.undone = {who, own.undone.by == who ? own.undone.times + 1 : 1};
  // That it might have what was declared before says nothing about more than is declared now.
  Amount& upto = own.allowance.upto;
  if (upto <= from && (!range || from <= range->floor)) upto = std::min(upto, to);
  // How far it may go is asked anew; what was allowed stands until then.
  own.allowance.asked.reset();
  own.allowance.asking.reset();
  own.allowance.refused.reset();
  own.floor = to;
  step.out.redeclares = true;
  if constexpr (!kIsMemory<Amount>) {
    own.level.reset();  // the kubelet writes theirs
    own.starting = false;
  }
  constexpr int kFight = 2;
  const bool yields =
      step.config.coexist == Coexist::kYield && undone && own.undone.times >= kFight;
  if (!lane.yielding()) {
    lane.say(ResizeEvent::Kind::kSteppedBack, from, to,
             to_string(yields ? Coexist::kYield : Coexist::kShare), "resized by " + who);
  }
  if (yields || (own.want && *own.want <= to)) own.want.reset();
  if (!yields) return;
  own.yield_until = step.now + step.config.yield_for;
  if constexpr (kIsMemory<Amount>) {
    if (own.lease) own.lease->withdrawing = true;
  }
}

template <class Amount>
void absorb_spec(const Lane<Amount>& lane, const std::optional<Amount>& limit) {
  Step& step = lane.step;
  auto& own = lane.own;
  const std::string& name = lane.container.name;
  if (!limit || own.spec == limit) return;
  const std::optional<Amount> before = std::exchange(own.spec, limit);
  if constexpr (!kIsMemory<Amount>) own.since = step.now;
  if (own.want == limit) own.want.reset();
  if (!before) return;
  // A request that was stored before does not hold any more.
  std::optional<ResizeUnverified>& open = of<Amount>(step.state).unverified;
  if (open) {
    std::erase_if(open->changes, [&](const kube::ResizeChange& each) {
      return each.container == name && of<Amount>(each.limits) != limit;
    });
    if (open->changes.empty()) open.reset();
  }
  if (is_ours(step, name, *limit)) return;
  // A CPU limit that we leave alone may be resized by anybody.
  if (!kIsMemory<Amount> && !lane.range()) return;
  step_back(lane, *before, *limit);
}

// The watch shows what a PATCH without an answer had asked for.
template <class Amount>
void adopt_unknown(Step& step) {
  std::vector<kube::ResizeChange> changes;
  for (const kube::ResizeChange& change : step.state.unknown) {
    const std::optional<Amount>& to = of<Amount>(change.limits);
    if (!to) continue;
    const ContainerResize* container = step.find(change.container);
    if (container == nullptr || of<Amount>(*container).spec != to) return;
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
    auto& own = of<Amount>(container);
    const std::optional<Amount> now = step.in_force<Amount>(container);
    if (!own.spec || !now || now == own.spec) continue;
    if (limit_set_by<Amount>(step, container.name) != kube::SetBy::kUs) continue;
    own.asked = {.from = *now, .to = *own.spec, .before = *now};
    const kube::Container& seen = *step.in_pod(container);
    kube::ResizeChange change{.container = container.name, .kind = seen.kind};
    of<Amount>(change.limits) = own.spec;
    const std::optional<Amount>& request = of<Amount>(seen.resources.requests);
    if (request != of<Amount>(seen.status->resources->requests)) {
      of<Amount>(change.requests) = request;
    }
    pending.changes.push_back(std::move(change));
  }
  if (!pending.changes.empty()) of<Amount>(step.state).unverified = std::move(pending);
}

template <class Amount>
void say_phase(Step& step, ResizeEvent::Kind kind, std::string_view message) {
  const std::optional<ResizeUnverified>& open = of<Amount>(step.state).unverified;
  if (!open) return;
  for_each_limit<Amount>(step, open->changes,
                         [&](const auto&, const Lane<Amount>& lane, Amount to) {
                           lane.say(kind, lane.own.asked ? lane.own.asked->before : to, to,
                                    kube::to_string(step.state.phase), message);
                         });
}

void absorb_phase(Step& step) {
  const kube::ResizePhase phase = kube::resize_phase(*step.facts.pod);
  if (phase == step.state.phase) return;
  step.state.phase = phase;
  step.state.phase_since = step.now;
  if (!step.refused_by_node()) return;
  const bool failed = phase == kube::ResizePhase::kError;
  const kube::ResizeStatus& status = step.facts.pod->resize;
  const auto& condition = failed ? status.in_progress : status.pending;
  const ResizeEvent::Kind kind = failed ? ResizeEvent::Kind::kFailed
                                 : phase == kube::ResizePhase::kDeferred
                                     ? ResizeEvent::Kind::kDeferred
                                     : ResizeEvent::Kind::kInfeasible;
  const std::string_view message = condition ? std::string_view(condition->message) : "";
  say_phase<Bytes>(step, kind, message);
  say_phase<MilliCpu>(step, kind, message);
}

void absorb_lowered(const Lane<Bytes>& lane, Bytes to, MonotonicTime at) {
  MemoryRequest& own = lane.own;
  if (own.lease) {
    const Bytes from = std::exchange(own.lease->limit, to);
    own.lease->written_at = at;
    if (to <= lane.step.ground(lane.container)) {
      own.lease.reset();
      lane.say(ResizeEvent::Kind::kLeaseEnded, from, to);
    }
  }
  if (own.want && *own.want > to) own.want.reset();
}

void absorb_word(const Lane<Bytes>& lane, const EngineWord& word, const MemoryChange& change) {
  MemoryRequest& own = lane.own;
  const Bytes to = change.to;
  own.reason = word.reason;
  own.layer = word.layer;
  own.rate_per_second = word.rate_per_second;
  if (word.kind == EngineWord::Kind::kShrink) return absorb_lowered(lane, to, word.at);
  // More than the spec allows anyway.
  if (word.kind == EngineWord::Kind::kGrant && to > lane.step.ground(lane.container)) {
    take_lease(lane, to, lease_why(lane), word.at);
    own.lease->withdrawing = lane.yielding();
  }
  if (lane.yielding()) return;
  if (to == *own.spec) {
    if (!own.lease) own.want.reset();
    return;
  }
  if (own.want == to) return;  // said before
  if (!own.want) own.want_since = word.at;
  own.last_word = word.at;
  own.want = to;
  own.want_from = change.from;
}

void set_level(CpuRequest& cpu, MilliCpu level, bool starting, MonotonicTime at) {
  const int before = cpu.side();
  cpu.level = level;
  starting = starting && cpu.leased();
  if (cpu.side() != before || cpu.starting != starting) cpu.since = at;
  cpu.starting = starting;
}

// A CPU limit of `to` could not be written when it was wished for, and can be now or soon.
bool write_is_coming(const Lane<MilliCpu>& lane, MilliCpu to) {
  if (!lane.range()) return false;
  const ApiStatus& api = lane.step.facts.api;
  const bool asked = lane.step.config.preflight && !lane.own.allowance.asked &&
                     lane.wants_dry_run() && api.may_ask && !api.away;
  const MilliCpu before = lane.own.bounds ? lane.own.bounds->direct_ceiling : MilliCpu{};
  return asked || (before < to && to <= lane.allowed().write);
}

void absorb_word(const Lane<MilliCpu>& lane, const EngineWord& word, const CpuChange& change) {
  CpuRequest& own = lane.own;
  const MilliCpu to = change.to;
  // It needs no request. What is not written all the same is wished for again.
  if (word.kind == EngineWord::Kind::kWish && write_is_coming(lane, to)) return lane.forget_wish();
  own.reason = word.reason;
  if (word.kind != EngineWord::Kind::kShrink && to > *own.spec) own.needed_at = lane.step.now;
  switch (word.kind) {
    case EngineWord::Kind::kGrant:
      set_level(own, to, word.reason == Reason::kStarting, word.at);
      if (own.want && *own.want <= std::max(to, *own.spec)) own.want.reset();
      return;
    case EngineWord::Kind::kShrink:
      set_level(own, to, own.starting && word.reason != Reason::kStarted, word.at);
      own.want.reset();
      return;
    case EngineWord::Kind::kWish:
      if (to == *own.spec) {
        own.want.reset();
      } else if (own.want != to) {
        if (!own.want) own.want_since = word.at;
        own.want = to;
      }
      return;
  }
}

// 1.33: what has been raised stays raised. Said once.
void note_no_decrease(Step& step) {
  constexpr int kMinorWithoutDecrease = 33;
  if (step.facts.api.ability.minor == kMinorWithoutDecrease) step.state.no_decrease = true;
  if (!step.state.no_decrease || step.state.no_decrease_said) return;
  for (ContainerResize& container : step.state.containers) {
    const Lane<Bytes> lane(step, container);
    if (lane.policy == nullptr || lane.spec() <= lane.policy->floor) continue;
    step.state.no_decrease_said = true;
    const kube::Resizability why = kube::Resizability::kDecrease;
    lane.say(ResizeEvent::Kind::kRefused, lane.spec(), lane.policy->floor, kube::to_string(why),
             kube::explain(why));
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
    container->memory.resizable = kube::can_resize_memory(pod, seen.name, step.facts.api.ability);
    if (seen.status && container->container_id != seen.status->id) {
      start_container(step, *container, seen.status->id);
    }
    container->cpu.resizable = kube::can_resize_cpu(pod, seen.name, step.facts.api.ability);
    if (stale) continue;
    absorb_spec(Lane<Bytes>(step, *container), seen.resources.limits.memory);
    absorb_spec(Lane<MilliCpu>(step, *container), seen.resources.limits.cpu);
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
    if (container == nullptr) continue;
    const auto absorb = [&]<class Amount>(const Change<Amount>& change) {
      const Lane<Amount> lane(step, *container);
      if (lane.own.spec) absorb_word(lane, word, change);
    };
    std::visit(absorb, word.change);
  }
}

}  // namespace plimsoll::agent
