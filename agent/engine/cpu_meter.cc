// SPDX-License-Identifier: Apache-2.0
//
// The CPU thread's look at what was raised, about once per CFS period: what is given back, and,
// without BPF, what is throttled.
#include <bit>
#include <utility>

#include "agent/engine/cpu_reaction.h"

namespace plimsoll::agent {
namespace {

// About a CFS period; what is looked at is the end of the last one.
constexpr Nanoseconds kLook = std::chrono::milliseconds(100);
// Without BPF: a cgroup that was not throttled for so many looks is left to the slow loop.
constexpr std::uint32_t kCalmLooks = 64;

}  // namespace

void CpuReaction::watch(CpuTracked& tracked, MonotonicTime time) noexcept {
  tracked.calm = 0;
  if (tracked.is_watched) return;
  tracked.is_watched = true;
  if (programs_ != nullptr) {
    tracked.seen = {.used = programs_->use(tracked.slot).used, .at = time};
  } else {
    tracked.stat = tracked.files.read_stat().value_or(cgroup::CpuStat{});
    tracked.seen = {.used = tracked.stat.usage, .at = time};
    tracked.history = 0;
  }
  if (watched_++ > 0) return;
  timer_.set(kLook, kLook);
}

void CpuReaction::look_at_all() noexcept {
  const MonotonicTime time = monotonic_now();
  for (CpuTracked* tracked : by_slot_) {
    if (tracked != nullptr && tracked->is_watched) look(*tracked, time);
  }
  if (watched_ == 0) timer_.set({});
}

void CpuReaction::look(CpuTracked& tracked, MonotonicTime time) noexcept {
  const std::optional<MilliCpu> use =
      programs_ != nullptr ? measure(tracked, time) : measure_by_file(tracked, time);
  if (!use) return;
  tracked.read_limit();
  const MilliCpu floor = std::max(floor_of(tracked), tracked.kept);
  if (const auto to = give_back_cpu(policy_, floor, tracked.limit(), *use, time, tracked.hold)) {
    lower(tracked, *to, Reason::kLeaseEnded, time);
  }
  const bool calm = programs_ != nullptr || tracked.calm >= kCalmLooks;
  if (tracked.limit() <= floor && calm) {
    tracked.is_watched = false;
    --watched_;
  }
}

// Nothing when no period has ended since the last look.
std::optional<MilliCpu> CpuReaction::measure(CpuTracked& tracked, MonotonicTime time) noexcept {
  const bpf::CpuUse use = programs_->use(tracked.slot);
  if (use.at > tracked.seen->at) {
    const bpf::CpuUse before = std::exchange(*tracked.seen, use);
    return use_of(use.used - before.used, use.at - before.at);
  }
  // Where nothing runs there are no periods.
  if (time - use.at < tracked.max.period + kLook / 2) return std::nullopt;
  tracked.seen = {.used = use.used, .at = time};
  return MilliCpu{};
}

// The use that there would have been without throttling, and the answer where there was some.
std::optional<MilliCpu> CpuReaction::measure_by_file(CpuTracked& tracked,
                                                     MonotonicTime time) noexcept {
  const auto stat = tracked.files.read_stat();
  if (!stat) return std::nullopt;
  const cgroup::CpuStat before = std::exchange(tracked.stat, *stat);
  const Nanoseconds elapsed = time - std::exchange(tracked.seen->at, time);
  const std::uint64_t periods = stat->periods.value_or(0) - before.periods.value_or(0);
  const std::uint64_t throttled = stat->throttled.value_or(0) - before.throttled.value_or(0);
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(periods, 64); ++i) {
    tracked.history = tracked.history << 1 | (i < throttled ? 1 : 0);
  }
  const Nanoseconds waited =
      stat->throttled_for.value_or(Nanoseconds{}) - before.throttled_for.value_or(Nanoseconds{});
  const MilliCpu wanted = use_of(stat->usage - before.usage + waited, elapsed);
  if (throttled == 0) {
    ++tracked.calm;
    return wanted;
  }
  tracked.calm = 0;
  tracked.read_limit();
  const std::uint64_t mask = ~std::uint64_t{0} >> (64 - policy_.window);
  const CpuFacts facts{
      .limit = tracked.limit(),
      .use = wanted,
      .remembered = remembered_of(policy_, tracked.hold, time),
      .burst = tracked.burst,
      .throttled = static_cast<std::uint32_t>(std::popcount(tracked.history & mask))};
  const bool at_once = answers_at_once(tracked, time);
  if (tracked.has_limit() && facts.throttled > tolerated_periods(policy_, at_once)) {
    on_throttle(tracked, facts, time);
  }
  return wanted;
}

}  // namespace plimsoll::agent
