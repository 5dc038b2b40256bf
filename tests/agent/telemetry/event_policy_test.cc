// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/event_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>
#include <string>

namespace plimsoll::agent::event_policy_test {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr MonotonicTime at(int second) { return MonotonicTime(seconds(second)); }
constexpr kube::WallTime wall(int second) {
  return kube::WallTime(std::chrono::microseconds(1'795'296'692'000'000) + seconds(second));
}
constexpr Bytes mebibytes(std::uint64_t count) { return {count * kMiB}; }

Notice notice(std::string uid = "uid-1", std::string note = "raised",
              EventReason reason = EventReason::kMemoryLimitRaised) {
  return {{.name_space = "demo", .name = "web", .uid = std::move(uid), .container = "app"},
          reason,
          std::move(note)};
}

TEST(EventPolicy, TheFirstIsWrittenAtOnce) {
  EventPolicy policy({});
  const auto write = policy.take(notice(), at(0), wall(0));
  ASSERT_TRUE(write);
  EXPECT_EQ(*write, (EventWrite{.subject = notice().subject, .note = "raised", .time = wall(0)}));
  EXPECT_THAT(policy.due(at(299)), IsEmpty());
}

TEST(EventPolicy, WhatFollowsInTheWindowIsOneWriteAtItsEnd) {
  EventPolicy policy({});
  const auto first = policy.take(notice("uid-1", "raised to 96 MiB"), at(0), wall(0));
  ASSERT_TRUE(first);
  policy.stored(*first, "web.1");
  EXPECT_FALSE(policy.take(notice("uid-1", "raised to 128 MiB"), at(10), wall(10)));
  EXPECT_FALSE(policy.take(notice("uid-1", "raised to 192 MiB"), at(20), wall(20)));
  EXPECT_EQ(policy.suppressed(), 2U);
  EXPECT_EQ(policy.next(), at(300));
  EXPECT_THAT(policy.due(at(299)), IsEmpty());
  const auto writes = policy.due(at(300));
  ASSERT_THAT(writes, SizeIs(1));
  // Other numbers: another Event, for the note of the first cannot change.
  EXPECT_EQ(writes[0].series_of, "");
  EXPECT_EQ(writes[0].note, "raised to 192 MiB (the last of 2 since 21:31:42)");
  EXPECT_EQ(writes[0].time, wall(20));
}

TEST(EventPolicy, TheSameWordsContinueTheSeries) {
  EventPolicy policy({});
  const auto first = policy.take(notice(), at(0), wall(0));
  policy.stored(*first, "web.1");
  for (int i = 1; i <= 3; ++i) EXPECT_FALSE(policy.take(notice(), at(i), wall(i)));
  auto writes = policy.due(at(300));
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_EQ(writes[0].series_of, "web.1");
  EXPECT_EQ(writes[0].count, 4U);
  EXPECT_EQ(writes[0].time, wall(3));
  EXPECT_FALSE(policy.take(notice(), at(310), wall(310)));
  writes = policy.due(at(600));
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_EQ(writes[0].series_of, "web.1");
  EXPECT_EQ(writes[0].count, 5U);
}

TEST(EventPolicy, AnEventThatWasNeverStoredHasNoSeries) {
  EventPolicy policy({});
  ASSERT_TRUE(policy.take(notice(), at(0), wall(0)));
  EXPECT_FALSE(policy.take(notice(), at(1), wall(1)));
  const auto writes = policy.due(at(300));
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_EQ(writes[0].series_of, "");
}

TEST(EventPolicy, AQuietWindowEndsTheSeries) {
  EventPolicy policy({});
  ASSERT_TRUE(policy.take(notice(), at(0), wall(0)));
  EXPECT_THAT(policy.due(at(300)), IsEmpty());
  EXPECT_EQ(policy.series(), 0U);
  EXPECT_FALSE(policy.next());
  EXPECT_TRUE(policy.take(notice(), at(301), wall(301)));
}

TEST(EventPolicy, ContainersAndReasonsHaveTheirOwn) {
  EventPolicy policy({});
  EXPECT_TRUE(policy.take(notice(), at(0), wall(0)));
  EXPECT_TRUE(policy.take(notice("uid-2"), at(0), wall(0)));
  EXPECT_TRUE(policy.take(notice("uid-1", "x", EventReason::kResizeRefused), at(0), wall(0)));
  Notice sidecar = notice();
  sidecar.subject.container = "proxy";
  EXPECT_TRUE(policy.take(sidecar, at(0), wall(0)));
}

TEST(EventPolicy, APodHasItsRateAndLeavesTheNodeItsOwn) {
  EventPolicy policy({.node_per_minute = 1, .node_burst = 3, .pod_per_minute = 1, .pod_burst = 2});
  const auto take = [&](std::string uid, EventReason reason) {
    return policy.take(notice(std::move(uid), "x", reason), at(0), wall(0)).has_value();
  };
  EXPECT_TRUE(take("uid-1", EventReason::kMemoryLimitRaised));
  EXPECT_TRUE(take("uid-1", EventReason::kResizeRefused));
  EXPECT_FALSE(take("uid-1", EventReason::kCgroupFallback));
  EXPECT_TRUE(take("uid-2", EventReason::kCgroupFallback)) << "the node's third was spent on none";
  // It is not lost: the end of its window writes it.
  const auto writes = policy.due(at(300));
  ASSERT_THAT(writes, SizeIs(1));
  EXPECT_EQ(writes[0].reason, EventReason::kCgroupFallback);
}

TEST(EventPolicy, TheNodeHasItsRate) {
  EventPolicy policy({.node_per_minute = 6, .node_burst = 3});
  int written = 0;
  for (int i = 0; i < 100; ++i) {
    if (policy.take(notice("uid-" + std::to_string(i)), at(0), wall(0))) ++written;
  }
  EXPECT_EQ(written, 3);
  // Ten seconds bring one more.
  EXPECT_FALSE(policy.take(notice("later-1"), at(9), wall(9)));
  EXPECT_TRUE(policy.take(notice("later-2"), at(10), wall(10)));
  EXPECT_FALSE(policy.take(notice("later-3"), at(10), wall(10)));
  // After five minutes three are there again, and no more.
  EXPECT_THAT(policy.due(at(300)), SizeIs(3));
}

TEST(EventPolicy, NoneIsNone) {
  EventPolicy policy({.node_per_minute = 0});
  for (int i = 0; i < 100; ++i) {
    EXPECT_FALSE(policy.take(notice("uid-" + std::to_string(i)), at(i), wall(i)));
  }
  EXPECT_THAT(policy.due(at(1000)), IsEmpty());
}

TEST(EventPolicy, WhatItRemembersIsBoundedAndTheSilentGoFirst) {
  EventPolicy policy({.node_per_minute = 1e6, .node_burst = 1e6, .most_series = 4});
  for (int i = 0; i < 4; ++i) policy.take(notice("uid-" + std::to_string(i)), at(i), wall(i));
  EXPECT_FALSE(policy.take(notice("uid-0"), at(5), wall(5)));  // has something to say
  EXPECT_TRUE(policy.take(notice("uid-4"), at(6), wall(6)));
  EXPECT_EQ(policy.series(), 4U);
  EXPECT_FALSE(policy.take(notice("uid-0"), at(7), wall(7))) << "was forgotten";
  EXPECT_TRUE(policy.take(notice("uid-1"), at(8), wall(8))) << "was the oldest silent one";
  for (int i = 0; i < 1000; ++i) policy.take(notice("x" + std::to_string(i)), at(9), wall(9));
  EXPECT_EQ(policy.series(), 4U);
}

// Whatever comes: the rates hold, and every notice is in some write, waits, or its series went.
TEST(EventPolicy, RatesHoldForEveryHistory) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    std::minstd_rand random(seed + 1);
    const EventLimits limits{.window = seconds(30),
                             .node_per_minute = 12,
                             .node_burst = 5,
                             .pod_per_minute = 3,
                             .pod_burst = 2};
    EventPolicy policy(limits);
    std::map<std::string, int> pods;
    int writes = 0;
    int second = 0;
    const auto check = [&](const EventWrite& write) {
      ++writes;
      ++pods[write.subject.uid];
      EXPECT_LE(writes, 5 + second * 12 / 60 + 1) << "seed " << seed;
      EXPECT_LE(pods[write.subject.uid], 2 + second * 3 / 60 + 1) << "seed " << seed;
    };
    for (int i = 0; i < 2000; ++i) {
      second += static_cast<int>(random() % 2);
      const auto reason = static_cast<EventReason>(random() % 5);
      const Notice next = notice("uid-" + std::to_string(random() % 6), "note", reason);
      if (auto write = policy.take(next, at(second), wall(second))) check(*write);
      for (const EventWrite& write : policy.due(at(second))) check(write);
    }
    EXPECT_GT(writes, 100);
  }
}

const ContainerRef kApp{.name_space = "demo", .pod = "web", .uid = "uid-1", .container = "app"};

Record record(Record::Kind kind, Reason reason) {
  return {.kind = kind,
          .reason = reason,
          .facts = MemoryFacts{.limit = mebibytes(256),
                               .usage = mebibytes(250),
                               .reclaimable = mebibytes(10),
                               .rate_per_second = mebibytes(40)},
          .change = MemoryChange{mebibytes(256), mebibytes(384)}};
}

TEST(EventNotice, RecordsSayWhatWasDoneAndWhy) {
  const auto raised = notice_of(kApp, record(Record::Kind::kGrant, Reason::kReclaimFailing));
  ASSERT_TRUE(raised);
  EXPECT_EQ(raised->reason, EventReason::kMemoryLimitRaised);
  EXPECT_EQ(raised->subject, notice().subject);
  EXPECT_EQ(raised->note,
            "memory limit of container app raised from 256 MiB to 384 MiB: at the limit, and "
            "reclaim frees nothing any more");
  const auto ceiling = notice_of(kApp, record(Record::Kind::kDenial, Reason::kCeiling));
  ASSERT_TRUE(ceiling);
  EXPECT_EQ(ceiling->reason, EventReason::kCeilingReached);
  EXPECT_EQ(ceiling->note,
            "memory limit of container app is not raised: it is at its ceiling (needs 240 MiB of "
            "256 MiB, growing by 40 MiB per second)");
  EXPECT_EQ(notice_of(kApp, record(Record::Kind::kDenial, Reason::kLeak))->reason,
            EventReason::kLeakSuspected);
  for (const Reason reason : {Reason::kBudget, Reason::kGroupBudget, Reason::kPriority}) {
    EXPECT_EQ(notice_of(kApp, record(Record::Kind::kDenial, reason))->reason,
              EventReason::kOutOfBudget);
  }
  EXPECT_EQ(notice_of(kApp, record(Record::Kind::kOomKill, {}))->reason, EventReason::kOomKilled);
  ContainerRef pod = kApp;
  pod.container.clear();  // its own limit was the one that bound
  EXPECT_THAT(notice_of(pod, record(Record::Kind::kOomKill, {}))->note,
              HasSubstr("ended a process of the pod at"));
  Record shrink = record(Record::Kind::kShrink, Reason::kLeaseEnded);
  shrink.change = MemoryChange{mebibytes(384), mebibytes(256)};
  EXPECT_EQ(notice_of(kApp, shrink)->reason, EventReason::kMemoryLimitLowered);
}

TEST(EventNotice, WhatIsNoNewsForThePodMakesNoEvent) {
  for (const Record::Kind kind :
       {Record::Kind::kReclaim, Record::Kind::kFailure, Record::Kind::kWish}) {
    EXPECT_FALSE(notice_of(kApp, record(kind, Reason::kWatermark)));
  }
  EXPECT_FALSE(notice_of(kApp, record(Record::Kind::kDenial, Reason::kNotArmed)));
  EXPECT_FALSE(notice_of(kApp, record(Record::Kind::kDenial, Reason::kGone)));
}

ResizeEvent answer(ResizeEvent::Kind kind) {
  return {.kind = kind,
          .change = MemoryChange{mebibytes(256), mebibytes(384)},
          .reason = Reason::kTimeToLimit,
          .cause = "quota",
          .message = "exceeded quota: team, requested: limits.memory=128Mi"};
}

TEST(EventNotice, ARefusalNamesTheQuota) {
  const auto refused = notice_of(kApp, answer(ResizeEvent::Kind::kRefused));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->reason, EventReason::kResizeRefused);
  EXPECT_EQ(refused->note,
            "memory limit of container app cannot be set from 256 MiB to 384 MiB, refused by "
            "quota: exceeded quota: team, requested: limits.memory=128Mi");
}

TEST(EventNotice, ARaiseIsToldOfOnce) {
  ResizeEvent applied = answer(ResizeEvent::Kind::kApplied);
  EXPECT_EQ(notice_of(kApp, applied)->reason, EventReason::kMemoryLimitRaised);
  applied.bridged = true;  // the grant of the bridge was told of
  EXPECT_FALSE(notice_of(kApp, applied));
  applied = answer(ResizeEvent::Kind::kApplied);
  applied.change = MemoryChange{mebibytes(384), mebibytes(256)};
  EXPECT_EQ(notice_of(kApp, applied)->reason, EventReason::kMemoryLimitLowered);
}

TEST(EventNotice, OfACpuLimit) {
  ResizeEvent about{.kind = ResizeEvent::Kind::kRefused,
                    .change = CpuChange{MilliCpu{500}, MilliCpu{2000}},
                    .reason = Reason::kThrottled,
                    .cause = "quota",
                    .message = "exceeded quota: team"};
  EXPECT_EQ(notice_of(kApp, about)->note,
            "CPU limit of container app cannot be set from 500m to 2, refused by quota: exceeded "
            "quota: team");
  about.kind = ResizeEvent::Kind::kWithdrawn;
  EXPECT_EQ(notice_of(kApp, about)->note,
            "the resize of the CPU limit of container app to 2 was taken back: quota: exceeded "
            "quota: team");
  about.kind = ResizeEvent::Kind::kApplied;
  EXPECT_EQ(notice_of(kApp, about)->reason, EventReason::kCpuLimitRaised);
  EXPECT_EQ(notice_of(kApp, about)->note,
            "CPU limit of container app raised from 500m to 2: its quota kept it from the CPUs in "
            "more periods than is tolerated");
  about.change = CpuChange{MilliCpu{2000}, MilliCpu{500}};
  EXPECT_EQ(notice_of(kApp, about)->reason, EventReason::kCpuLimitLowered);
  about.bridged = true;
  EXPECT_FALSE(notice_of(kApp, about)) << "told of when it was written";
}

TEST(EventNotice, WhatTheKubeletTellsItselfIsNotRepeated) {
  for (const ResizeEvent::Kind kind :
       {ResizeEvent::Kind::kSent, ResizeEvent::Kind::kAccepted, ResizeEvent::Kind::kDeferred,
        ResizeEvent::Kind::kInfeasible, ResizeEvent::Kind::kFailed,
        ResizeEvent::Kind::kUnavailable}) {
    EXPECT_FALSE(notice_of(kApp, answer(kind))) << to_string(kind);
  }
  EXPECT_EQ(notice_of(kApp, answer(ResizeEvent::Kind::kBridgeWithdrawn))->reason,
            EventReason::kBridgeWithdrawn);
  EXPECT_EQ(notice_of(kApp, answer(ResizeEvent::Kind::kFallback))->reason,
            EventReason::kCgroupFallback);
}

TEST(EventNotice, EveryReasonHasItsNames) {
  std::set<std::string_view> names;
  for (int i = 0; i <= static_cast<int>(EventReason::kConfigRejected); ++i) {
    const auto reason = static_cast<EventReason>(i);
    EXPECT_TRUE(names.insert(to_string(reason)).second);
    EXPECT_NE(to_string(reason), "Unknown");
    EXPECT_NE(action_of(reason), "Unknown");
  }
  EXPECT_FALSE(is_warning(EventReason::kMemoryLimitRaised));
  EXPECT_TRUE(is_warning(EventReason::kResizeRefused));
  EXPECT_EQ(to_string(EventReason::kMemoryLimitRaised), "MemoryLimitRaised");
  EXPECT_EQ(to_string(EventReason::kBridgeWithdrawn), "BridgeWithdrawn");
  EXPECT_EQ(to_string(EventReason::kConfigRejected), "ConfigRejected");
}

TEST(EventNotice, AConfigurationIsTheNodes) {
  const Notice rejected = config_notice("node-a", "plimsoll.yaml:3: tick: \"x\" is no duration");
  EXPECT_EQ(rejected.subject.kind, "Node");
  EXPECT_EQ(kube::event_namespace(rejected.subject), "default");
  EXPECT_THAT(rejected.note, HasSubstr("plimsoll.yaml:3"));
}

}  // namespace
}  // namespace plimsoll::agent::event_policy_test
