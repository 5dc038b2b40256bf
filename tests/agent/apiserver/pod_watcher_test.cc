// SPDX-License-Identifier: Apache-2.0
#include "agent/apiserver/pod_watcher.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>

#include "tests/fake_api/fake_api.h"

namespace plimsoll::agent::pod_watcher_test {
namespace {

using Kind = kube::PodChange::Kind;

test::Json pod_json(const std::string& name, const std::string& node = "node-a") {
  return test::Json::parse(R"({"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"demo"},
      "spec":{"containers":[{"name":"app","image":"a:1","resources":{
        "limits":{"memory":"256Mi"},"requests":{"memory":"128Mi"}}}]}})")
      .patch(test::Json::array({{{"op", "add"}, {"path", "/metadata/name"}, {"value", name}},
                                {{"op", "add"}, {"path", "/spec/nodeName"}, {"value", node}}}));
}

class PodWatcherTest : public testing::Test {
 protected:
  void create(const std::string& name, const std::string& node = "node-a") {
    const auto reply = api_.create_pod(pod_json(name, node));
    ASSERT_EQ(reply.status, 201) << reply.body.dump();
  }
  void remove(const std::string& name) {
    const auto reply = api_.request("DELETE", "/api/v1/namespaces/demo/pods/" + name,
                                    {{"gracePeriodSeconds", 0}}, "application/json");
    ASSERT_LT(reply.status, 300) << reply.body.dump();
  }
  void label(const std::string& name, const std::string& value) {
    const auto reply = api_.request("PATCH", "/api/v1/namespaces/demo/pods/" + name,
                                    {{"metadata", {{"labels", {{"mark", value}}}}}});
    ASSERT_EQ(reply.status, 200) << reply.body.dump();
  }

  void start() {
    kube::ClientConfig config;
    config.server = api_.url();
    config.credentials.ca.file = api_.directory() + "/ca.crt";
    config.credentials.token.file = api_.directory() + "/token";
    auto client = kube::Client::make(std::move(config));
    ASSERT_TRUE(client) << client.error().message;
    auto watcher = PodWatcher::start(std::move(*client), "node-a", 1);
    ASSERT_TRUE(watcher) << watcher.error().message;
    watcher_ = std::move(*watcher);
  }

  // Takes changes until `done`, as the slow loop would: the queue's descriptor wakes it.
  void take_until(const std::string& what, const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no " << what;
      pollfd poll{.fd = watcher_->change_fd(), .events = POLLIN, .revents = 0};
      if (::poll(&poll, 1, 1000) != 1) continue;
      for (kube::PodChange& change : watcher_->take()) apply(std::move(change));
    }
  }
  void wait_until(const std::string& what, const std::function<bool()>& done) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!done()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << "no " << what;
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
  void take_until_synced(int times = 1) {
    take_until("sync", [&] { return count(Kind::kSynced) >= times; });
  }

  int count(Kind kind) const {
    const auto found = counts_.find(kind);
    return found == counts_.end() ? 0 : found->second;
  }
  bool has(const std::string& name) const { return pods_.contains(name); }

  test::FakeApi api_;
  std::unique_ptr<PodWatcher> watcher_;
  std::map<std::string, kube::Pod> pods_;  // by name
  std::map<Kind, int> counts_;

 private:
  void apply(kube::PodChange&& change) {
    ++counts_[change.kind];
    if (change.kind == Kind::kPresent) pods_[change.pod.id.name] = change.pod;
    if (change.kind == Kind::kGone) {
      const auto pod = pods_.find(change.pod.id.name);
      ASSERT_NE(pod, pods_.end());
      EXPECT_EQ(pod->second.id, change.pod.id);
      pods_.erase(pod);
    }
  }
};

TEST_F(PodWatcherTest, TellsThePodsOfItsNode) {
  create("a");
  create("b");
  create("elsewhere", "node-b");
  start();
  take_until_synced();
  ASSERT_EQ(pods_.size(), 2U);
  EXPECT_EQ(pods_.at("a").containers.at(0).resources.limits.memory, Bytes{256 * kMiB});
  EXPECT_EQ(count(Kind::kSkipped), 0);
  EXPECT_EQ(watcher_->status().pods, 2U);
  EXPECT_TRUE(watcher_->status().synced);
  EXPECT_FALSE(watcher_->status().failing);
  EXPECT_TRUE(watcher_->status().last_contact);
}

// What happens is told without another request: one LIST, one WATCH.
TEST_F(PodWatcherTest, FollowsWithoutAsking) {
  create("a");
  start();
  take_until_synced();
  create("b");
  label("a", "new");
  take_until("label", [&] { return pods_.at("a").labels["mark"] == "new"; });
  remove("a");
  take_until("deletion", [&] { return !has("a"); });
  create("a");
  take_until("new pod", [&] { return has("a") && has("b"); });
  EXPECT_EQ(api_.count("list", "pods"), 1U);
  EXPECT_EQ(api_.count("watch", "pods"), 1U);
  EXPECT_EQ(watcher_->status().client.connections, 1U);
}

TEST_F(PodWatcherTest, LearnsWhatItMissed) {
  create("stays");
  create("goes");
  create("changes");
  start();
  take_until_synced();
  const std::string uid = pods_.at("changes").id.uid;
  api_.add_fault({.resource = "pods", .kind = test::FaultKind::kReset});
  api_.break_connections();
  take_until("failure", [&] { return count(Kind::kFailed) > 0; });
  EXPECT_TRUE(watcher_->status().failing);
  EXPECT_EQ(pods_.size(), 3U);
  remove("goes");
  remove("changes");
  create("changes");
  create("comes");
  api_.forget_changes();  // so that the watch cannot go on: 410, and a new LIST
  api_.clear_faults();
  take_until_synced(2);
  EXPECT_TRUE(has("stays"));
  EXPECT_FALSE(has("goes"));
  EXPECT_TRUE(has("comes"));
  EXPECT_NE(pods_.at("changes").id.uid, uid);
  EXPECT_EQ(count(Kind::kResumed), 1);
  EXPECT_EQ(watcher_->status().watch.expired, 1U);
  EXPECT_EQ(watcher_->status().watch.missed_gone, 2U);
}

TEST_F(PodWatcherTest, ResumesAfterACutWithoutAList) {
  create("a");
  start();
  take_until_synced();
  wait_until("watch", [&] { return api_.count("watch", "pods") == 1; });
  api_.break_connections();
  take_until("failure", [&] { return count(Kind::kFailed) > 0; });
  create("b");
  take_until("new pod", [&] { return has("b"); });
  EXPECT_EQ(api_.count("list", "pods"), 1U);
}

// Nothing is dropped while nobody takes, and no more than the bound waits.
TEST_F(PodWatcherTest, AFullQueueMakesTheServerWait) {
  constexpr std::size_t kPods = 3 * PodWatcher::kMostWaiting;
  for (std::size_t i = 0; i < kPods; ++i) create("p" + std::to_string(i));
  start();
  wait_until("full queue", [&] { return watcher_->status().waiting == PodWatcher::kMostWaiting; });
  EXPECT_FALSE(watcher_->status().synced);
  EXPECT_EQ(watcher_->take(1).size(), 1U);
  wait_until("full queue again",
             [&] { return watcher_->status().waiting == PodWatcher::kMostWaiting; });
  take_until_synced();
  EXPECT_EQ(pods_.size(), kPods - 1);
  // The descriptor is quiet when nothing waits.
  pollfd poll{.fd = watcher_->change_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&poll, 1, 0), 0);
  EXPECT_TRUE(watcher_->take().empty());
}

TEST_F(PodWatcherTest, StopsWhateverItIsWaitingFor) {
  for (std::size_t i = 0; i < 2 * PodWatcher::kMostWaiting; ++i) create("p" + std::to_string(i));
  start();
  watcher_.reset();  // maybe before the first request

  start();
  wait_until("full queue", [&] { return watcher_->status().waiting == PodWatcher::kMostWaiting; });
  watcher_.reset();

  start();
  api_.clear_requests();
  take_until("watch", [&] { return api_.count("watch", "pods") == 1; });
  watcher_.reset();

  api_.set_silent(true);
  start();
  std::this_thread::yield();
  watcher_.reset();
  api_.set_silent(false);

  api_.go();
  start();
  take_until("failure", [&] { return count(Kind::kFailed) >= 3; });
  watcher_.reset();
}

}  // namespace
}  // namespace plimsoll::agent::pod_watcher_test
