// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/resizer.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>

#include "agent/apiserver/request_stats.h"
#include "tests/fake_api/fake_api.h"

namespace plimsoll::agent::resizer_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Urgency = SendResize::Urgency;

class ResizerTest : public testing::Test {
 protected:
  ResizerTest() {
    const auto reply = api_.request(
        "POST", "/api/v1/nodes",
        test::Json::parse(R"({"apiVersion":"v1","kind":"Node","metadata":{"name":"node-a"},
            "status":{"capacity":{"memory":"16Gi"},"allocatable":{"memory":"16Gi"}}})"),
        "application/json");
    EXPECT_EQ(reply.status, 201) << reply.body.dump();
  }

  void create(const std::string& name) {
    const test::Json pod = test::Json::parse(R"({"apiVersion":"v1","kind":"Pod",
        "metadata":{"namespace":"demo"},"spec":{"nodeName":"node-a","containers":[{"name":"app",
        "image":"a:1","resources":{"limits":{"memory":"256Mi"},"requests":{"memory":"128Mi"}}}]}})");
    const auto reply = api_.create_pod(pod.patch(
        test::Json::array({{{"op", "add"}, {"path", "/metadata/name"}, {"value", name}}})));
    ASSERT_EQ(reply.status, 201) << reply.body.dump();
    pods_[name] = {.uid = reply.body["metadata"]["uid"].get<std::string>(),
                   .namespace_name = "demo",
                   .name = name};
  }

  void start(std::size_t queue = 1024) {
    ResizerConfig config;
    config.client.server = api_.url();
    config.client.credentials.ca.file = api_.directory() + "/ca.crt";
    config.client.credentials.token.file = api_.directory() + "/token";
    config.client.observer = &tally_;
    config.queue = queue;
    config.requests_per_second = 1000;
    config.burst = 1000;
    config.preflights_per_second = 1000;
    Result<std::unique_ptr<Resizer>> resizer = Resizer::start(config);
    ASSERT_TRUE(resizer) << resizer.error().message;
    resizer_ = *std::move(resizer);
  }

  SendResize request(const std::string& name, std::uint64_t mib,
                     Urgency urgency = Urgency::kRescue) {
    SendResize request;
    request.id = ++next_id_;
    request.resize.pod = pods_.at(name);
    request.resize.dry_run = urgency == Urgency::kPreflight;
    request.resize.changes.resize(1);
    request.resize.changes[0].container = "app";
    request.resize.changes[0].limits.memory = Bytes{mib * kMiB};
    request.urgency = urgency;
    request.deadline = seconds(60);
    return request;
  }
  bool submit(const SendResize& request) {
    return resizer_->submit(request, kube::ResizePath::kSubresource);
  }

  // Takes outcomes as the slow loop would, until there are `count`.
  void take(std::size_t count) {
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    while (outcomes_.size() < count) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << outcomes_.size() << " outcomes";
      pollfd poll{.fd = resizer_->outcome_fd(), .events = POLLIN, .revents = 0};
      if (::poll(&poll, 1, 1000) != 1) continue;
      for (ResizerOutcome& each : resizer_->collect()) outcomes_.push_back(std::move(each));
    }
  }
  void wait_until(const std::string& what, const std::function<bool()>& done) const {
    const auto deadline = std::chrono::steady_clock::now() + seconds(60);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no " << what;
      std::this_thread::sleep_for(milliseconds(2));
    }
  }

  std::string stored_limit(const std::string& name) const {
    return api_.object("pods", "demo",
                       name)["spec"]["containers"][0]["resources"]["limits"]["memory"];
  }
  void black_hole(const std::string& name) {
    test::Fault fault;
    fault.resource = "pods/resize";
    fault.name = name;
    fault.kind = test::FaultKind::kBlackHole;
    api_.add_fault(fault);
  }

  test::FakeApi api_;
  ApiTally tally_;
  std::map<std::string, kube::PodIdentity> pods_;
  std::uint64_t next_id_ = 0;
  std::vector<ResizerOutcome> outcomes_;
  std::unique_ptr<Resizer> resizer_;  // goes first
};

TEST_F(ResizerTest, SendsAndTellsWhatBecameOfIt) {
  create("a");
  start();
  ASSERT_TRUE(submit(request("a", 384)));
  take(1);
  EXPECT_EQ(outcomes_[0].uid, pods_["a"].uid);
  EXPECT_EQ(outcomes_[0].outcome.id, 1u);
  EXPECT_EQ(outcomes_[0].outcome.status, 200);
  ASSERT_TRUE(outcomes_[0].outcome.pod);
  EXPECT_EQ(outcomes_[0].outcome.pod->containers[0].resources.limits.memory, Bytes{384 * kMiB});
  EXPECT_EQ(outcomes_[0].outcome.pod->resized_by.at(0).manager, "plimsoll");
  EXPECT_LE(outcomes_[0].outcome.sent, outcomes_[0].outcome.answered);
  EXPECT_EQ(stored_limit("a"), "384Mi");
  ASSERT_TRUE(submit(request("a", 512, Urgency::kPreflight)));
  take(2);
  EXPECT_TRUE(outcomes_[1].dry_run);
  EXPECT_EQ(outcomes_[1].outcome.pod->containers[0].resources.limits.memory, Bytes{512 * kMiB});
  EXPECT_EQ(stored_limit("a"), "384Mi") << "a dry run stores nothing";
  const ApiTotals totals = tally_.totals();
  EXPECT_EQ(totals.requests.size(), 2u) << "one PATCH, one dry run";
}

TEST_F(ResizerTest, TellsARefusalFromASilence) {
  create("a");
  create("b");
  test::Fault quota;
  quota.resource = "pods/resize";
  quota.name = "a";
  quota.kind = test::FaultKind::kRefusal;
  quota.refusal = "quota";
  api_.add_fault(quota);
  black_hole("b");
  start();
  ASSERT_TRUE(submit(request("a", 384)));
  take(1);
  ASSERT_TRUE(outcomes_[0].outcome.refusal);
  EXPECT_EQ(outcomes_[0].outcome.refusal->cause, kube::Cause::kQuota);
  SendResize hopeless = request("b", 384);
  hopeless.deadline = milliseconds(200);
  ASSERT_TRUE(submit(hopeless));
  take(2);
  ASSERT_TRUE(outcomes_[1].outcome.refusal);
  EXPECT_EQ(outcomes_[1].outcome.refusal->code, Code::kUnavailable);
  EXPECT_TRUE(outcomes_[1].outcome.refusal->outcome_unknown);
}

TEST_F(ResizerTest, ASilentServerForSomeDoesNotKeepARescueWaiting) {
  for (int i = 0; i < 6; ++i) {
    create("silent-" + std::to_string(i));
    black_hole("silent-" + std::to_string(i));
  }
  create("a");
  start();
  for (int i = 0; i < 6; ++i) {
    ASSERT_TRUE(submit(request("silent-" + std::to_string(i), 384,
                               i % 2 == 0 ? Urgency::kPreflight : Urgency::kNormal)));
  }
  wait_until("two that wait", [&] { return api_.requests().size() >= 2; });
  ASSERT_TRUE(submit(request("a", 384)));
  take(1);
  EXPECT_EQ(outcomes_[0].uid, pods_["a"].uid);
  EXPECT_EQ(outcomes_[0].outcome.status, 200);
  EXPECT_EQ(api_.requests().size(), 3u) << "the others left two workers to rescues";
}

TEST_F(ResizerTest, RescuesGoFirst) {
  for (const char* name : {"silent-1", "silent-2", "silent-3"}) {
    create(name);
    black_hole(name);
  }
  create("late");
  test::Fault late;
  late.resource = "pods/resize";
  late.name = "late";
  late.delay = milliseconds(300);
  api_.add_fault(late);
  create("a");
  create("b");
  create("c");
  start();
  for (const char* name : {"silent-1", "silent-2", "silent-3", "late"}) {
    ASSERT_TRUE(submit(request(name, 384)));
  }
  wait_until("four that wait", [&] { return api_.requests().size() == 4; });
  ASSERT_TRUE(submit(request("c", 384, Urgency::kPreflight)));
  ASSERT_TRUE(submit(request("b", 384, Urgency::kNormal)));
  ASSERT_TRUE(submit(request("a", 384)));
  take(4);  // by the one worker that came free
  std::map<std::string, std::chrono::nanoseconds> at;
  for (const test::RequestRecord& each : api_.requests()) at[each.access.name] = each.at;
  EXPECT_LE(at["a"], at["b"]);
  EXPECT_LE(at["a"], at["c"]);
}

TEST_F(ResizerTest, OnePatchOfAPodAtATime) {
  create("a");
  test::Fault late;
  late.resource = "pods/resize";
  late.delay = milliseconds(100);
  api_.add_fault(late);
  start();
  for (std::uint64_t mib = 300; mib < 305; ++mib) ASSERT_TRUE(submit(request("a", mib)));
  take(5);
  for (std::size_t i = 0; i < 5; ++i) EXPECT_EQ(outcomes_[i].outcome.id, i + 1) << "in order";
  for (std::size_t i = 1; i < 5; ++i) {
    EXPECT_GE(outcomes_[i].outcome.sent, outcomes_[i - 1].outcome.answered);
  }
  EXPECT_EQ(stored_limit("a"), "304Mi");
}

TEST_F(ResizerTest, AFullQueueIsSaidAndEveryRequestHasOneOutcome) {
  create("a");
  start(3);
  std::set<std::uint64_t> taken;
  std::size_t refused = 0;
  for (int i = 0; i < 20; ++i) {
    const SendResize one = request("a", 300);
    if (submit(one)) {
      taken.insert(one.id);
      continue;
    }
    ++refused;
    const ResizerOutcome outcome = dropped(one, {}, kQueueFull);
    EXPECT_EQ(outcome.outcome.id, one.id);
    EXPECT_EQ(outcome.outcome.refusal->code, Code::kUnavailable);
    EXPECT_FALSE(outcome.outcome.refusal->outcome_unknown);
  }
  EXPECT_EQ(taken.size(), 3u) << "outcomes that nobody has fetched count as well";
  EXPECT_EQ(resizer_->dropped_total(), refused);
  take(3);
  for (const ResizerOutcome& each : outcomes_) EXPECT_EQ(taken.erase(each.outcome.id), 1u);
  EXPECT_TRUE(submit(request("a", 300))) << "there is room again";
  take(4);
}

TEST_F(ResizerTest, WithoutAWayToResizeNothingIsTaken) {
  create("a");
  start();
  EXPECT_FALSE(resizer_->submit(request("a", 300), kube::ResizePath::kNone));
}

TEST_F(ResizerTest, EndsWhileAServerIsSilent) {
  create("a");
  black_hole("a");
  start();
  ASSERT_TRUE(submit(request("a", 300)));
  wait_until("a request", [&] { return !api_.requests().empty(); });
  resizer_.reset();  // hangs here if it waits for the answer
}

TEST_F(ResizerTest, ABadConfigurationIsSaidAtTheStart) {
  ResizerConfig config;
  config.client.server = "http://127.0.0.1:1";
  EXPECT_EQ(Resizer::start(config).error().code, Code::kMalformed);
  config.workers = 1;
  EXPECT_EQ(Resizer::start(config).error().code, Code::kMalformed);
}

}  // namespace
}  // namespace plimsoll::agent::resizer_test
