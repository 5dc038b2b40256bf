// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/room.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "agent/resize/lease.h"
#include "tests/support/resize_scene.h"

namespace plimsoll::agent::room_test {
namespace {

using resize_test::mib;
using resize_test::refusal_of;
using resize_test::seconds;

TEST(Room, IsReadFromTheWordsOfTheRefusal) {
  struct Row {
    const char* message;
    Room<Bytes> room;
  };
  const std::vector<Row> rows{
      {"pods \"q\" is forbidden: exceeded quota: rq, requested: limits.memory=1792Mi, used: "
       "limits.memory=512Mi, limited: limits.memory=1Gi",
       {.increase = mib(512), .excess = mib(1280)}},
      {"pods \"q\" is forbidden: exceeded quota: rq, requested: "
       "limits.memory=1Gi,requests.memory=1Gi, used: limits.memory=1Gi,requests.memory=3Gi, "
       "limited: limits.memory=4Gi,requests.memory=3584Mi",
       {.increase = mib(512), .excess = mib(512)}},
      {"pods \"q\" is forbidden: exceeded quota: rq, requested: memory=1Gi, used: memory=5Gi, "
       "limited: memory=4Gi",
       {.increase = Bytes{}, .excess = mib(1024)}},
      {"pods \"q\" is forbidden: exceeded quota: rq, requested: limits.cpu=1, used: limits.cpu=3, "
       "limited: limits.cpu=3",
       {}},
      {"pods \"lim\" is forbidden: [maximum memory usage per Container is 512Mi, but limit is "
       "768Mi, memory max limit to request ratio per Container is 4, but provided ratio is "
       "6.000000]",
       {.container_max = mib(512), .limit_ratio = 4}},
      {"pods \"lim\" is forbidden: maximum memory usage per Pod is 1Gi, but limit is 2147483648",
       {.pod_max = mib(1024)}},
      {"pods \"lim\" is forbidden: minimum memory usage per Container is 1Gi, but request is 1Mi",
       {}},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(room_of<Bytes>(refusal_of(403, row.message)), row.room) << row.message;
  }
  const kube::Refusal node{
      .code = Code::kDenied,
      .cause = kube::Cause::kNodeCapacity,
      .message =
          "pods \"p5\" is forbidden: node didn't have enough allocatable resources: "
          "memory, requested: 8589934592, allocatable: 3070611456"};
  EXPECT_EQ(room_of<Bytes>(node), (Room<Bytes>{.pod_max = Bytes{3070611456}}));
}

TEST(Room, OfAWordingThatIsNotUnderstoodIsUnknown) {
  const std::vector<std::string> messages{
      "exceeded quota: rq, requested: limits.memory=x, used: limits.memory=, limited: "
      "limits.memory=9",
      "exceeded quota: rq, limited: limits.memory=1Gi, used: limits.memory=512Mi",
      "exceeded quota: used: limited: ",
      "exceeded quota: rq, requested: , used: nolimits.memory=1, limited: nolimits.memory=2",
  };
  for (const std::string& message : messages) {
    EXPECT_FALSE(
        room_of<Bytes>({.code = Code::kDenied, .cause = kube::Cause::kQuota, .message = message})
            .known())
        << message;
  }
  const kube::Refusal thousandths{
      .code = Code::kDenied,
      .cause = kube::Cause::kLimitRange,
      .message =
          "memory max limit to request ratio per Container is 2500m, but provided ratio is 8"};
  EXPECT_EQ(room_of<Bytes>(thousandths).limit_ratio, 2.5);
  for (const std::string ratio : {"", "x", "0.5", "nan", "4x", "-4"}) {
    const std::string message =
        "memory max limit to request ratio per Container is " + ratio + ", but provided";
    EXPECT_FALSE(room_of<Bytes>(
                     {.code = Code::kDenied, .cause = kube::Cause::kLimitRange, .message = message})
                     .known())
        << message;
  }
}

TEST(Room, OfCpuIsReadFromTheSameWords) {
  struct Row {
    const char* message;
    Room<MilliCpu> room;
  };
  const std::string is_forbidden = "pods \"q\" is forbidden: ";
  for (const Row& row : {
           Row{"exceeded quota: q, requested: limits.cpu=1500m, used: limits.cpu=500m, limited: "
               "limits.cpu=1",
               {.increase = MilliCpu{500}, .excess = MilliCpu{1000}}},
           Row{"exceeded quota: q, requested: limits.cpu=1,limits.memory=1Gi, used: "
               "limits.cpu=2,limits.memory=1Gi, limited: limits.cpu=2,limits.memory=1Gi",
               {.increase = MilliCpu{}, .excess = MilliCpu{1000}}},
           Row{"exceeded quota: q, requested: limits.memory=1Gi, used: limits.memory=1Gi, limited: "
               "limits.memory=1Gi",
               {}},
           Row{"maximum cpu usage per Container is 1, but limit is 2",
               {.container_max = MilliCpu{1000}}},
           Row{"[maximum cpu usage per Pod is 1500m, but limit is 2, cpu max limit to request "
               "ratio per Container is 4, but provided ratio is 20.000000]",
               {.limit_ratio = 4, .pod_max = MilliCpu{1500}}},
           Row{"maximum memory usage per Container is 512Mi, but limit is 768Mi", {}},
           Row{"minimum cpu usage per Container is 1, but request is 100m", {}},
       }) {
    const kube::Refusal refusal = refusal_of(403, is_forbidden + row.message);
    EXPECT_EQ(room_of<MilliCpu>(refusal), row.room) << row.message;
    EXPECT_FALSE(row.room.known() && room_of<Bytes>(refusal).container_max) << row.message;
  }
}

TEST(Fit, OfCpu) {
  const std::vector<Claim<MilliCpu>> claims{{MilliCpu{500}, MilliCpu{2000}, MilliCpu{100}},
                                            {MilliCpu{500}, MilliCpu{1250}, MilliCpu{200}}};
  using Sizes = std::vector<MilliCpu>;
  EXPECT_EQ(fit({.increase = MilliCpu{1000}}, claims, MilliCpu{1000}),
            (Sizes{MilliCpu{1166}, MilliCpu{833}}));
  EXPECT_EQ(fit({.limit_ratio = 6}, claims, MilliCpu{1000}),
            (Sizes{MilliCpu{600}, MilliCpu{1200}}));
  EXPECT_EQ(fit({.pod_max = MilliCpu{500}}, claims, MilliCpu{1000}),
            (Sizes{MilliCpu{500}, MilliCpu{500}}))
      << "never below where it stands";
}

TEST(Fit, CountsFromWhatIsStoredAndNotFromWhatIsKnown) {
  // Somebody has lowered it from 1000m to 250m meanwhile; the quota is 1000m.
  EXPECT_EQ(fit({.increase = MilliCpu{750}, .excess = MilliCpu{4000}},
                {Claim<MilliCpu>{.from = MilliCpu{1000}, .to = MilliCpu{5000}}}, MilliCpu{1000}),
            (std::vector<MilliCpu>{MilliCpu{1000}}));
}

TEST(Fit, CutsDownToTheRoom) {
  const Claim<Bytes> small{.from = mib(100), .to = mib(400), .request = mib(50)};
  const Claim<Bytes> large{.from = mib(100), .to = mib(1000), .request = mib(200)};
  const std::vector<Claim<Bytes>> both{small, large};
  using Sizes = std::vector<Bytes>;
  EXPECT_EQ(fit({}, both, mib(200)), (Sizes{mib(400), mib(1000)}));
  EXPECT_EQ(fit({.increase = mib(400)}, both, mib(200)), (Sizes{mib(200), mib(400)}))
      << "in proportion";
  EXPECT_EQ(fit({.increase = Bytes{}}, both, mib(200)), (Sizes{mib(100), mib(100)}));
  EXPECT_EQ(fit({.container_max = mib(512)}, both, mib(200)), (Sizes{mib(400), mib(512)}));
  EXPECT_EQ(fit({.limit_ratio = 4}, both, mib(200)), (Sizes{mib(200), mib(800)}));
  EXPECT_EQ(fit({.pod_max = mib(600)}, both, mib(200)), (Sizes{mib(200), mib(400)}));
  EXPECT_EQ(fit({.pod_max = mib(100)}, both, mib(200)), (Sizes{mib(100), mib(100)}))
      << "never below where it stands";
}

TEST(Fit, HoldsForRandomClaims) {
  std::mt19937 random(7);
  const auto some = [&](std::uint64_t below) { return Bytes{random() % below}; };
  for (int i = 0; i < 5000; ++i) {
    std::vector<Claim<Bytes>> claims;
    Bytes total = some(kGiB);
    for (unsigned j = 0; j < 1 + random() % 5; ++j) {
      const Bytes from = some(kGiB);
      claims.push_back({.from = from, .to = from + some(8 * kGiB), .request = some(kGiB)});
      total += from;
    }
    Room<Bytes> room;
    if (random() % 2) room.increase = some(kGiB * 2);
    if (random() % 2) room.container_max = some(kGiB * 2);
    if (random() % 2) room.limit_ratio = 1 + static_cast<double>(random() % 9);
    if (random() % 2) room.pod_max = some(kGiB * 8);
    const std::vector<Bytes> to = fit(room, claims, total);
    ASSERT_EQ(to.size(), claims.size());
    Bytes more;
    for (std::size_t j = 0; j < to.size(); ++j) {
      ASSERT_GE(to[j], claims[j].from);
      ASSERT_LE(to[j], claims[j].to);
      if (room.container_max) {
        ASSERT_LE(to[j], std::max(*room.container_max, claims[j].from));
      }
      more += to[j] - claims[j].from;
    }
    if (room.increase) {
      ASSERT_LE(more, *room.increase);
    }
    if (room.pod_max) {
      ASSERT_LE(more, *room.pod_max - total);
    }
  }
}

TEST(Lease, EndsWithItsReason) {
  struct Row {
    LeaseWhy why;
    LeaseNeed need;
    bool renewed;
  };
  const LeaseNeed away{.api_away = true, .usage_above_spec = true};
  const LeaseNeed away_idle{.api_away = true};
  const LeaseNeed back{.usage_above_spec = true};
  const LeaseNeed open{.request_open = true};
  const LeaseNeed wanted{.usage_above_spec = true, .wanted = true};
  const LeaseNeed wanted_idle{.wanted = true};
  for (const Row& row :
       {Row{LeaseWhy::kBridge, open, true}, Row{LeaseWhy::kBridge, away, true},
        Row{LeaseWhy::kBridge, back, false}, Row{LeaseWhy::kApiAway, away, true},
        Row{LeaseWhy::kApiAway, away_idle, false}, Row{LeaseWhy::kApiAway, back, false},
        Row{LeaseWhy::kNodeSilent, open, true}, Row{LeaseWhy::kNodeSilent, back, false},
        Row{LeaseWhy::kNoApi, wanted, true}, Row{LeaseWhy::kNoApi, wanted_idle, false},
        Row{LeaseWhy::kOverride, back, false}, Row{LeaseWhy::kPolicy, wanted, true}}) {
    EXPECT_EQ(renewable(row.why, row.need), row.renewed) << to_string(row.why);
  }
}

TEST(Lease, LeavesAMargin) {
  EXPECT_EQ(lowest_safe(mib(1000), 0.05, mib(8)), mib(1050));
  EXPECT_EQ(lowest_safe(mib(100), 0.05, mib(8)), mib(108));
}

}  // namespace
}  // namespace plimsoll::agent::room_test
