// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/cpu_meter.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "agent/policy/cpu.h"

namespace plimsoll::agent {
namespace {

// About a CFS period; what is looked at is the end of the last one.
constexpr Nanoseconds kLook = std::chrono::milliseconds(100);
// Without BPF: a cgroup that was not throttled for so many looks is left to the slow loop.
constexpr std::uint32_t kCalmLooks = 64;

}  // namespace

CpuMeter::CpuMeter(const bpf::CpuPrograms* programs, Timer timer)
    : programs_(programs), timer_(std::move(timer)) {}

void CpuMeter::watch(CpuTracked& tracked, MonotonicTime now) noexcept {
  CpuMeasured& last = tracked.measured;
  last.calm = 0;
  if (last.is_watched) return;
  last.is_watched = true;
  if (programs_ != nullptr) {
    last.seen = {.used = programs_->use(tracked.slot).used, .at = now};
  } else {
    last.stat = tracked.files.read_stat().value_or(cgroup::CpuStat{});
    last.seen = {.used = last.stat.usage, .at = now};
    last.history = 0;
  }
  if (watched_++ == 0) timer_.set(kLook, kLook);
}

void CpuMeter::leave(CpuTracked& tracked) noexcept {
  if (!std::exchange(tracked.measured.is_watched, false)) return;
  if (--watched_ == 0) timer_.set({});
}

bool CpuMeter::is_calm(const CpuTracked& tracked) const noexcept {
  return programs_ != nullptr || tracked.measured.calm >= kCalmLooks;
}

std::optional<CpuMeter::Use> CpuMeter::measure(CpuTracked& tracked, std::uint32_t window,
                                               MonotonicTime now) noexcept {
  if (programs_ == nullptr) return measure_by_file(tracked, window, now);
  const bpf::CpuUse use = programs_->use(tracked.slot);
  bpf::CpuUse& last = *tracked.measured.seen;
  if (use.at > last.at) {
    const bpf::CpuUse before = std::exchange(last, use);
    return Use{.use = use_of(use.used - before.used, use.at - before.at), .throttled = {}};
  }
  // Where nothing runs there are no periods.
  if (now - use.at < tracked.max.period + kLook / 2) return std::nullopt;
  last = {.used = use.used, .at = now};
  return Use{};
}

std::optional<CpuMeter::Use> CpuMeter::measure_by_file(CpuTracked& tracked, std::uint32_t window,
                                                       MonotonicTime now) noexcept {
  CpuMeasured& last = tracked.measured;
  const auto stat = tracked.files.read_stat();
  if (!stat) return std::nullopt;
  const cgroup::CpuStat before = std::exchange(last.stat, *stat);
  const Nanoseconds elapsed = now - std::exchange(last.seen->at, now);
  const std::uint64_t periods = stat->periods.value_or(0) - before.periods.value_or(0);
  const std::uint64_t throttled = stat->throttled.value_or(0) - before.throttled.value_or(0);
  for (std::uint64_t i = 0; i < std::min<std::uint64_t>(periods, 64); ++i) {
    last.history = last.history << 1 | (i < throttled ? 1 : 0);
  }
  const Nanoseconds waited =
      stat->throttled_for.value_or(Nanoseconds{}) - before.throttled_for.value_or(Nanoseconds{});
  Use use{.use = use_of(stat->usage - before.usage + waited, elapsed), .throttled = {}};
  ++last.calm;
  if (throttled > 0) {
    last.calm = 0;
    const std::uint64_t mask = ~std::uint64_t{0} >> (64 - window);
    use.throttled = static_cast<std::uint32_t>(std::popcount(last.history & mask));
  }
  return use;
}

}  // namespace plimsoll::agent
