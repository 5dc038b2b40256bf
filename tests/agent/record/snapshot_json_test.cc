// SPDX-License-Identifier: Apache-2.0
#include "agent/record/snapshot_json.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/support/policy_loop.h"
#include "tests/support/random_node.h"

namespace plimsoll::agent::snapshot_json_test {
namespace {

using policy_test::mib;

// Every member has a value that is not its default.
ContainerSnapshot full() {
  ContainerSnapshot c;
  c.slot = 3;
  c.id = CgroupId{77};
  c.bounds.floor = mib(1);
  c.bounds.ceiling = {~std::uint64_t{0}};
  c.facts = {mib(2), mib(3), mib(4), mib(5)};
  c.peak = mib(6);
  c.refaults = 0;
  c.activations = 8;
  c.stall_ratio = 0.1;
  c.oom_kills = 9;
  c.grants = 10;
  c.can_reclaim = false;
  c.parent = 0;
  c.bounds.direct_ceiling = Bytes{};
  c.bridge_within = Nanoseconds(-1);
  c.look_ahead = std::chrono::seconds(5);
  c.bounds.direct_floor = mib(11);
  c.covers_children = true;
  c.group = 511;
  c.rank = {-7, QosRank::kGuaranteed};
  c.wished = mib(12);
  c.starved = mib(13);
  c.cpu = {.bounds = {.floor = {1}, .ceiling = {2}, .direct_ceiling = {{3}}, .direct_floor = {{4}}},
           .promised = {5},
           .limit = {{6}},
           .burst = std::chrono::microseconds(7),
           .use = {8},
           .peak = {9},
           .throttled = 10,
           .raises = 11,
           .starved = {12},
           .wished = {13}};
  c.announced = mib(14);
  return c;
}

TEST(SnapshotJson, ComesBackAsItWas) {
  Snapshot snapshot;
  snapshot.now = MonotonicTime{std::chrono::hours(5)};
  snapshot.node = {mib(100), Bytes{}, mib(90), NodeCpuSnapshot{{4000}, {10}, 0.5}};
  snapshot.lost_events = 4;
  snapshot.containers = {full(), {}};
  snapshot.groups = {{1, kNoLimit}, {2, limit_of(mib(5))}};
  const std::string json = to_json(snapshot);
  const auto back = parse_snapshot(json);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, snapshot);
  EXPECT_EQ(to_json(*back), json);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_EQ(to_json(Snapshot{}), "{}");
}

TEST(SnapshotJson, NamesAndUnitsAreWhatTheDocumentsSay) {
  Snapshot snapshot;
  snapshot.node.available = mib(1);
  snapshot.containers = {{.slot = 1, .rank = {5, QosRank::kBurstable}}};
  snapshot.groups = {{7, kNoLimit}};
  EXPECT_EQ(to_json(snapshot),
            R"({"containers":[{"priority":5,"qos":"burstable","slot":1}],)"
            R"("group_limits_bytes":{"7":"max"},"node":{"available_bytes":1048576}})");
}

TEST(SnapshotJson, WhatIsWrongIsNamed) {
  const auto error = [](const char* json) {
    const auto result = parse_snapshot(json);
    return result ? std::string("none") : result.error().message;
  };
  EXPECT_EQ(error("{"), "snapshot: not JSON");
  EXPECT_EQ(error("[]"), "snapshot: not an object");
  EXPECT_EQ(error(R"({"nwo_ns": 1})"), "snapshot: a member is not known");
  EXPECT_EQ(error(R"({"containers": [{}, {"facts": {"limit_bytes": -1}}]})"),
            "snapshot.containers[1].facts.limit_bytes: not a whole number in its range");
  EXPECT_EQ(error(R"({"containers": [{"group": 65536}]})"),
            "snapshot.containers[0].group: not a whole number in its range");
  EXPECT_EQ(error(R"({"containers": [{"qos": "royal"}]})"),
            "snapshot.containers[0].qos: not a known word");
  EXPECT_EQ(error(R"({"containers": [{"priority": 2147483648}]})"),
            "snapshot.containers[0].priority: not a whole number in its range");
  EXPECT_EQ(error(R"({"group_limits_bytes": {"x": 1}})"),
            "snapshot.group_limits_bytes.x: not a whole number in its range");
  EXPECT_EQ(error(R"({"node": {"total_bytes": null}})"),
            "snapshot.node.total_bytes: not a whole number in its range");
}

TEST(PlanJson, ReasonsAndKindsAreWords) {
  Plan plan;
  plan.budget = mib(1);
  plan.wishes = {{ActionKind::kShrink, 1, CgroupId{2}, mib(4), mib(3), Reason::kTakenBack}};
  plan.arming = {{1, CgroupId{2}, {.bounds = {.ceiling = mib(9)}, .denial = Reason::kPriority}}};
  plan.groups = {{3, {mib(1), mib(2)}}};
  plan.cpu = {.lowers = {{1, CgroupId{2}, {30}, {20}, Reason::kTakenBack}},
              .wishes = {{3, CgroupId{4}, {50}, {40}, Reason::kLeaseEnded}},
              .arming = {{5,
                          CgroupId{6},
                          {.bounds = {.floor = {1}, .ceiling = {2}, .direct_ceiling = {{3}}},
                           .denial = Reason::kNodeBusy,
                           .burst = std::chrono::microseconds(4),
                           .average = {5},
                           .kept = {6}}}},
              .budget = {7}};
  const std::string json = to_json(plan);
  EXPECT_NE(json.find(R"("reason":"taken_back")"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("kind":"shrink")"), std::string::npos) << json;
  EXPECT_NE(json.find(R"("denial":"priority")"), std::string::npos) << json;
  const auto back = parse_plan(json);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, plan);
}

TEST(HistoryJson, EveryMemberComesBack) {
  ContainerHistory past;
  past.limit = mib(1);
  past.working = mib(2);
  past.oom_kills = 3;
  past.refaults = 4;
  past.quiet_since = MonotonicTime{Nanoseconds(5)};
  past.peaks.add(MonotonicTime{Nanoseconds(6)}, mib(6), std::chrono::seconds(1));
  past.backoff = 1.7;
  past.shrunk_at = MonotonicTime{Nanoseconds(7)};
  past.calm_since = MonotonicTime{Nanoseconds(8)};
  past.settled = mib(9);
  past.cache_kept = 0.3;
  past.probe = Probe{mib(10), 11, 12};
  past.wished = Wished{mib(13), mib(14), MonotonicTime{Nanoseconds(15)}};
  past.asked = mib(16);
  past.asked_at = MonotonicTime{Nanoseconds(17)};
  past.activated = mib(18);
  past.climb = Climb{.since = MonotonicTime{Nanoseconds(19)},
                     .grants = 20,
                     .peak = mib(21),
                     .mark = mib(22),
                     .marked_at = MonotonicTime{Nanoseconds(23)},
                     .refaulted = mib(24)};
  past.leaking = true;
  past.announced = true;
  History history;
  history.now = MonotonicTime{Nanoseconds(25)};
  history.lost_at = MonotonicTime{Nanoseconds(26)};
  history.containers = {{CgroupId{27}, past}, {CgroupId{28}, {}}};
  CpuHistory cpu{.quiet_since = MonotonicTime{Nanoseconds(29)}, .limit = {30}};
  cpu.peaks.add(MonotonicTime{Nanoseconds(31)}, {32}, std::chrono::seconds(1));
  history.cpus = {{CgroupId{33}, cpu}, {CgroupId{34}, {}}};
  const std::string json = to_json(history);
  const auto back = parse_history(json);
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(*back, history);
  EXPECT_EQ(to_json(*back), json);
}

// A recorded history gives the same plans again: snapshots and the first history are all it needs.
TEST(Replay, GivesTheSamePlans) {
  std::size_t plans_with_actions = 0;
  for (std::uint64_t seed = 0; seed < 12; ++seed) {
    RandomNode node(seed, seed % 2 == 1);
    History history;
    Plan plan;
    std::string first_history;
    std::vector<std::string> snapshots;
    std::vector<Plan> plans;
    constexpr int kUnrecorded = 40;
    for (int i = 0; i < 160; ++i) {
      node.step(plan);
      if (i == kUnrecorded) first_history = to_json(history);
      Decision decision = decide(node.snapshot, node.policy, std::move(history));
      history = std::move(decision.history);
      plan = std::move(decision.plan);
      if (i < kUnrecorded) continue;
      snapshots.push_back(to_json(node.snapshot));
      plans.push_back(plan);
    }
    auto replayed = parse_history(first_history);
    ASSERT_TRUE(replayed) << replayed.error().message;
    for (std::size_t i = 0; i < snapshots.size(); ++i) {
      const auto snapshot = parse_snapshot(snapshots[i]);
      ASSERT_TRUE(snapshot) << snapshot.error().message;
      Decision decision = decide(*snapshot, node.policy, std::move(*replayed));
      ASSERT_EQ(to_json(decision.plan), to_json(plans[i])) << "seed " << seed << " step " << i;
      ASSERT_EQ(decision.plan, plans[i]);
      const auto plan_back = parse_plan(to_json(plans[i]));
      ASSERT_TRUE(plan_back) << plan_back.error().message;
      ASSERT_EQ(*plan_back, plans[i]);
      plans_with_actions += plans[i].actions.empty() ? 0U : 1U;
      replayed = std::move(decision.history);
    }
    EXPECT_EQ(*replayed, history);
  }
  EXPECT_GT(plans_with_actions, 100U);
}

}  // namespace
}  // namespace plimsoll::agent::snapshot_json_test
