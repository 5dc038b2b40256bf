// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/memory.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

namespace plimsoll::agent {
namespace {

// At the limit with working memory below the one share and file pages above the other, reclaim
// that freed nothing was unlucky (pages under writeback, isolated by another reclaimer): cache
// fills the limit. The kernel retries 16 times before the door, and the door is always answered,
// so a wrong "only cache" costs milliseconds, a wrong grant would feed every file copy.
constexpr double kMostlyWorking = 0.60;
constexpr double kPlentyReclaimable = 0.25;

// An event that finds this much room, as a share of the step, is older than the last grant.
constexpr std::uint64_t kAmpleParts = 4;

// Rates are measured over fractions of a millisecond, where every start of a program looks like a
// burst to its limit. Below this share of the limit the later layers still have time enough: a
// program that gains 5 GB/s needs 6 ms for the other half of 64 MiB, an answer takes 50 us.
constexpr double kForeseenFrom = 0.50;

double seconds(Nanoseconds duration) { return std::chrono::duration<double>(duration).count(); }

bool over(Bytes part, double share, Bytes whole) {
  return static_cast<double>(part.value) > share * static_cast<double>(whole.value);
}

bool only_cache(const MemoryFacts& facts) {
  return !over(unreclaimable(facts), kMostlyWorking, facts.limit) &&
         over(facts.reclaimable, kPlentyReclaimable, facts.limit);
}

// Nobody is at the limit yet: there may be time for whoever applies a wish.
bool is_early(Reason reason) {
  return reason == Reason::kTimeToLimit || reason == Reason::kWatermark ||
         reason == Reason::kThrashing || reason == Reason::kAnnounced;
}

// Which part of a grant is written and which is wished.
Verdict divide(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts,
               Bytes target, Reason reason) {
  if (armed.bridge_within && is_early(reason) && !at_limit_within(facts, *armed.bridge_within)) {
    return {std::nullopt, reason, target};
  }
  const Bytes direct = direct_ceiling(armed.bounds);
  if (direct >= target) return {target, reason, std::nullopt};
  // Less than the unit of limits is gone before anybody has applied the rest.
  if (direct < facts.limit + policy.round_to) return {std::nullopt, reason, target};
  return {direct, reason, target};
}

}  // namespace

Result<void> validate(const MemoryPolicy& policy) {
  const auto share = [](double value) { return value > 0 && value < 1; };
  const auto check = [](bool good, std::string_view member,
                        std::string_view allowed) -> Result<void> {
    if (good) return {};
    return fail(Code::kMalformed, std::string(member) + " must be " + std::string(allowed));
  };
  constexpr std::string_view kShare = "above 0 and below 1";
  constexpr std::string_view kPositive = "above 0";
  const Result<void> checks[] = {
      check(share(policy.watermark), "watermark", kShare),
      check(policy.horizon > Nanoseconds{}, "horizon", kPositive),
      check(policy.look_ahead > Nanoseconds{}, "look_ahead", kPositive),
      check(policy.step > Bytes{}, "step", kPositive),
      check(policy.step_ratio >= 0 && std::isfinite(policy.step_ratio), "step_ratio", "0 or more"),
      check(policy.step_ratio_max >= 0 && std::isfinite(policy.step_ratio_max), "step_ratio_max",
            "0 or more"),
      check(policy.round_to > Bytes{}, "round_to", kPositive),
      check(policy.shrink_after > Nanoseconds{}, "shrink_after", kPositive),
      check(share(policy.shrink_below), "shrink_below", kShare),
      check(policy.shrink_margin >= 0 && policy.shrink_margin <= 1, "shrink_margin", "0 to 1"),
      check(policy.shrink_backoff_max >= 1 && policy.shrink_backoff_max <= 1024,
            "shrink_backoff_max", "1 to 1024"),
      check(policy.leak_grants > 0, "leak_grants", kPositive),
      check(policy.leak_window > Nanoseconds{}, "leak_window", kPositive),
      check(share(policy.leak_dip), "leak_dip", kShare),
      check(share(policy.thrash_stall), "thrash_stall", kShare),
  };
  for (const Result<void>& each : checks) {
    if (!each) return each;
  }
  return {};
}

Bytes scaled_to_fit(Bytes whole, double part) noexcept {
  const double product = static_cast<double>(whole.value) * part;
  if (!(product > 0)) return {};
  constexpr double kTop = 18446744073709551616.0;  // 2^64
  if (product >= kTop) return {std::numeric_limits<std::uint64_t>::max()};
  return {static_cast<std::uint64_t>(product)};
}

Bytes watermark_of(const MemoryPolicy& policy, const Armed& armed, Bytes limit) noexcept {
  const Bytes share = scaled_to_fit(limit, policy.watermark);
  if (armed.settled == Bytes{}) return share;
  const Bytes room = limit - armed.settled;
  return std::min(limit, std::max(share, armed.settled + Bytes{room.value / 2}));
}

bool at_limit_within(const MemoryFacts& facts, Nanoseconds horizon) noexcept {
  if (facts.rate_per_second == Bytes{}) return false;
  const Bytes headroom = facts.limit - unreclaimable(facts);
  return static_cast<double>(headroom.value) <
         static_cast<double>(facts.rate_per_second.value) * seconds(horizon);
}

std::optional<Reason> foreseen(const MemoryPolicy& policy, const Armed& armed,
                               const MemoryFacts& facts) noexcept {
  const bool half = !over(facts.limit, 1 / kForeseenFrom, unreclaimable(facts));
  if (half && at_limit_within(facts, policy.horizon)) return Reason::kTimeToLimit;
  const bool rising = facts.rate_per_second > Bytes{};
  if (rising && unreclaimable(facts) > watermark_of(policy, armed, facts.limit)) {
    return Reason::kWatermark;
  }
  return std::nullopt;
}

std::optional<Reason> shortage(const MemoryPolicy& policy, const Armed& armed,
                               const Budgets& budgets) noexcept {
  const auto spent = [&](Bytes left) { return left == Bytes{} || left < policy.round_to; };
  if (spent(budgets.group)) return Reason::kGroupBudget;
  if (spent(budgets.node)) return Reason::kBudget;
  if (spent(budgets.group - armed.kept_in_group)) return Reason::kPriority;
  if (spent(budgets.node - armed.kept)) return Reason::kPriority;
  return std::nullopt;
}

Verdict grant(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts, Layer layer,
              const Budgets& budgets, Reason reason) noexcept {
  return grant_up_to(policy, armed, facts, wanted(policy, armed, facts, layer), budgets, reason);
}

Verdict grant_up_to(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts,
                    Bytes limit, const Budgets& budgets, Reason reason) noexcept {
  const auto no = [](Reason why) { return Verdict{std::nullopt, why, std::nullopt}; };
  if (armed.denial) return no(*armed.denial);
  if (is_unlimited(facts.limit)) return no(Reason::kEnoughHeadroom);
  if (facts.limit >= armed.bounds.ceiling) return no(Reason::kCeiling);
  Bytes target = std::min(limit, armed.bounds.ceiling);
  if (target <= facts.limit) return no(Reason::kEnoughHeadroom);
  if (const auto short_of = shortage(policy, armed, budgets)) return no(*short_of);
  const Bytes budget = std::min(budgets.node - armed.kept, budgets.group - armed.kept_in_group);

  if (target - facts.limit > budget) target = round_down(facts.limit + budget, policy.round_to);
  return divide(policy, armed, facts, target, reason);
}

Bytes wanted(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts,
             Layer layer) noexcept {
  const bool door = layer == Layer::kAtTheDoor;
  Bytes step = std::max(policy.step, scaled_to_fit(facts.limit, policy.step_ratio));
  if (door) step += step;
  // Usage above the limit happens (charges that must not fail, a limit lowered by somebody else):
  // the step counts from what is really there.
  const Bytes working = unreclaimable(facts);
  const Bytes base = std::max(facts.limit, door ? facts.usage : working);
  const Nanoseconds look_ahead = armed.look_ahead.value_or(policy.look_ahead);
  const Bytes growth = std::min(scaled_to_fit(facts.rate_per_second, seconds(look_ahead)),
                                scaled_to_fit(facts.limit, policy.step_ratio_max));

  const Bytes target = round_up(std::max(working + growth, base + step), policy.round_to);
  return std::min(target, armed.bounds.ceiling);
}

Verdict grow_on_event(const MemoryPolicy& policy, const Armed& armed, const MemoryFacts& facts,
                      Layer layer, const Budgets& budgets) noexcept {
  const auto no = [](Reason reason) { return Verdict{std::nullopt, reason, std::nullopt}; };
  if (armed.denial) return no(*armed.denial);
  if (is_unlimited(facts.limit)) return no(Reason::kEnoughHeadroom);
  if (facts.limit >= armed.bounds.ceiling) return no(Reason::kCeiling);

  if (layer == Layer::kPredicted || layer == Layer::kSlowLoop) {
    const std::optional<Reason> need = foreseen(policy, armed, facts);
    if (need) return grant(policy, armed, facts, layer, budgets, *need);
    const Bytes mark = watermark_of(policy, armed, facts.limit);
    const bool cache = facts.usage > mark && unreclaimable(facts) <= mark;
    return no(cache ? Reason::kOnlyCache : Reason::kEnoughHeadroom);
  }

  const Bytes ample{policy.step.value / kAmpleParts};
  if (facts.usage + ample <= facts.limit) return no(Reason::kAlreadyGrown);
  if (layer == Layer::kAtTheDoor) {
    return grant(policy, armed, facts, layer, budgets, Reason::kOomDoor);
  }
  if (only_cache(facts)) {
    const std::optional<Reason> need = foreseen(policy, armed, facts);
    if (!need) return no(Reason::kOnlyCache);
    return grant(policy, armed, facts, layer, budgets, *need);
  }
  return grant(policy, armed, facts, layer, budgets, Reason::kReclaimFailing);
}

std::string numbers_of(const MemoryFacts& facts) {
  std::string text = "needs " + to_string(unreclaimable(facts)) + " of " + to_string(facts.limit);
  if (facts.rate_per_second.value > 0) {
    text += ", growing by " + to_string(facts.rate_per_second) + " per second";
  }
  return text;
}

}  // namespace plimsoll::agent
