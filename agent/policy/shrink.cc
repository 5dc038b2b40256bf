// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/shrink.h"

#include <algorithm>

#include "agent/policy/memory.h"

namespace plimsoll::agent {
namespace {

// A smaller gain is not worth the writes: an API resize costs the kubelet two status updates.
constexpr double kWorthIt = 0.97;
// Each CPU charges 64 pages (256 KiB) ahead: a small program needs room for that.
constexpr Bytes kLeastSlack{512 * kKiB};
// The most that the backoff widens the margin to.
constexpr double kMostMargin = 0.25;
// A stream refills its cache within a tick. After this many probes that cost nothing, the limit
// goes down over the cache, and the kernel reclaims the rest as part of the write.
constexpr std::uint32_t kProbes = 2;
// A probe failed when of what it freed more than this share came back as refaults in one tick,
// and that is more than twice the tick before.
constexpr double kNeededShare = 0.10;
// A program that climbed over the window is left room for as many windows more.
constexpr std::uint64_t kClimbWindows = 4;
// The peak of the newest part of the window tells whether the load is over. It is worth waiting for
// the rest of the window then: one shrink to the new need instead of two.
constexpr int kNewestPart = 4;
// Two shrinks of one container are at least this part of its window apart.
constexpr int kBetweenPart = 2;
// A shrink comes one window after growth at the earliest: the second one shows that it holds.
constexpr int kCalmWindows = 2;
// Stall that forbids a shrink, as a share of the stall that is thrashing.
constexpr double kStallShare = 0.5;
// After announced work the window has this long to go.
constexpr Nanoseconds kAfterWork = std::chrono::seconds(2);
// Idle enough to be taken from: quiet for this part of its window.
constexpr int kIdlePart = 4;

struct Target {
  Bytes peak;
  Bytes limit;
};

Target target_of(const ContainerSnapshot& container, const MemoryPolicy& policy, MonotonicTime now,
                 const ContainerHistory& past) {
  const Nanoseconds wait = shrink_wait(policy, past);
  const Bytes peak = past.peaks.peak(now, wait);
  const double margin =
      std::min(std::max(policy.shrink_margin, kMostMargin), policy.shrink_margin * past.backoff);
  const Bytes slack = std::max(kLeastSlack, scaled_to_fit(peak, margin));
  const Bytes cache = scaled_to_fit(container.facts.reclaimable, past.cache_kept);
  const Bytes working = unreclaimable(container.facts);
  const Bytes climb = working - past.peaks.earliest(now, wait);
  const Bytes need = std::max(peak, working + Bytes{climb.value * kClimbWindows});
  const Bytes least = std::max(container.bounds.floor, container.announced.value_or(Bytes{}));
  return {peak, std::max(least, round_up(need + slack + cache, policy.round_to))};
}

bool stalled(const ContainerSnapshot& container, const MemoryPolicy& policy) {
  return container.stall_ratio.value_or(0) > policy.thrash_stall * kStallShare;
}

bool refaulted(const ContainerSnapshot& container, const Probe& probe, Bytes target) {
  const std::uint64_t refaults = container.refaults.value_or(0);
  const Bytes freed = probe.usage_before - target;
  return bytes_of_pages(refaults) > scaled_to_fit(freed, kNeededShare) &&
         refaults / 2 > probe.refaults_before;
}

// The window's peak is from a load that seems to be over.
bool is_falling(const MemoryPolicy& policy, MonotonicTime now, const ContainerHistory& past,
                Bytes peak) {
  const Bytes newest = past.peaks.peak(now, shrink_wait(policy, past) / kNewestPart);
  return newest < scaled_to_fit(peak, policy.shrink_below);
}

// The limit would not be met by growth at once.
bool would_hold(const ContainerSnapshot& container, const MemoryPolicy& policy, Target target) {
  MemoryFacts after = container.facts;
  after.limit = target.limit;
  const Armed armed{.bounds = container.bounds, .settled = target.peak};
  return unreclaimable(after) <= target.limit && !foreseen(policy, armed, after);
}

void wait_longer(const MemoryPolicy& policy, MonotonicTime now, ContainerHistory& past) {
  past.backoff = std::min(past.backoff * 2, policy.shrink_backoff_max);
  past.calm_since = now;
}

void restart(MonotonicTime now, ContainerHistory& past) {
  past.probe.reset();
  past.peaks.clear();
  past.quiet_since = now;
}

void fail_probe(const MemoryPolicy& policy, MonotonicTime now, ContainerHistory& past) {
  wait_longer(policy, now, past);
  past.cache_kept = (past.cache_kept + 1) / 2;
  restart(now, past);
}

Action make(const ContainerSnapshot& container, ActionKind kind, Bytes to,
            Reason reason = Reason::kLeaseEnded) {
  return {.kind = kind,
          .slot = container.slot,
          .id = container.id,
          .from = kind == ActionKind::kReclaim ? container.facts.usage : container.facts.limit,
          .to = to,
          .reason = reason};
}

Action probe(const ContainerSnapshot& container, Target target, const ContainerHistory& past,
             std::uint32_t tries, std::optional<Probe>& out) {
  out = Probe{container.facts.usage, past.refaults, tries};
  // A little below the target, so that what comes back within the tick does not hide success.
  const Bytes aim = target.limit - std::max(kLeastSlack, Bytes{target.limit.value / 32});
  return make(container, ActionKind::kReclaim, std::max(aim, unreclaimable(container.facts)));
}

void settle(MonotonicTime now, Bytes peak, ContainerHistory& past) {
  // The window goes on: when an earlier peak leaves it, the limit follows in time.
  past.shrunk_at = now;
  past.calm_since = now;
  past.settled = peak;
  past.cache_kept = past.cache_kept < 0.1 ? 0 : past.cache_kept / 2;
}

Lowering commit(const ContainerSnapshot& container, Target target, MonotonicTime now,
                ContainerHistory& past, Reason reason = Reason::kLeaseEnded) {
  Lowering result;
  const Bytes limit = container.facts.limit;
  const Bytes direct = std::max(target.limit, direct_floor(container.bounds));
  if (direct == target.limit || direct <= scaled_to_fit(limit, kWorthIt)) {
    settle(now, target.peak, past);
    result.action = make(container, ActionKind::kShrink, direct, reason);
  }
  if (direct > target.limit) {
    past.wished = Wished{target.limit, target.peak, now};
    result.wish = make(container, ActionKind::kShrink, target.limit, reason);
  }
  return result;
}

// One shrink, done or wished, is worth a while of rest.
bool is_resting(MonotonicTime now, Nanoseconds wait, const ContainerHistory& past) {
  const auto recent = [&](MonotonicTime at) { return now - at < wait / kBetweenPart; };
  return (past.shrunk_at && recent(*past.shrunk_at)) || (past.wished && recent(past.wished->at));
}

}  // namespace

Nanoseconds shrink_wait(const MemoryPolicy& policy, const ContainerHistory& past) {
  return Nanoseconds{
      static_cast<std::int64_t>(static_cast<double>(policy.shrink_after.count()) * past.backoff)};
}

void restart_after_growth(const MemoryPolicy& policy, MonotonicTime now, ContainerHistory& past) {
  if (past.shrunk_at && now - *past.shrunk_at < shrink_wait(policy, past)) {
    wait_longer(policy, now, past);
  }
  past.shrunk_at.reset();
  past.wished.reset();
  past.calm_since = now;
  past.settled = {};
  restart(now, past);
}

void restart_after_work(const MemoryPolicy& policy, MonotonicTime now, ContainerHistory& past) {
  restart(now, past);
  past.quiet_since = now - std::max(Nanoseconds{}, shrink_wait(policy, past) - kAfterWork);
}

void calm_down(const MemoryPolicy& policy, MonotonicTime now, Bytes limit, ContainerHistory& past) {
  if (past.backoff <= 1) return;
  const Nanoseconds wait = shrink_wait(policy, past);
  const Bytes swing = past.peaks.peak(now, wait) - past.peaks.lowest(now, wait);
  if (swing > scaled_to_fit(limit, 1 - policy.shrink_below)) past.calm_since = now;
  if (now - past.calm_since < kCalmWindows * wait) return;
  past.backoff = std::max(1.0, past.backoff / 2);
  past.calm_since = now;
}

void note_shrink(MonotonicTime now, Bytes limit, ContainerHistory& past) {
  if (!past.wished || limit >= past.limit) return;
  settle(now, past.wished->peak, past);
  past.wished.reset();
}

std::optional<Bytes> idle_limit(const ContainerSnapshot& container, const MemoryPolicy& policy,
                                MonotonicTime now, bool lost, const ContainerHistory& past) {
  const Bytes limit = container.facts.limit;
  if (lost || is_unlimited(limit) || limit <= container.bounds.floor) return std::nullopt;
  const Nanoseconds wait = shrink_wait(policy, past);
  if (now - past.quiet_since < wait / kIdlePart || is_resting(now, wait, past)) return std::nullopt;
  if (stalled(container, policy)) return std::nullopt;
  Target target = target_of(container, policy, now, past);
  target.limit =
      std::max(target.limit, round_up(container.facts.usage + kLeastSlack, policy.round_to));
  if (target.limit > scaled_to_fit(limit, kWorthIt)) return std::nullopt;
  if (!would_hold(container, policy, target)) return std::nullopt;
  MemoryFacts after = container.facts;
  after.limit = target.limit;
  if (at_limit_within(after, wait)) return std::nullopt;
  return target.limit;
}

Lowering lower_idle(const ContainerSnapshot& container, const MemoryPolicy& policy,
                    MonotonicTime now, Bytes to, ContainerHistory& past) {
  const Bytes peak = past.peaks.peak(now, shrink_wait(policy, past));
  return commit(container, {peak, to}, now, past, Reason::kTakenBack);
}

Lowering shrink(const ContainerSnapshot& container, const MemoryPolicy& policy, MonotonicTime now,
                bool lost, ContainerHistory& past) {
  const std::optional<Probe> pending = past.probe;
  past.probe.reset();
  const Bytes limit = container.facts.limit;
  if (lost || is_unlimited(limit) || limit <= container.bounds.floor) return {};
  const Nanoseconds wait = shrink_wait(policy, past);
  if (now - past.quiet_since < wait) return {};
  if (is_resting(now, wait, past)) return {};

  Target target = target_of(container, policy, now, past);
  if (target.peak >= scaled_to_fit(limit, policy.shrink_below)) return {};
  if (is_falling(policy, now, past, target.peak)) return {};
  // Without memory.reclaim nothing can be tried first: only what not even the cache uses goes.
  if (!container.can_reclaim) {
    target.limit =
        std::max(target.limit, round_up(container.facts.usage + kLeastSlack, policy.round_to));
  }
  if (target.limit > scaled_to_fit(limit, kWorthIt)) return {};
  if (!would_hold(container, policy, target)) return {};

  if (pending && (stalled(container, policy) || refaulted(container, *pending, target.limit))) {
    fail_probe(policy, now, past);
    return {};
  }
  if (stalled(container, policy)) return {};
  if (container.facts.usage <= target.limit) return commit(container, target, now, past);
  const std::uint32_t tries = pending ? pending->tries : 0;
  if (tries < kProbes) return {probe(container, target, past, tries + 1, past.probe), {}};
  if (container.refaults) return commit(container, target, now, past);
  restart(now, past);  // nobody can say what the probes cost: no shrink over a cache that is in use
  return {};
}

}  // namespace plimsoll::agent
