// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/cpu_request.h"

#include "agent/resize/bounds.h"
#include "agent/resize/outcome.h"

namespace plimsoll::agent {
namespace {

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

void absorb_word(const Step& step, CpuResize& cpu, const CpuWord& word) {
  cpu.reason = word.reason;
  if (word.kind != EngineWord::Kind::kShrink && word.to > *cpu.spec) cpu.needed_at = step.now;
  switch (word.kind) {
    case EngineWord::Kind::kGrant:
      set_level(cpu, word.to, word.reason == Reason::kStarting, word.at);
      if (cpu.want && *cpu.want <= std::max(word.to, *cpu.spec)) cpu.want.reset();
      return;
    case EngineWord::Kind::kShrink:
      set_level(cpu, word.to, cpu.starting && word.reason != Reason::kStarted, word.at);
      cpu.want.reset();
      return;
    case EngineWord::Kind::kWish:
      if (word.to == *cpu.spec) {
        cpu.want.reset();
      } else if (cpu.want != word.to) {
        if (!cpu.want) cpu.wished_at = word.at;
        cpu.want = word.to;
      }
      return;
  }
}

// What the API is to be asked for, and from when on.
struct Aim {
  MilliCpu to;
  MonotonicTime at;
};

std::optional<Aim> aim_of(const Step& step, const ContainerResize& container) {
  const std::optional<Range<MilliCpu>> range = range_of<MilliCpu>(step, container);
  if (!range || !through_api<MilliCpu>(step, container)) return std::nullopt;
  if (step.yielding<MilliCpu>(container)) return std::nullopt;
  const CpuResize& cpu = container.cpu;
  const MilliCpu spec = *cpu.spec;
  const auto within = [&](MilliCpu limit) {
    const MilliCpu to = std::clamp(limit, range->floor, range->most);
    return to > spec ? std::min(to, allowed<MilliCpu>(step, container).ask) : to;
  };
  const bool has_started = cpu.reason == Reason::kStarted;
  if (range->most == range->floor) {  // it leaves: whatever stands in the cgroup
    if (spec <= range->floor) return std::nullopt;
    const MonotonicTime at = std::max(cpu.since + step.config.cpu_ask_after, cpu.lower_retry_at);
    return Aim{range->floor, at};
  }
  const std::optional<MilliCpu> level = cpu.starting ? std::nullopt : cpu.level;
  Aim aim;
  if (cpu.want && *cpu.want > spec) {
    aim = {within(std::max(*cpu.want, level.value_or(spec))), step.now};
  } else if (cpu.want) {
    aim = {within(*cpu.want), has_started ? step.now : cpu.wished_at + step.config.cpu_ask_after};
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

// The changes that are due: raises before lowerings, so that a refusal says what was too much.
std::vector<kube::ResizeChange> due_changes(Step& step, const kube::Pod& known) {
  std::vector<kube::ResizeChange> raises;
  std::vector<kube::ResizeChange> lowerings;
  for (const ContainerResize& container : step.state.containers) {
    const CpuResize& cpu = container.cpu;
    const std::optional<Aim> aim = aim_of(step, container);
    if (!aim) {
      const bool differs = cpu.want || side_of(cpu) != 0;
      const auto& refused = cpu.allowance.refused;
      if (differs && refused && step.now < refused->retry_at) step.wake_at(refused->retry_at);
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

void keep_possible(Step& step, const kube::Pod& known, std::vector<kube::ResizeChange>& changes) {
  std::erase_if(changes, [&](const kube::ResizeChange& change) {
    const std::vector one{change};
    const kube::Resizability why = kube::can_apply(known, one, step.facts.api.ability);
    if (why != kube::Resizability::kYes) refuse_here<MilliCpu>(step, change, why);
    return why != kube::Resizability::kYes;
  });
  if (changes.empty()) return;
  if (kube::can_apply(known, changes, step.facts.api.ability) != kube::Resizability::kYes) {
    changes.resize(1);  // what is fine alone may not be together
  }
}

}  // namespace

void restart_cpu(CpuResize& cpu) {
  cpu.level.reset();
  cpu.want.reset();
  cpu.starting = false;
}

void absorb_cpu_words(Step& step) {
  for (const CpuWord& word : step.facts.cpu_words) {
    ContainerResize* container = step.find(word.container);
    if (container == nullptr || !container->cpu.spec) continue;
    if (word.kind == EngineWord::Kind::kWish && cpu_write_is_coming(step, *container, word.to)) {
      // It needs no request. What is not written all the same is wished for again.
      forget_wish<MilliCpu>(step, *container);
      continue;
    }
    absorb_word(step, container->cpu, word);
  }
}

// What the files show of a CPU limit says nothing: they have it from us.
void verify_cpu(Step& step) {
  const std::optional<ResizeUnverified>& open = step.state.cpu_unverified;
  if (!open) return;
  const bool done = std::all_of(
      open->changes.begin(), open->changes.end(), [&](const kube::ResizeChange& change) {
        const ContainerResize* container = step.find(change.container);
        const bool reported =
            container == nullptr || in_force<MilliCpu>(step, *container) == change.limits.cpu;
        return kubelet_says_done(step, open->generation, reported);
      });
  if (!done) return;
  const ResizeUnverified request = *std::exchange(step.state.cpu_unverified, std::nullopt);
  if (request.withdraws) return;  // said, and in force it is what was before
  for_each_limit<MilliCpu>(
      step, request.changes, [&](const auto&, ContainerResize& container, MilliCpu to) {
        note_in_force(step, container, to);
        const auto& asked = container.cpu.asked;
        step.say(ResizeEvent::Kind::kApplied, container, asked ? asked->before : to, to);
      });
}

void forget_cpu_wishes(Step& step) {
  for (ContainerResize& container : step.state.containers) {
    if (!container.cpu.want || aim_of(step, container)) continue;
    forget_wish<MilliCpu>(step, container);
  }
}

bool ask_cpu(Step& step, const kube::Pod& known) {
  if (withdraw<MilliCpu>(step, known)) return true;
  std::vector<kube::ResizeChange> changes = due_changes(step, known);
  if (changes.empty()) return false;
  if (step.now < step.state.cpu_attempts.retry_at) {
    step.wake_at(step.state.cpu_attempts.retry_at);
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
  send<MilliCpu>(step, std::move(changes), SendResize::Urgency::kNormal, false);
  return true;
}

}  // namespace plimsoll::agent
