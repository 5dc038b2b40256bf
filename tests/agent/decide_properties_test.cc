// SPDX-License-Identifier: Apache-2.0
//
// What holds of every plan, whatever happened before.
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <random>
#include <utility>
#include <vector>

#include "agent/budget.h"
#include "tests/agent/policy_loop.h"

namespace plimsoll::agent {
namespace {

using policy_test::container;
using policy_test::mib;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Random but possible: usage within the limit, cache within usage, time forward.
class RandomNode {
 public:
  explicit RandomNode(std::uint64_t seed) : random_(seed) {
    policy.memory.shrink_after = seconds(1 + below(40));
    policy.memory.leak_window = seconds(10 + below(60));
    policy.memory.leak_grants = 1 + static_cast<std::uint32_t>(below(6));
    if (below(2) == 0) policy.budget.limit = mib(below(8192));
    if (below(2) == 0) policy.budget.reserve = mib(below(512));
    snapshot.now = MonotonicTime{seconds(below(1000000))};
  }

  Policy policy;
  Snapshot snapshot;

  // The next tick; `plan` is what the last one said, applied now and then only.
  void step(const Plan& plan) {
    snapshot.now += milliseconds(below(10) == 0 ? 0 : 1 + below(3000));
    snapshot.lost_events = below(20) == 0 ? 1 + below(5) : 0;
    snapshot.node.total = below(50) == 0 ? std::nullopt : std::optional(mib(16384));
    snapshot.node.available = below(20) == 0 ? std::nullopt : std::optional(mib(below(16384)));
    for (const Action& action : plan.actions) {
      if (action.kind == ActionKind::kReclaim || below(5) == 0) continue;
      for (ContainerSnapshot& c : snapshot.containers) {
        if (c.id == action.id) c.facts.limit = action.to;
      }
    }
    if (snapshot.containers.size() < 12 && below(4) == 0) add();
    if (!snapshot.containers.empty() && below(40) == 0) {
      snapshot.containers.erase(snapshot.containers.begin() +
                                static_cast<std::ptrdiff_t>(below(snapshot.containers.size())));
    }
    for (ContainerSnapshot& c : snapshot.containers) change(c);
  }

 private:
  std::uint64_t below(std::uint64_t end) { return random_() % end; }

  void add() {
    ContainerSnapshot c = container(next_ % 16, mib(16 + below(256)), {});
    c.id = CgroupId{++next_};
    c.floor = c.facts.limit;
    c.ceiling = c.floor + mib(below(4096));
    if (below(3) == 0) c.parent = static_cast<Slot>(below(16));
    c.can_reclaim = below(8) != 0;
    snapshot.containers.push_back(c);
  }
  // Every fourth slot only ever climbs.
  void climb(ContainerSnapshot& c) {
    c.facts.usage =
        std::min(c.facts.limit, c.facts.usage + mib(1) + scaled_to_fit(c.facts.usage, 0.02));
    c.facts.reclaimable = {};
    c.refaults = 0;
    c.peak.reset();
    c.grants = 0;
    while (c.facts.usage > scaled_to_fit(c.facts.limit, 0.9) && c.facts.limit < c.ceiling) {
      c.facts.limit = std::min(c.ceiling, c.facts.limit + mib(16));
      ++c.grants;
    }
  }
  void change(ContainerSnapshot& c) {
    if (c.slot % 4 == 0) return climb(c);
    c.grants = 0;
    if (below(10) == 0 && c.facts.limit < c.ceiling) {
      c.facts.limit = std::min(c.ceiling, c.facts.limit + mib(64));
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
  std::uint32_t next_ = 0;
};

void check(const RandomNode& node, const Decision& decision) {
  const Snapshot& snapshot = node.snapshot;
  const Plan& plan = decision.plan;
  ASSERT_EQ(plan.arming.size(), snapshot.containers.size());
  ASSERT_EQ(decision.history.containers.size(), snapshot.containers.size());
  const Bytes whole = budget_of(snapshot, node.policy.budget);
  Bytes spent;
  std::vector<CgroupId> acted;
  for (const Action& action : plan.actions) {
    const auto found = std::find_if(snapshot.containers.begin(), snapshot.containers.end(),
                                    [&](const ContainerSnapshot& c) { return c.id == action.id; });
    ASSERT_NE(found, snapshot.containers.end());
    const ContainerSnapshot& c = *found;
    ASSERT_EQ(std::count(acted.begin(), acted.end(), c.id), 0) << "two actions for one container";
    acted.push_back(c.id);
    switch (action.kind) {
      case ActionKind::kGrow:
        ASSERT_EQ(action.from, c.facts.limit);
        ASSERT_GT(action.to, c.facts.limit);
        ASSERT_LE(action.to, c.ceiling);
        ASSERT_TRUE(snapshot.node.available) << "a grant without knowing what is available";
        ASSERT_LT(action.reason, Reason::kEnoughHeadroom);
        spent += action.to - action.from;
        break;
      case ActionKind::kReclaim:
        ASSERT_TRUE(c.can_reclaim);
        ASSERT_LT(action.to, c.facts.usage);
        ASSERT_GE(action.to, unreclaimable(c.facts));
        break;
      case ActionKind::kShrink:
        ASSERT_EQ(snapshot.lost_events, 0U);
        ASSERT_EQ(action.from, c.facts.limit);
        ASSERT_LT(action.to, c.facts.limit);
        ASSERT_GE(action.to, c.floor);
        ASSERT_LE(unreclaimable(c.facts), action.to);
        ASSERT_EQ(action.reason, Reason::kLeaseEnded);
        break;
    }
  }
  ASSERT_LE(spent, whole);
  ASSERT_EQ(plan.budget, whole - spent) << "what the slow loop spent is not handed out again";
  for (const Arming& arming : plan.arming) {
    if (plan.budget == Bytes{}) {
      ASSERT_TRUE(arming.armed.denial) << "nothing to give, but armed";
    }
  }
}

TEST(DecideProperties, HoldOnRandomHistories) {
  int grows = 0;
  int shrinks = 0;
  int probes = 0;
  int leaks = 0;
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    RandomNode node(seed);
    History history;
    Plan plan;
    for (int i = 0; i < 300; ++i) {
      node.step(plan);
      const Decision decision = decide(node.snapshot, node.policy, history);
      ASSERT_EQ(decision, decide(node.snapshot, node.policy, history)) << "not a pure function";
      check(node, decision);
      if (HasFatalFailure()) FAIL() << "seed " << seed << " step " << i;
      history = decision.history;
      plan = decision.plan;
      for (const Action& action : plan.actions) {
        grows += action.kind == ActionKind::kGrow;
        probes += action.kind == ActionKind::kReclaim;
        shrinks += action.kind == ActionKind::kShrink;
      }
      for (const Arming& arming : plan.arming) leaks += arming.armed.denial == Reason::kLeak;
    }
  }
  // A property of nothing proves nothing.
  EXPECT_GT(grows, 200);
  EXPECT_GT(shrinks, 200);
  EXPECT_GT(probes, 200);
  EXPECT_GT(leaks, 200);
}

TEST(DecideProperties, WithoutAvailableMemoryNothingIsEverGranted) {
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    RandomNode node(seed);
    History history;
    Plan plan;
    for (int i = 0; i < 100; ++i) {
      node.step(plan);
      node.snapshot.node.available.reset();
      Decision decision = decide(node.snapshot, node.policy, std::move(history));
      for (const Action& action : decision.plan.actions) {
        ASSERT_NE(action.kind, ActionKind::kGrow);
      }
      ASSERT_EQ(decision.plan.budget, Bytes{});
      for (const Arming& arming : decision.plan.arming) ASSERT_TRUE(arming.armed.denial);
      history = std::move(decision.history);
      plan = std::move(decision.plan);
    }
  }
}

}  // namespace
}  // namespace plimsoll::agent
