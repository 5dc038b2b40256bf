// SPDX-License-Identifier: Apache-2.0
#include "agent/telemetry/event_poster.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace plimsoll::agent::event_poster_test {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using std::chrono::seconds;
using ::testing::SizeIs;

Notice notice(std::string uid = "uid-1") {
  return {{.name_space = "demo", .name = "web", .uid = std::move(uid), .container = "app"},
          EventReason::kMemoryLimitRaised,
          "raised"};
}

kube::Response created() { return {.status = 201}; }
kube::Response status(int code, std::string_view reason, std::string_view message) {
  return {.status = code,
          .content_type = "application/json",
          .body = json{
              {"kind", "Status"},
              {"apiVersion", "v1"},
              {"status", "Failure"},
              {"reason", reason},
              {"message", message},
              {"details", {{"name", "web.1"}, {"kind", "events"}}},
              {"code",
               code}}.dump()};
}
kube::Response no_right() {
  return status(403, "Forbidden",
                "events.events.k8s.io is forbidden: User \"system:serviceaccount:plimsoll:agent\" "
                "cannot create resource \"events\" in API group \"events.k8s.io\" in the namespace "
                "\"demo\"");
}
kube::Reply cut() {
  return tl::unexpected(kube::TransportError{.kind = kube::TransportError::Kind::kCut,
                                             .error = {Code::kUnavailable, "cut"},
                                             .sent = true});
}

// The API server's end: keeps what was asked and answers as told, 201 once that is used up. Can
// hold the poster's thread inside a request.
class Server {
 public:
  explicit Server(std::deque<kube::Reply> replies = {}) : replies_(std::move(replies)) {}

  EventPoster::Send way() {
    return [this](const kube::Request& request) { return answer(request); };
  }
  void hold() {
    const std::lock_guard lock(mutex_);
    held_ = true;
  }
  void let_go() {
    const std::lock_guard lock(mutex_);
    held_ = false;
    changed_.notify_all();
  }
  void refuse_patches_with(kube::Response reply) { patch_reply_ = std::move(reply); }
  // Which request was the first PATCH.
  std::optional<std::size_t> patch() {
    const std::lock_guard lock(mutex_);
    for (std::size_t i = 0; i < requests_.size(); ++i) {
      if (requests_[i].method == kube::Method::kPatch) return i;
    }
    return std::nullopt;
  }
  // Waits until so many requests came.
  std::vector<kube::Request> requests(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(changed_.wait_for(lock, seconds(60), [&] { return requests_.size() >= count; }))
        << "only " << requests_.size() << " requests of " << count;
    return requests_;
  }

 private:
  kube::Reply answer(const kube::Request& request) {
    std::unique_lock lock(mutex_);
    requests_.push_back(request);
    changed_.notify_all();
    changed_.wait(lock, [this] { return !held_; });
    if (request.method == kube::Method::kPatch && patch_reply_) return *patch_reply_;
    if (replies_.empty()) return created();
    kube::Reply reply = std::move(replies_.front());
    replies_.pop_front();
    return reply;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<kube::Reply> replies_;
  std::vector<kube::Request> requests_;
  std::optional<kube::Response> patch_reply_;
  bool held_ = false;
};

EventPosterOptions quick() {
  return {.instance = "node-a", .pause = milliseconds(1), .pause_max = milliseconds(2)};
}

// Until `done` of the totals, which is printed.
template <typename Done>
EventPoster::Totals totals_when(const EventPoster& poster, Done done) {
  const auto end = std::chrono::steady_clock::now() + seconds(60);
  while (!done(poster.totals()) && std::chrono::steady_clock::now() < end) {
    std::this_thread::yield();
  }
  const EventPoster::Totals totals = poster.totals();
  EXPECT_TRUE(done(totals)) << "posted " << totals.posted << ", suppressed " << totals.suppressed
                            << ", dropped " << totals.dropped << ", failed " << totals.failed;
  return totals;
}

TEST(EventPoster, WritesANoticeAsAnEvent) {
  Server server;
  EventPoster poster(quick(), server.way());
  poster.post(notice());
  const auto requests = server.requests(1);
  EXPECT_EQ(requests[0].path, "/apis/events.k8s.io/v1/namespaces/demo/events");
  const json body = json::parse(requests[0].body);
  EXPECT_EQ(body.at("reason"), "MemoryLimitRaised");
  EXPECT_EQ(body.at("action"), "Resize");
  EXPECT_EQ(body.at("reportingController"), "plimsoll.dev/agent");
  EXPECT_EQ(body.at("reportingInstance"), "node-a");
  EXPECT_EQ(body.at("regarding").at("fieldPath"), "spec.containers{app}");
  totals_when(poster, [](const auto& totals) { return totals.posted == 1; });
}

TEST(EventPoster, AFullQueueDropsTheOldestAndCounts) {
  Server server;
  server.hold();
  EventPosterOptions options = quick();
  options.queue = 3;
  EventPoster poster(options, server.way());
  poster.post(notice("uid-0"));
  server.requests(1);  // the thread waits in it; the queue is empty
  for (int i = 1; i <= 5; ++i) poster.post(notice("uid-" + std::to_string(i)));
  EXPECT_EQ(poster.totals().dropped, 2U);
  server.let_go();
  const auto requests = server.requests(4);
  std::vector<std::string> uids;
  for (const auto& request : requests) {
    uids.push_back(json::parse(request.body).at("regarding").at("uid"));
  }
  EXPECT_EQ(uids, (std::vector<std::string>{"uid-0", "uid-3", "uid-4", "uid-5"}));
}

TEST(EventPoster, WithoutTheRightItFallsSilent) {
  Server server({no_right()});
  EventPoster poster(quick(), server.way());
  for (int i = 0; i < 20; ++i) poster.post(notice("uid-" + std::to_string(i)));
  totals_when(poster, [](const auto& totals) { return totals.failed == 20; });
  EXPECT_THAT(server.requests(1), SizeIs(1)) << "asked again";
}

TEST(EventPoster, ARefusalOfOneEventIsNoReasonForSilence) {
  Server server({status(403, "Forbidden",
                        "events.events.k8s.io \"web.1\" is forbidden: unable to create new content "
                        "in namespace demo because it is being terminated")});
  EventPoster poster(quick(), server.way());
  poster.post(notice("uid-1"));
  poster.post(notice("uid-2"));
  const auto totals =
      totals_when(poster, [](const auto& each) { return each.failed + each.posted == 2; });
  EXPECT_EQ(totals.failed, 1U);
  EXPECT_EQ(totals.posted, 1U);
}

TEST(EventPoster, AnAwayServerIsAskedAgainForTheSameEvent) {
  Server server({cut(), status(503, "ServiceUnavailable", "later"), kube::Response{.status = 429}});
  EventPoster poster(quick(), server.way());
  poster.post(notice());
  const auto requests = server.requests(4);
  for (const auto& request : requests) EXPECT_EQ(request.body, requests[0].body);
  EXPECT_EQ(totals_when(poster, [](const auto& each) { return each.posted == 1; }).failed, 0U);
}

TEST(EventPoster, AnEventThatWasStoredUnheardIsFound) {
  Server server({cut(), status(409, "AlreadyExists", "events \"web.1\" already exists")});
  EventPoster poster(quick(), server.way());
  poster.post(notice());
  EXPECT_EQ(totals_when(poster, [](const auto& each) { return each.posted == 1; }).failed, 0U);
  EXPECT_THAT(server.requests(2), SizeIs(2));
}

TEST(EventPoster, GivesOneEventUpAfterItsAttempts) {
  Server server({cut(), cut(), cut()});
  EventPosterOptions options = quick();
  options.attempts = 3;
  EventPoster poster(options, server.way());
  poster.post(notice());
  totals_when(poster, [](const auto& totals) { return totals.failed == 1; });
  poster.post(notice("uid-2"));
  totals_when(poster, [](const auto& totals) { return totals.posted == 1; });
  EXPECT_THAT(server.requests(4), SizeIs(4));
}

TEST(EventPoster, RepeatsAreAPatchOfTheSeriesAndALostEventIsMadeAnew) {
  Server server;
  server.refuse_patches_with(status(404, "NotFound", "events.events.k8s.io \"web.1\" not found"));
  EventPosterOptions options = quick();
  options.limits = {.window = milliseconds(1),
                    .node_per_minute = 1e6,
                    .node_burst = 1e6,
                    .pod_per_minute = 1e6,
                    .pod_burst = 1e6};
  EventPoster poster(options, server.way());
  // The second of two falls into the window of the first, unless the machine is slow just then.
  const auto end = std::chrono::steady_clock::now() + seconds(60);
  while (!server.patch() && std::chrono::steady_clock::now() < end) {
    poster.post(notice());
    poster.post(notice());
    std::this_thread::sleep_for(milliseconds(1));
  }
  const auto patch = server.patch();
  ASSERT_TRUE(patch);
  const auto requests = server.requests(*patch + 2);
  EXPECT_THAT(requests[*patch].path,
              testing::StartsWith("/apis/events.k8s.io/v1/namespaces/demo/events/web."));
  EXPECT_GE(json::parse(requests[*patch].body).at("series").at("count"), 2);
  EXPECT_EQ(requests[*patch + 1].method, kube::Method::kPost);
  EXPECT_EQ(json::parse(requests[*patch + 1].body).at("note"), "raised");
  EXPECT_EQ(poster.totals().failed, 0U);
}

TEST(EventPoster, StopsWhileItWaitsForTheServer) {
  Server server({cut(), cut(), cut()});
  EventPosterOptions options = quick();
  options.pause = options.pause_max = std::chrono::hours(1);
  {
    EventPoster poster(options, server.way());
    poster.post(notice("uid-1"));
    poster.post(notice("uid-2"));
    server.requests(1);
  }
  EXPECT_THAT(server.requests(1), SizeIs(1));
}

}  // namespace
}  // namespace plimsoll::agent::event_poster_test
