// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/budget.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "agent/policy/cgroup_tree.h"
#include "tests/support/policy_loop.h"

namespace plimsoll::agent::budget_test {
namespace {

using policy_test::container;
using policy_test::mib;

Bytes budget_with(std::vector<ContainerSnapshot> containers, BudgetPolicy policy = {},
                  NodeSnapshot node = {mib(10000), mib(5000)}) {
  Snapshot snapshot;
  snapshot.node = node;
  snapshot.containers = std::move(containers);
  return remaining_budget(snapshot, policy).node;
}

TEST(Budget, IsWhatIsAvailableLessTheReserve) {
  EXPECT_EQ(budget_with({}), mib(4500));
  EXPECT_EQ(budget_with({}, {.reserve = mib(1000)}), mib(4000));
  EXPECT_EQ(budget_with({}, {.reserve = mib(9000)}), Bytes{});
  EXPECT_EQ(budget_with({}, {}, {mib(512), mib(300)}), mib(300 - 64)) << "at least 64 MiB reserve";
}

TEST(Budget, FailsClosed) {
  EXPECT_EQ(budget_with({}, {}, {mib(10000), std::nullopt}), Bytes{});
  EXPECT_EQ(budget_with({}, {.reserve = mib(1)}, {mib(10000), std::nullopt}), Bytes{});
  EXPECT_EQ(budget_with({}, {}, {std::nullopt, mib(5000)}), Bytes{}) << "reserve not known";
  EXPECT_EQ(budget_with({}, {.reserve = mib(1)}, {std::nullopt, mib(5000)}), mib(4999));
}

TEST(Budget, KeepsWhatWasPromisedAndIsNotUsedYet) {
  // Floor 64, limit 1064: 1000 promised, of which 300 are used beyond the floor.
  EXPECT_EQ(budget_with({container(0, mib(1064), mib(364))}), mib(4500 - 700));
  EXPECT_EQ(budget_with({container(0, mib(1064), mib(1064))}), mib(4500));
  EXPECT_EQ(budget_with({container(0, mib(1064), mib(1064), mib(700))}), mib(4500 - 700))
      << "cache is available memory, so it does not use up a promise";
  EXPECT_EQ(budget_with({container(0, mib(64), mib(1))}), mib(4500)) << "a floor is its own";
  EXPECT_EQ(budget_with({container(0, {~std::uint64_t{0}}, mib(1))}), mib(4500));
  EXPECT_EQ(budget_with({container(0, mib(9000), mib(1))}), Bytes{});
}

TEST(Budget, TheConfiguredLimitBoundsAllGrantsTogether) {
  const BudgetPolicy policy{.reserve = {}, .limit = mib(1000)};
  EXPECT_EQ(budget_with({}, policy), mib(1000));
  EXPECT_EQ(
      budget_with({container(0, mib(364), mib(364)), container(1, mib(264), mib(264))}, policy),
      mib(1000 - 300 - 200));
  EXPECT_EQ(budget_with({container(0, mib(2064), mib(2064))}, policy), Bytes{});
}

TEST(Budget, AParentsPromiseContainsItsChildrens) {
  ContainerSnapshot slice = container(0, mib(1064), mib(64));
  ContainerSnapshot first = container(1, mib(464), mib(64));
  ContainerSnapshot second = container(2, mib(264), mib(64));
  first.parent = 0;
  second.parent = 0;
  EXPECT_EQ(budget_with({slice, first, second}), mib(4500 - 1000)) << "parent 1000, children 600";
  slice.facts.limit = mib(164);
  EXPECT_EQ(budget_with({first, second, slice}), mib(4500 - 600)) << "parent 100, children 600";
  first.parent = 77;
  EXPECT_EQ(budget_with({first, second, slice}), mib(4500 - 400 - 200)) << "a lost parent";
}

TEST(Budget, ACircleOfParentsIsCut) {
  ContainerSnapshot a = container(0, mib(164), mib(64));
  ContainerSnapshot b = container(1, mib(264), mib(64));
  ContainerSnapshot c = container(2, mib(364), mib(64));
  a.parent = 1;
  b.parent = 0;
  c.parent = 0;
  Snapshot snapshot;
  snapshot.containers = {a, b, c};
  const Tree tree(snapshot);
  std::vector<std::size_t> order = tree.children_first();
  for (const std::size_t index : order) {
    if (const auto parent = tree.parent(index)) {
      EXPECT_LT(std::find(order.begin(), order.end(), index),
                std::find(order.begin(), order.end(), *parent));
    }
  }
  std::sort(order.begin(), order.end());
  EXPECT_EQ(order, (std::vector<std::size_t>{0, 1, 2}));
  ContainerSnapshot self = container(3, mib(164), mib(64));
  self.parent = 3;
  EXPECT_EQ(budget_with({self}), mib(4500 - 100));
}

}  // namespace
}  // namespace plimsoll::agent::budget_test
