// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/cpu.h"

#include <algorithm>
#include <cmath>
#include <string>

namespace plimsoll::agent {
namespace {

constexpr std::uint64_t kMost = std::uint64_t{1} << 53;

// Threads that use all of their CPUs, and what the kernel's clock and ours differ by.
constexpr double kOfRunnable = 1.05;
// An average above this share of the limit leaves nothing to carry over.
constexpr double kBurstBelow = 0.9;

}  // namespace

MilliCpu scaled(MilliCpu cpus, double part) noexcept {
  const double value = std::round(static_cast<double>(cpus.value) * part);
  if (!(value > 0)) return {};
  return {value >= static_cast<double>(kMost) ? kMost : static_cast<std::uint64_t>(value)};
}

MilliCpu round_up(MilliCpu cpus, MilliCpu unit) noexcept {
  const std::uint64_t rest = cpus.value % unit.value;
  return rest == 0 ? cpus : cpus + MilliCpu{unit.value - rest};
}

Result<void> validate(const CpuPolicy& policy) {
  const auto require = [](bool holds, const char* what) -> Result<void> {
    if (holds) return {};
    return fail(Code::kMalformed, std::string("CPU policy: ") + what);
  };
  const auto share = [](double value) { return value >= 0 && value < 1; };
  return require(share(policy.throttle_target), "throttle_target is not in [0, 1)")
      .and_then([&] {
        return require(policy.window >= 1 && policy.window <= 64, "window is not in [1, 64]");
      })
      .and_then([&] { return require(share(policy.burst) || policy.burst == 1, "burst"); })
      .and_then([&] { return require(policy.margin >= 0, "margin is negative"); })
      .and_then([&] { return require(policy.step_ratio > 0, "step_ratio is not above 0"); })
      .and_then([&] { return require(policy.round_to > MilliCpu{}, "round_to is 0"); })
      .and_then([&] { return require(policy.hold > Nanoseconds{}, "hold is 0"); })
      .and_then(
          [&] { return require(policy.lower_below > 0 && policy.lower_below <= 1, "lower_below"); })
      .and_then([&] { return require(policy.hold_backoff_max >= 1, "hold_backoff_max"); })
      .and_then([&] { return require(policy.lower_after > Nanoseconds{}, "lower_after is 0"); })
      .and_then([&] { return require(share(policy.reserve), "reserve is not in [0, 1)"); })
      .and_then([&] { return require(policy.node_pressure > 0, "node_pressure is not above 0"); });
}

std::uint32_t tolerated_periods(const CpuPolicy& policy, bool at_once) noexcept {
  if (at_once) return 0;
  return static_cast<std::uint32_t>(policy.throttle_target * policy.window + 1e-9);
}

MilliCpu use_of(Nanoseconds used, Nanoseconds elapsed) noexcept {
  const double time = static_cast<double>(std::max(elapsed, kBandwidthSlice).count());
  return scaled(MilliCpu{1000}, static_cast<double>(used.count()) / time);
}

bool is_burst_next(const CpuArmed& armed, MilliCpu limit, microseconds burst) noexcept {
  return armed.burst > burst && armed.average < scaled(limit, kBurstBelow);
}

MilliCpu wanted_cpu(const CpuPolicy& policy, const CpuFacts& facts) noexcept {
  const MilliCpu step =
      std::max(scaled(facts.limit, 1 + policy.step_ratio), facts.limit + policy.round_to);
  MilliCpu wanted = std::max(step, scaled(facts.use, 1 + policy.margin));
  // A slice that a CPU was given is counted as used, so many CPUs with little to do look like many
  // that are full.
  if (facts.runnable > 0) {
    const MilliCpu most = scaled(MilliCpu{std::uint64_t{facts.runnable} * 1000}, kOfRunnable);
    wanted = std::min(wanted, std::max(most, step));
  }
  wanted = std::max(wanted, scaled(facts.remembered, 1 + policy.margin));
  return round_up(wanted, policy.round_to);
}

CpuVerdict grow_on_throttle(const CpuPolicy& policy, const CpuArmed& armed, const CpuFacts& facts,
                            MilliCpu budget) noexcept {
  if (armed.denial) return {.reason = *armed.denial};
  if (is_burst_next(armed, facts.limit, facts.burst)) {
    return {.burst = armed.burst, .reason = Reason::kBurst};
  }
  if (facts.limit >= armed.bounds.ceiling) return {.reason = Reason::kCeiling};
  const MilliCpu wanted = std::min(wanted_cpu(policy, facts), armed.bounds.ceiling);
  const MilliCpu given = std::min(wanted, facts.limit + (budget - armed.kept));
  // Less than a unit of limits is not worth a write, unless that is all there is to the ceiling.
  if (given < std::min(facts.limit + policy.round_to, armed.bounds.ceiling)) {
    return {.reason = budget > policy.round_to ? Reason::kPriority : Reason::kBudget};
  }
  CpuVerdict verdict{.reason = Reason::kThrottled};
  const MilliCpu direct = std::min(given, direct_ceiling(armed.bounds));
  if (direct > facts.limit) verdict.limit = direct;
  if (given > std::max(direct, facts.limit)) verdict.wish = given;
  return verdict;
}

namespace {

Nanoseconds time_of(const CpuPolicy& policy, const CpuHold& hold) noexcept {
  return Nanoseconds(
      static_cast<std::int64_t>(static_cast<double>(policy.hold.count()) * hold.backoff));
}

}  // namespace

MilliCpu remembered_of(const CpuPolicy& policy, const CpuHold& hold, MonotonicTime now) noexcept {
  if (now - hold.remembered_at >= policy.remember) return {};
  return hold.remembered.peak(now, policy.remember);
}

bool answers_at_once(const CpuPolicy& policy, const CpuArmed& armed, const CpuLimit& limit,
                     const CpuHold& hold, MonotonicTime now) noexcept {
  return is_burst_next(armed, limit.limit, limit.burst) ||
         (hold.burst_at && now - *hold.burst_at < policy.window * limit.period) ||
         remembered_of(policy, hold, now) > MilliCpu{};
}

void note_raise(const CpuPolicy& policy, MonotonicTime now, CpuHold& hold) noexcept {
  if (hold.lowered) {
    // Taken away too early, or seldom enough.
    const bool soon = now - hold.since < 2 * time_of(policy, hold);
    hold.backoff = soon ? std::min(hold.backoff * 2, policy.hold_backoff_max)
                        : std::max(hold.backoff / 2, 1.0);
    hold.peaks.clear();
  }
  hold.since = now;
  hold.lowered = false;
}

std::optional<MilliCpu> give_back_cpu(const CpuPolicy& policy, MilliCpu floor, MilliCpu limit,
                                      MilliCpu use, MonotonicTime now, CpuHold& hold) noexcept {
  const Nanoseconds time = time_of(policy, hold);
  hold.peaks.add(now, use, time);
  if (use > floor) {
    if (remembered_of(policy, hold, now) == MilliCpu{}) hold.remembered.clear();
    hold.remembered.add(now, use, policy.remember);
    hold.remembered_at = now;
  }
  if (limit <= floor || now - hold.since < time) return std::nullopt;
  const MilliCpu needed =
      round_up(scaled(hold.peaks.peak(now, time), 1 + policy.margin), policy.round_to);
  const MilliCpu to = std::max(floor, needed);
  if (to >= limit || (to > floor && to > scaled(limit, policy.lower_below))) return std::nullopt;
  hold.since = now;
  hold.lowered = true;
  return to;
}

}  // namespace plimsoll::agent
