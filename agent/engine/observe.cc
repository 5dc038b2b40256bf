// SPDX-License-Identifier: Apache-2.0
//
// The first arrow of a tick: the kernel's sweep and files as a Snapshot.
#include <algorithm>
#include <utility>

#include "agent/engine/tracked_cgroup.h"
#include "cgroup/meminfo.h"

namespace plimsoll::agent {

Snapshot Engine::observe(MonotonicTime now) {
  Snapshot snapshot{.now = now, .groups = group_limits_};
  if (const auto meminfo = cgroup::read_meminfo()) {
    snapshot.node = {.total = meminfo->total, .available = meminfo->available};
  }
  snapshot.node.allocatable = allocatable_;
  std::uint64_t lost = reaction_->reports_lost();
  if (programs_) {
    (void)programs_->sweep();
    lost += programs_->counters().events_dropped + programs_->malformed();
  }
  snapshot.lost_events = lost - lost_total_;
  lost_total_ = lost;
  for (Slot slot = 0; slot < tracked_.size(); ++slot) {
    Tracked* tracked = tracked_[slot].get();
    if (tracked == nullptr || tracked->leaving) continue;
    if (auto seen = observe_one(slot, *tracked, now)) {
      snapshot.containers.push_back(*seen);
    } else {
      tracked->gone = true;
      untrack(slot);
    }
  }
  if (cpu_) cpu_->observe(snapshot);
  return snapshot;
}

std::optional<ContainerSnapshot> Engine::observe_one(Slot slot, Tracked& tracked,
                                                     MonotonicTime now) {
  const std::optional<Limit> limit = tracked.limit_file.read();
  if (!limit) return std::nullopt;
  const ContainerSpec& spec = tracked.spec;
  if (tracked.wished <= Bytes{limit->bytes} || now - tracked.wished_at >= kWishLife) {
    tracked.wished = {};
  }
  ContainerSnapshot seen{.slot = slot,
                         .id = tracked.id,
                         .bounds = spec.bounds,
                         .facts = {.limit = {limit->bytes}},
                         .oom_kills = tracked.oom_kills,
                         .grants = std::exchange(tracked.grants, 0),
                         .can_reclaim = tracked.can_reclaim,
                         .parent = spec.parent,
                         .bridge_within = spec.bridge_within,
                         .look_ahead = spec.look_ahead,
                         .covers_children = spec.covers_children,
                         .group = spec.group,
                         .rank = spec.rank,
                         .wished = tracked.wished,
                         .starved = std::exchange(tracked.starved, {}),
                         .announced = tracked.announced};
  bool busy = seen.facts.limit > spec.bounds.floor || !programs_;
  if (programs_) {
    const bpf::MemorySample sample = programs_->read_sample(slot);
    seen.facts.usage = sample.usage;
    seen.facts.reclaimable = sample.reclaimable;
    seen.facts.rate_per_second = sample.rate_per_second;
    seen.peak = sample.peak;
    busy = busy || sample.reclaims != tracked.reclaims;
    tracked.reclaims = sample.reclaims;
  }
  if (busy) {
    observe_files(tracked, seen, now);
  } else {
    tracked.files_at.reset();
  }
  return seen;
}

// memory.stat, memory.pressure and memory.events cost the kernel a flush of all per-CPU counters,
// so they are read only for a cgroup that has grown or is at its limit.
void Engine::observe_files(Tracked& tracked, ContainerSnapshot& seen, MonotonicTime now) {
  const auto stat = tracked.group.read_memory_stat();
  const auto pressure = tracked.group.read_memory_pressure();
  if (const auto events = tracked.group.read_memory_events()) {
    seen.oom_kills = tracked.oom_kills = events->oom_kill;
  }
  if (!programs_) {
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

}  // namespace plimsoll::agent
