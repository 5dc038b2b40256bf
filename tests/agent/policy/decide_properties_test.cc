// SPDX-License-Identifier: Apache-2.0
//
// What holds of every plan, whatever happened before.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "agent/policy/budget.h"
#include "tests/support/policy_loop.h"
#include "tests/support/random_node.h"

namespace plimsoll::agent::decide_properties_test {
namespace {

const ContainerSnapshot* find(const Snapshot& snapshot, CgroupId id) {
  const auto found = std::find_if(snapshot.containers.begin(), snapshot.containers.end(),
                                  [&](const ContainerSnapshot& c) { return c.id == id; });
  return found == snapshot.containers.end() ? nullptr : &*found;
}

void check_grow(const Snapshot& snapshot, const ContainerSnapshot& c, const Action& action) {
  ASSERT_EQ(action.from, c.facts.limit);
  ASSERT_GT(action.to, c.facts.limit);
  ASSERT_LE(action.to, c.bounds.ceiling);
  ASSERT_LT(action.reason, Reason::kEnoughHeadroom);
  if (action.reason == Reason::kBelowChildren) {
    ASSERT_TRUE(c.covers_children);
    return;
  }
  if (action.to <= c.wished) return;  // promised before
  ASSERT_TRUE(snapshot.node.available) << "a grant without knowing what is available";
  ASSERT_TRUE(c.group == kNoGroup || snapshot.groups.contains(c.group))
      << "a grant to a group without a budget";
}

void check_shrink(const Snapshot& snapshot, const ContainerSnapshot& c, const Action& action) {
  ASSERT_EQ(snapshot.lost_events, 0U);
  ASSERT_EQ(action.from, c.facts.limit);
  ASSERT_LT(action.to, c.facts.limit);
  ASSERT_GE(action.to, c.bounds.floor);
  ASSERT_LE(unreclaimable(c.facts), action.to);
  ASSERT_TRUE(action.reason == Reason::kLeaseEnded || action.reason == Reason::kTakenBack);
}

void check_action(const Snapshot& snapshot, const ContainerSnapshot& c, const Action& action) {
  switch (action.kind) {
    case ActionKind::kGrow:
      check_grow(snapshot, c, action);
      ASSERT_LE(action.to, c.bounds.direct_ceiling.value_or(c.bounds.ceiling))
          << "not ours to write";
      break;
    case ActionKind::kReclaim:
      ASSERT_TRUE(c.can_reclaim);
      ASSERT_LT(action.to, c.facts.usage);
      ASSERT_GE(action.to, unreclaimable(c.facts));
      break;
    case ActionKind::kShrink:
      check_shrink(snapshot, c, action);
      ASSERT_GE(action.to, c.bounds.direct_floor.value_or(c.bounds.floor)) << "not ours to write";
      break;
  }
}

// What a container is promised by the plan, above what it was promised before.
std::map<CgroupId, Bytes> promises(const Snapshot& snapshot, const Plan& plan) {
  std::map<CgroupId, Bytes> more;
  const auto add = [&](const Action& action) {
    if (action.kind != ActionKind::kGrow || action.reason == Reason::kBelowChildren) return;
    Bytes& sum = more[action.id];
    sum = std::max(sum, action.to - promised_limit(*find(snapshot, action.id)));
  };
  std::for_each(plan.actions.begin(), plan.actions.end(), add);
  std::for_each(plan.wishes.begin(), plan.wishes.end(), add);
  return more;
}

void check_budgets(const RandomNode& node, const Plan& plan) {
  const Snapshot& snapshot = node.snapshot;
  const Budget whole = remaining_budget(snapshot, node.policy.budget);
  Bytes spent;
  std::map<BudgetGroup, Bytes> spent_in;
  for (const auto& [id, bytes] : promises(snapshot, plan)) {
    spent += bytes;
    spent_in[find(snapshot, id)->group] += bytes;
  }
  ASSERT_LE(spent, whole.node);
  ASSERT_EQ(plan.budget, whole.node - spent) << "what the slow loop spent is not handed out again";
  ASSERT_EQ(plan.groups.size(), whole.groups.size());
  for (const auto& [group, budget] : whole.groups) {
    ASSERT_LE(spent_in[group], budget.left) << "group " << group;
    ASSERT_EQ(plan.groups.at(group).granted, budget.granted + spent_in[group]);
    const auto limit = snapshot.groups.find(group);
    if (limit == snapshot.groups.end()) {
      ASSERT_EQ(plan.groups.at(group).left, Bytes{});
    }
    if (limit == snapshot.groups.end() || limit->second.is_max()) continue;
    ASSERT_EQ(plan.groups.at(group).left, budget.left - spent_in[group]);
    if (budget.granted < Bytes{limit->second.bytes}) {
      ASSERT_LE(plan.groups.at(group).granted, Bytes{limit->second.bytes}) << "group " << group;
    }
  }
  for (const Arming& arming : plan.arming) {
    const ContainerSnapshot& c = *find(snapshot, arming.id);
    if (plan.budget == Bytes{} && c.wished == Bytes{} && !promises(snapshot, plan).contains(c.id)) {
      ASSERT_TRUE(arming.armed.denial) << "nothing to give, but armed";
    }
  }
}

void check(const RandomNode& node, const Decision& decision) {
  const Snapshot& snapshot = node.snapshot;
  const Plan& plan = decision.plan;
  ASSERT_EQ(plan.arming.size(), snapshot.containers.size());
  ASSERT_EQ(decision.history.containers.size(), snapshot.containers.size());
  std::map<CgroupId, Bytes> acted;
  for (const Action& action : plan.actions) {
    const ContainerSnapshot* c = find(snapshot, action.id);
    ASSERT_NE(c, nullptr);
    ASSERT_TRUE(acted.emplace(c->id, action.to).second) << "two actions for one container";
    check_action(snapshot, *c, action);
  }
  std::vector<CgroupId> wished;
  for (const Action& wish : plan.wishes) {
    const ContainerSnapshot* c = find(snapshot, wish.id);
    ASSERT_NE(c, nullptr);
    ASSERT_EQ(std::count(wished.begin(), wished.end(), c->id), 0) << "two wishes";
    wished.push_back(c->id);
    const auto action = acted.find(c->id);
    if (wish.kind == ActionKind::kGrow) {
      check_grow(snapshot, *c, wish);
      if (action != acted.end()) {
        ASSERT_GT(wish.to, action->second) << "nothing is left to wish";
      }
    } else {
      ASSERT_EQ(wish.kind, ActionKind::kShrink);
      check_shrink(snapshot, *c, wish);
      ASSERT_LT(wish.to, c->bounds.direct_floor.value_or(c->bounds.floor))
          << "that is ours to write";
      if (action != acted.end()) {
        ASSERT_LT(wish.to, action->second);
      }
    }
  }
  check_budgets(node, plan);
}

struct Seen {
  int grows = 0;
  int shrinks = 0;
  int probes = 0;
  int leaks = 0;
  int grow_wishes = 0;
  int shrink_wishes = 0;
  int taken_back = 0;
  int repairs = 0;
  int group_denials = 0;
  int priority_denials = 0;

  void add(const Plan& plan) {
    for (const Action& action : plan.actions) {
      grows += action.kind == ActionKind::kGrow;
      probes += action.kind == ActionKind::kReclaim;
      shrinks += action.kind == ActionKind::kShrink;
      taken_back += action.reason == Reason::kTakenBack;
      repairs += action.reason == Reason::kBelowChildren;
    }
    for (const Action& wish : plan.wishes) {
      grow_wishes += wish.kind == ActionKind::kGrow;
      shrink_wishes += wish.kind == ActionKind::kShrink;
    }
    for (const Arming& arming : plan.arming) {
      leaks += arming.armed.denial == Reason::kLeak;
      group_denials += arming.armed.denial == Reason::kGroupBudget;
      priority_denials += arming.armed.denial == Reason::kPriority;
    }
  }
};

void hold_on_random_histories(bool shared, Seen& seen) {
  for (std::uint64_t seed = 0; seed < 150; ++seed) {
    RandomNode node(seed, shared);
    History history;
    Plan plan;
    for (int i = 0; i < 300; ++i) {
      node.step(plan);
      const Decision decision = decide(node.snapshot, node.policy, history);
      ASSERT_EQ(decision, decide(node.snapshot, node.policy, history)) << "not a pure function";
      check(node, decision);
      if (::testing::Test::HasFatalFailure()) FAIL() << "seed " << seed << " step " << i;
      history = decision.history;
      plan = decision.plan;
      seen.add(plan);
    }
  }
}

// A property of nothing proves nothing: the counts.
TEST(DecideProperties, HoldOnRandomHistories) {
  Seen seen;
  hold_on_random_histories(false, seen);
  EXPECT_GT(seen.grows, 200);
  EXPECT_GT(seen.shrinks, 200);
  EXPECT_GT(seen.probes, 200);
  EXPECT_GT(seen.leaks, 200);
  EXPECT_EQ(seen.grow_wishes + seen.shrink_wishes + seen.taken_back + seen.repairs, 0);
  EXPECT_EQ(seen.group_denials + seen.priority_denials, 0);
}

TEST(DecideProperties, HoldWithGroupsRanksAndWishes) {
  Seen seen;
  hold_on_random_histories(true, seen);
  EXPECT_GT(seen.grows, 200);
  EXPECT_GT(seen.shrinks, 200);
  EXPECT_GT(seen.grow_wishes, 200);
  EXPECT_GT(seen.shrink_wishes, 200);
  EXPECT_GT(seen.taken_back, 50);
  EXPECT_GT(seen.repairs, 50);
  EXPECT_GT(seen.group_denials, 200);
  EXPECT_GT(seen.priority_denials, 200);
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
}  // namespace plimsoll::agent::decide_properties_test
