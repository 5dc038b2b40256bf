// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/observe.h"

#include <algorithm>
#include <utility>

namespace plimsoll::agent {
namespace {

// memory.stat, memory.pressure and memory.events cost the kernel a flush of all per-CPU counters,
// so they are read only for a cgroup that has grown or is at its limit.
void observe_files(TrackedCgroup& tracked, bool has_programs, ContainerSnapshot& seen,
                   MonotonicTime now) {
  const auto stat = tracked.group.read_memory_stat();
  const auto pressure = tracked.group.read_memory_pressure();
  if (const auto events = tracked.group.read_memory_events()) {
    seen.oom_kills = tracked.oom_kills = events->oom_kill;
  }
  if (!has_programs) {
    if (const auto usage = tracked.usage_file.read()) seen.facts.usage = *usage;
    if (stat) seen.facts.reclaimable = stat->inactive_file + stat->active_file;
  }
  if (!stat) return;
  const std::uint64_t refaults =
      stat->workingset_refault_anon.value_or(0) + stat->workingset_refault_file.value_or(0);
  const std::uint64_t activations =
      stat->workingset_activate_anon.value_or(0) + stat->workingset_activate_file.value_or(0);
  const Nanoseconds stalled = pressure ? pressure->some.total : Nanoseconds{};
  if (tracked.files_at && now > *tracked.files_at) {
    const double elapsed = std::chrono::duration<double>(now - *tracked.files_at).count();
    seen.refaults = refaults - std::min(refaults, tracked.refaults);
    seen.activations = activations - std::min(activations, tracked.activations);
    if (pressure) {
      seen.stall_ratio = std::clamp(
          std::chrono::duration<double>(stalled - tracked.stalled).count() / elapsed, 0.0, 1.0);
    }
  }
  tracked.files_at = now;
  tracked.refaults = refaults;
  tracked.activations = activations;
  tracked.stalled = stalled;
}

}  // namespace

void take_spec(const TrackedCgroup& tracked, ContainerSnapshot& seen) {
  const ContainerSpec& spec = tracked.spec;
  seen.bounds = spec.bounds;
  seen.parent = spec.parent;
  seen.bridge_within = spec.bridge_within;
  seen.look_ahead = spec.look_ahead;
  seen.covers_children = spec.covers_children;
  seen.group = spec.group;
  seen.rank = spec.rank;
  // Its CPU limit may have been left alone since it was seen.
  if (tracked.cpu == nullptr || !spec.cpu) seen.cpu.reset();
  if (!seen.cpu) return;
  seen.cpu->bounds = spec.cpu->bounds;
  seen.cpu->promised = spec.cpu->promised;
}

std::optional<ContainerSnapshot> observe(TrackedCgroup& tracked, bpf::MemoryPrograms* programs,
                                         MonotonicTime now) {
  const std::optional<Limit> limit = tracked.limit_file.read();
  if (!limit) return std::nullopt;
  ContainerSnapshot seen{.slot = tracked.slot,
                         .id = tracked.id,
                         .facts = {.limit = {limit->bytes}},
                         .oom_kills = tracked.oom_kills,
                         .grants = std::exchange(tracked.memory.grants, 0),
                         .can_reclaim = tracked.can_reclaim,
                         .wished = tracked.memory.waits_for({limit->bytes}, now),
                         .starved = std::exchange(tracked.memory.starved, {}),
                         .announced = tracked.announced};
  take_spec(tracked, seen);
  bool busy = seen.facts.limit > seen.bounds.floor || programs == nullptr;
  if (programs != nullptr) {
    const bpf::MemorySample sample = programs->read_sample(tracked.slot);
    seen.facts.usage = sample.usage;
    seen.facts.reclaimable = sample.reclaimable;
    seen.facts.rate_per_second = sample.rate_per_second;
    seen.peak = sample.peak;
    busy = busy || sample.reclaims != tracked.reclaims;
    tracked.reclaims = sample.reclaims;
  }
  if (busy) {
    observe_files(tracked, programs != nullptr, seen, now);
  } else {
    tracked.files_at.reset();
  }
  return seen;
}

}  // namespace plimsoll::agent
