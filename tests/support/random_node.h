// SPDX-License-Identifier: Apache-2.0
//
// A node whose containers do what they like, for properties of decide().
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>

#include "tests/support/policy_loop.h"

namespace plimsoll::agent {

// Random but possible: usage within the limit, cache within usage, time forward.
class RandomNode {
 public:
  // `shared`: with budget groups, ranks and limits that others apply, as the node agent has them.
  explicit RandomNode(std::uint64_t seed, bool shared = false) : random_(seed), shared_(shared) {
    policy.memory.shrink_after = std::chrono::seconds(1 + below(40));
    policy.memory.leak_window = std::chrono::seconds(10 + below(60));
    policy.memory.leak_grants = 1 + static_cast<std::uint32_t>(below(6));
    if (below(2) == 0) policy.budget.limit = mib(below(8192));
    if (below(2) == 0) policy.budget.reserve = mib(below(512));
    snapshot.now = MonotonicTime{std::chrono::seconds(below(1000000))};
    if (!shared_) return;
    policy.budget.take_back = below(2) == 0;
    for (BudgetGroup group = 1; group <= kGroups; ++group) {
      if (below(4) != 0) snapshot.groups[group] = limit_of(mib(below(2048)));
    }
    snapshot.groups[kGroups] = kNoLimit;
  }

  static constexpr BudgetGroup kGroups = 4;
  Policy policy;
  Snapshot snapshot;

  // The next tick; `plan` is what the last one said, applied now and then only.
  void step(const Plan& plan) {
    snapshot.now += std::chrono::milliseconds(below(10) == 0 ? 0 : 1 + below(3000));
    snapshot.lost_events = below(20) == 0 ? 1 + below(5) : 0;
    snapshot.node.total = below(50) == 0 ? std::nullopt : std::optional(mib(16384));
    snapshot.node.available = below(20) == 0 ? std::nullopt : std::optional(mib(below(16384)));
    for (const Action& action : plan.actions) {
      if (action.kind == ActionKind::kReclaim || below(5) == 0) continue;
      for (ContainerSnapshot& c : snapshot.containers) {
        if (c.id == action.id) c.facts.limit = action.to;
      }
    }
    for (const Action& wish : plan.wishes) apply(wish);
    if (snapshot.containers.size() < 12 && below(4) == 0) add();
    if (!snapshot.containers.empty() && below(40) == 0) {
      snapshot.containers.erase(snapshot.containers.begin() +
                                static_cast<std::ptrdiff_t>(below(snapshot.containers.size())));
    }
    for (ContainerSnapshot& c : snapshot.containers) change(c);
  }

 private:
  static constexpr Bytes mib(std::uint64_t count) { return policy_test::mib(count); }
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  // Whoever applies wishes does so at once, later, or not.
  void apply(const Action& wish) {
    for (ContainerSnapshot& c : snapshot.containers) {
      if (c.id != wish.id) continue;
      if (wish.kind == ActionKind::kGrow) c.wished = wish.to;
      if (below(2) == 0) c.facts.limit = wish.to;
    }
  }

  void add() {
    ContainerSnapshot c = policy_test::container(next_ % 16, mib(16 + below(256)), {});
    c.id = CgroupId{++next_};
    c.bounds.floor = c.facts.limit;
    c.bounds.ceiling = c.bounds.floor + mib(below(4096));
    if (below(3) == 0) c.parent = static_cast<Slot>(below(16));
    c.can_reclaim = below(8) != 0;
    if (shared_) share(c);
    snapshot.containers.push_back(c);
  }
  void share(ContainerSnapshot& c) {
    c.group = static_cast<BudgetGroup>(below(kGroups + 1));
    c.rank = {static_cast<std::int32_t>(below(3)), static_cast<QosRank>(below(3))};
    if (below(2) == 0)
      c.bounds.direct_ceiling = below(3) == 0 ? Bytes{} : c.bounds.floor + mib(below(2048));
    if (below(3) == 0) c.bridge_within = std::chrono::milliseconds(below(3000));
    if (below(3) == 0) c.look_ahead = std::chrono::milliseconds(below(5000));
    if (below(2) == 0) c.bounds.direct_floor = c.bounds.floor + mib(below(1024));
    c.covers_children = below(4) == 0;
  }
  // Every fourth slot only ever climbs.
  void climb(ContainerSnapshot& c) {
    c.facts.usage =
        std::min(c.facts.limit, c.facts.usage + mib(1) + scaled_to_fit(c.facts.usage, 0.02));
    c.facts.reclaimable = {};
    c.refaults = 0;
    c.peak.reset();
    c.grants = 0;
    while (c.facts.usage > scaled_to_fit(c.facts.limit, 0.9) && c.facts.limit < c.bounds.ceiling) {
      c.facts.limit = std::min(c.bounds.ceiling, c.facts.limit + mib(16));
      ++c.grants;
    }
  }
  void change(ContainerSnapshot& c) {
    c.starved = shared_ && below(10) == 0 ? mib(64) : Bytes{};
    if (c.wished <= c.facts.limit || below(10) == 0) c.wished = {};
    if (c.slot % 4 == 0) return climb(c);
    c.grants = 0;
    if (below(10) == 0 && c.facts.limit < c.bounds.ceiling) {
      c.facts.limit = std::min(c.bounds.ceiling, c.facts.limit + mib(64));
      c.grants = 1;
    }
    if (below(6) == 0 || c.facts.usage > c.facts.limit) {
      c.facts.usage = {below(c.facts.limit.value + 1)};
    }
    c.facts.reclaimable = {below(3) == 0 ? below(c.facts.usage.value + 1) : 0};
    c.facts.rate_per_second = mib(below(3) == 0 ? below(500) : 0);
    c.refaults = below(10) == 0 ? std::nullopt : std::optional(below(3) == 0 ? below(100000) : 0);
    c.activations = below(10) == 0 ? std::nullopt : std::optional(below(3) == 0 ? below(50000) : 0);
    c.stall_ratio =
        below(10) == 0 ? std::nullopt : std::optional(static_cast<double>(below(100)) / 250);
    c.peak = below(2) == 0 ? std::nullopt : std::optional(unreclaimable(c.facts) + mib(below(64)));
    c.oom_kills += below(100) == 0 ? 1U : 0U;
  }

  std::mt19937_64 random_;
  bool shared_;
  std::uint32_t next_ = 0;
};

}  // namespace plimsoll::agent
