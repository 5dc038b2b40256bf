// SPDX-License-Identifier: Apache-2.0
//
// CPU limits: what the CPU thread of the engine has written is followed slowly, what it wishes for
// is asked at once, and memory always goes first.
#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {
namespace {

// How long a request waits before it looks again whether memory is quiet.
constexpr Nanoseconds kLookAgain = std::chrono::seconds(1);
// The same where only the files have not been read.
constexpr Nanoseconds kReadSoon = std::chrono::milliseconds(50);
// A lowering that stops above the floor waits so many times longer: the limit moves with the use,
// and each step would be a PATCH.
constexpr int kPartway = 4;

// -1: the level is below the spec, 1: above.
int side_of(const CpuResize& cpu) {
  if (!cpu.spec || !cpu.level || *cpu.level == *cpu.spec) return 0;
  return *cpu.level > *cpu.spec ? 1 : -1;
}

void set_level(CpuResize& cpu, MilliCpu level, bool starting, MonotonicTime at) {
  const int before = side_of(cpu);
  cpu.level = level;
  starting = starting && side_of(cpu) > 0;
  if (side_of(cpu) != before || cpu.starting != starting) cpu.since = at;
  cpu.starting = starting;
}

void absorb_word(const Stepping& step, CpuResize& cpu, const CpuWord& word) {
  cpu.reason = word.reason;
  if (word.kind != EngineWord::Kind::kShrink && word.to > *cpu.spec) cpu.needed_at = step.now;
  switch (word.kind) {
    case EngineWord::Kind::kGrant:
      set_level(cpu, word.to, word.reason == Reason::kStarting, word.at);
      if (cpu.wish && *cpu.wish <= std::max(word.to, *cpu.spec)) cpu.wish.reset();
      return;
    case EngineWord::Kind::kShrink:
      set_level(cpu, word.to, cpu.starting && word.reason != Reason::kStarted, word.at);
      cpu.wish.reset();
      return;
    case EngineWord::Kind::kWish:
      if (word.to == *cpu.spec) {
        cpu.wish.reset();
      } else if (cpu.wish != word.to) {
        if (!cpu.wish) cpu.wished_at = word.at;
        cpu.wish = word.to;
      }
      return;
  }
}

// What is allowed of a raise to `wanted`; what comes back is not above it, and not below the spec.
MilliCpu allowed_raise(const Stepping& step, const CpuResize& cpu, MilliCpu wanted) {
  MilliCpu to = wanted;
  if (cpu.refused && step.now < cpu.refused->retry_at) {
    // What the kubelet has not carried out for another reason may stand, but is not asked for.
    const bool has_room = cpu.refused->allowed < cpu.refused->value;
    to = has_room ? std::min(to, cpu.refused->allowed) : *cpu.spec;
  }
  const PreflightFor<MilliCpu>& known = cpu.preflight;
  if (known.refused && known.room_known && step.now < known.at + known.backoff) {
    to = std::min(to, known.allowed);
  }
  return std::max(to, *cpu.spec);
}

// What the API is to be asked for, and from when on.
struct Aim {
  MilliCpu to;
  MonotonicTime at;
};

std::optional<Aim> aim_of(const Stepping& step, const ContainerResize& container) {
  const std::optional<CpuRange> range = cpu_range(step, container);
  if (!range || !cpu_through_api(step, container) || step.yielding()) return std::nullopt;
  const CpuResize& cpu = container.cpu;
  const MilliCpu spec = *cpu.spec;
  const auto within = [&](MilliCpu limit) {
    const MilliCpu to = std::clamp(limit, range->floor, range->most);
    return to > spec ? allowed_raise(step, cpu, to) : to;
  };
  const bool has_started = cpu.reason == Reason::kStarted;
  const std::optional<MilliCpu> level = cpu.starting ? std::nullopt : cpu.level;
  Aim aim;
  if (cpu.wish && *cpu.wish > spec) {
    aim = {within(std::max(*cpu.wish, level.value_or(spec))), step.now};
  } else if (cpu.wish) {
    aim = {within(*cpu.wish), has_started ? step.now : cpu.wished_at + step.config.cpu_ask_after};
  } else if (level) {
    aim.to = within(*level);
    const bool partway = aim.to < spec && aim.to > range->floor;
    aim.at = cpu.since + step.config.cpu_ask_after * (partway ? kPartway : 1);
    if (aim.to < spec && has_started) aim.at = step.now;
  } else {
    return std::nullopt;
  }
  if (aim.to == spec) return std::nullopt;
  if (aim.to < spec) aim.at = std::max(aim.at, cpu.lower_retry_at);
  return aim;
}

bool pod_needs_memory(const Stepping& step) {
  return step.state.unverified ||
         std::any_of(step.state.containers.begin(), step.state.containers.end(),
                     [&](const ContainerResize& each) {
                       // Whether there is a lease is only known once the file has been read.
                       const bool unread =
                           each.spec && !each.level_known && step.reading(each) != nullptr;
                       return each.lease || each.want || unread;
                     });
}

// It might need memory while the kubelet is at it. A usage that is not known counts as near.
bool is_near_limit(const Stepping& step, const ContainerResize& container) {
  if (!container.spec) return false;  // without a limit
  const ContainerReading* seen = step.reading(container);
  return seen == nullptr || seen->memory.usage >= scaled(*container.spec, step.config.active_share);
}

// The changes that are due: raises before lowerings, so that a refusal says what was too much.
std::vector<kube::ResizeChange> due_changes(Stepping& step, const kube::Pod& known) {
  std::vector<kube::ResizeChange> raises;
  std::vector<kube::ResizeChange> lowerings;
  for (const ContainerResize& container : step.state.containers) {
    const CpuResize& cpu = container.cpu;
    const std::optional<Aim> aim = aim_of(step, container);
    if (!aim) {
      const bool differs = cpu.wish || side_of(cpu) != 0;
      if (differs && cpu.refused && step.now < cpu.refused->retry_at) {
        step.wake_at(cpu.refused->retry_at);
      }
      continue;
    }
    if (step.now < aim->at) {
      step.wake_at(aim->at);
      continue;
    }
    const auto change = kube::cpu_change(known, container.name, aim->to);
    if (change) (aim->to > *cpu.spec ? raises : lowerings).push_back(*change);
  }
  return raises.empty() ? lowerings : raises;
}

void keep_possible(Stepping& step, const kube::Pod& known,
                   std::vector<kube::ResizeChange>& changes) {
  std::erase_if(changes, [&](const kube::ResizeChange& change) {
    const std::vector one{change};
    const kube::Resizability why = kube::can_apply(known, one, step.facts.api.ability);
    if (why != kube::Resizability::kYes) refuse_cpu_here(step, change, why);
    return why != kube::Resizability::kYes;
  });
  if (changes.empty()) return;
  if (kube::can_apply(known, changes, step.facts.api.ability) != kube::Resizability::kYes) {
    changes.resize(1);  // what is fine alone may not be together
  }
}

}  // namespace

bool is_cpu(const kube::Resize& resize) {
  return !resize.changes.empty() && resize.changes.front().limits.cpu.has_value();
}

ResizeEvent cpu_answer(ResizeEvent::Kind kind, const ContainerResize& container, MilliCpu from,
                       MilliCpu to) {
  const CpuResize& cpu = container.cpu;
  ResizeEvent answer;
  answer.kind = kind;
  answer.reason = cpu.reason;
  answer.bridged = cpu.asked && cpu.asked->to == to && cpu.asked->written;
  answer.cpu = CpuAnswer{.from = from, .to = to};
  return answer;
}

bool memory_is_quiet(Stepping& step, const std::string& container) {
  if (!pod_needs_memory(step) && !is_near_limit(step, *step.find(container))) return true;
  step.wake_at(step.now + (step.facts.reading ? kLookAgain : kReadSoon));
  return false;
}

void absorb_cpu_spec(Stepping& step, ContainerResize& container, MilliCpu limit) {
  CpuResize& cpu = container.cpu;
  if (cpu.spec == limit) return;
  const std::optional<MilliCpu> before = cpu.spec;
  cpu.spec = limit;
  cpu.since = step.now;
  if (cpu.wish == limit) cpu.wish.reset();
  if (!before) return;
  const kube::SetBy by = limit_set_by(step, container.name, &kube::ResizedBy::cpu_limits);
  const bool asked = by != kube::SetBy::kAnother && cpu.asked && cpu.asked->to == limit;
  const bool ours = asked || by == kube::SetBy::kUs;
  // A request that was stored before does not hold any more.
  if (step.state.cpu_stored) {
    std::erase_if(step.state.cpu_stored->changes, [&](const kube::ResizeChange& each) {
      return each.container == container.name && each.limits.cpu != limit;
    });
    if (step.state.cpu_stored->changes.empty()) step.state.cpu_stored.reset();
  }
  if (asked && !step.state.in_flight) {  // it had no answer
    const kube::Container* seen = step.in_pod(container);
    kube::ResizeChange change{
        .container = container.name, .kind = seen->kind, .requests = {}, .limits = {}};
    change.limits.cpu = limit;
    note_cpu_stored(step, change, false);
  }
  const ContainerPolicy* policy = step.policy(container);
  if (ours || policy == nullptr || !policy->cpu) return;
  say_stepped_back(step, container, &kube::ResizedBy::cpu_limits,
                   cpu_answer(ResizeEvent::Kind::kSteppedBack, container, *before, limit));
  cpu.asked.reset();
  cpu.preflight = {};
  cpu.refused.reset();
  cpu.floor = limit;  // theirs is the declaration now
  cpu.level.reset();  // the kubelet writes theirs
  cpu.starting = false;
  if (step.config.coexist == Coexist::kYield) {
    give_way(step);
  } else if (cpu.wish && *cpu.wish <= limit) {
    cpu.wish.reset();
  }
}

void restart_cpu(CpuResize& cpu) {
  cpu.level.reset();
  cpu.wish.reset();
  cpu.starting = false;
}

void absorb_cpu_words(Stepping& step) {
  for (const CpuWord& word : step.facts.cpu_words) {
    ContainerResize* container = step.find(word.container);
    if (container == nullptr || !container->cpu.spec) continue;
    if (word.kind == EngineWord::Kind::kWish && cpu_write_is_coming(step, *container, word.to)) {
      // It needs no request. What is not written all the same is wished for again.
      step.act(ForgetCpuWish{container->name});
      continue;
    }
    absorb_word(step, container->cpu, word);
  }
}

void forget_cpu_wishes(Stepping& step) {
  for (ContainerResize& container : step.state.containers) {
    if (!container.cpu.wish || aim_of(step, container)) continue;
    container.cpu.wish.reset();
    step.act(ForgetCpuWish{container.name});
  }
}

bool ask_cpu(Stepping& step, const kube::Pod& known) {
  if (withdraw_cpu(step, known)) return true;
  std::vector<kube::ResizeChange> changes = due_changes(step, known);
  if (changes.empty()) return false;
  if (step.now < step.state.cpu_retry_at) {
    step.wake_at(step.state.cpu_retry_at);
    return false;
  }
  if (refused_by_node(step.state.phase)) {
    step.wake_at(step.now + kLookAgain);
    return false;
  }
  std::erase_if(changes,
                [&](const auto& change) { return !memory_is_quiet(step, change.container); });
  keep_possible(step, known, changes);
  if (changes.empty()) return false;
  send_cpu(step, std::move(changes), false);
  return true;
}

}  // namespace plimsoll::agent
