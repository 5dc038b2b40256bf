// SPDX-License-Identifier: Apache-2.0
#include "agent/apiserver/health.h"

#include <algorithm>

namespace plimsoll::agent {
namespace {

// How often one pod tries while the API is away: often enough that all agree with it within ten
// seconds of its return, seldom enough that a server in trouble does not notice.
constexpr Nanoseconds kTurnFirst = std::chrono::milliseconds(500);
constexpr Nanoseconds kTurnMost = std::chrono::seconds(4);
// The longest that one answer may make us wait.
constexpr Nanoseconds kRetryAfterMost = kTurnMost * 8;
// After a missed deadline, requests get the long one for this long.
constexpr Nanoseconds kSlowFor = std::chrono::minutes(2);

}  // namespace

bool means_away(const kube::Refusal& refusal) {
  switch (refusal.cause) {
    case kube::Cause::kThrottled:
    case kube::Cause::kTimeout:
    case kube::Cause::kServer:
    case kube::Cause::kTransport:
      return true;
    default:
      return false;
  }
}

Nanoseconds wait_asked_for(const kube::Refusal& refusal) {
  return std::min(refusal.retry_after.value_or(Nanoseconds{}), kRetryAfterMost);
}

void note_exchange(ApiHealth& health, const std::optional<kube::Refusal>& refusal,
                   std::string_view name_space, MonotonicTime now) {
  if (!refusal || !means_away(*refusal)) {
    if (health.away) health.since = now;
    health.away = false;
    health.failures = 0;
    health.failing.reset();
    if (now >= health.slow_until) health.slow = false;
    return;
  }
  const bool unknown = refusal->outcome_unknown && refusal->cause == kube::Cause::kTransport;
  if (unknown || refusal->cause == kube::Cause::kTimeout) {
    health.slow = true;
    health.slow_until = now + kSlowFor;
  }
  const bool elsewhere = health.failing && *health.failing != name_space;
  if (!health.failing) health.failing = name_space;
  if (!health.away && !elsewhere && refusal->cause != kube::Cause::kTransport) return;
  if (!health.away) health.since = now;
  health.away = true;
  ++health.failures;
  const std::uint32_t doublings = std::min<std::uint32_t>(health.failures - 1, 10);
  const Nanoseconds wait = std::min(kTurnMost, Nanoseconds(kTurnFirst.count() << doublings));
  health.next_turn = now + std::max(wait, wait_asked_for(*refusal));
}

bool has_turn(const ApiHealth& health, MonotonicTime now) {
  return !health.away || now >= health.next_turn;
}

void took_turn(ApiHealth& health, MonotonicTime now) {
  if (health.away) health.next_turn = now + kTurnMost;
}

void PatchLatency::add(Nanoseconds sample) {
  if (samples_.size() < kSamples) {
    samples_.push_back(sample);
    return;
  }
  samples_[next_] = sample;
  next_ = (next_ + 1) % kSamples;
}

Nanoseconds PatchLatency::nine_of_ten() const {
  std::vector<Nanoseconds> sorted = samples_;
  const std::size_t rank = (sorted.size() * 9 + 9) / 10 - 1;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(rank),
                   sorted.end());
  return sorted[rank];
}

bool ApiServerHealth::learn(const ApiFacts& facts) {
  if (facts_ == facts) return false;
  facts_ = facts;
  return true;
}

bool ApiServerHealth::note(const std::optional<kube::Refusal>& refusal, std::string_view name_space,
                           MonotonicTime now) {
  const bool away = health_.away;
  note_exchange(health_, refusal, name_space, now);
  return health_.away != away;
}

ApiStatus ApiServerHealth::status(MonotonicTime now) const {
  ApiStatus status{.ability = {.path = kube::ResizePath::kSubresource},
                   .away = health_.away || !facts_,
                   .may_ask = facts_ && has_turn(health_, now),
                   .ask_at = facts_ ? std::optional(health_.next_turn) : std::nullopt,
                   .slow = health_.slow,
                   .patch_to_limit = latency_.nine_of_ten()};
  if (!facts_) return status;
  status.ability = {.path = facts_->path, .minor = facts_->version.minor};
  if (facts_->node) {
    status.ability.init_containers = facts_->node->resizes_init_containers;
    status.ability.pod_level = facts_->node->resizes_pod_level;
  }
  return status;
}

}  // namespace plimsoll::agent
