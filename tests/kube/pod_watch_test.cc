// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_watch.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "tests/kube/recording.h"

namespace plimsoll::kube::pod_watch_test {
namespace {

using std::chrono::seconds;
using Kind = PodChange::Kind;

const std::string kPods = "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode-a";

std::string pod_text(const std::string& name, const std::string& uid, const std::string& version,
                     const std::string& more = "") {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"ns","uid":")" + uid +
         R"(","resourceVersion":")" + version +
         R"("},"spec":{"nodeName":"node-a","containers":[]})" + more + "}";
}

std::string list_of(const std::vector<std::string>& pods, const std::string& version,
                    const std::string& token = "") {
  std::string items;
  for (const std::string& pod : pods) items += (items.empty() ? "" : ",") + pod;
  return R"({"kind":"PodList","metadata":{"resourceVersion":")" + version +
         (token.empty() ? "" : R"(","continue":")" + token) + R"("},"items":[)" + items + "]}";
}

std::string event(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

std::string bookmark(const std::string& version) {
  return event("BOOKMARK", R"({"kind":"Pod","metadata":{"resourceVersion":")" + version +
                               R"("},"spec":{"containers":null},"status":{}})");
}

Reply cut(TransportError::Kind kind = TransportError::Kind::kCut) {
  return tl::unexpected(TransportError{kind, {Code::kUnavailable, "cut"}, true, 200});
}

Reply refused(int status, const std::string& reason, const std::string& message = "no") {
  return Response{.status = status,
                  .content_type = "application/json",
                  .body = R"({"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure",)"
                          R"("message":")" +
                          message + R"(","reason":")" + reason + R"(","code":)" +
                          std::to_string(status) + "}"};
}

// Plays the API server, and keeps the picture that the changes paint.
class Player {
 public:
  explicit Player(std::uint64_t seed = 1)
      : watch(std::make_unique<PodWatch>(
            "node-a", seed, [this](PodChange&& change) { apply(std::move(change)); })) {}

  // Lets the time come at which something is asked, and returns what.
  Request ask() {
    now = std::max(now, watch->wait());
    return watch->next_request(now);
  }
  std::string path() { return ask().path; }

  // The body in one piece, after which the server ends it.
  void answer(std::string_view body, Nanoseconds after = seconds(5)) {
    now += after;
    (void)watch->on_data(body, now);
    watch->on_end(Response{.status = 200}, now);
  }
  void answer(const Reply& reply) { watch->on_end(reply, now); }

  // A LIST that goes well.
  void list(const std::vector<std::string>& texts, const std::string& version) {
    (void)ask();
    answer(list_of(texts, version));
  }

  int count(Kind kind) const {
    return static_cast<int>(std::count(said.begin(), said.end(), kind));
  }

  MonotonicTime now{seconds(1000)};
  std::vector<Kind> said;
  std::vector<PodChange> changes;
  std::map<std::string, Pod> pods;  // by uid
  std::unique_ptr<PodWatch> watch;

 private:
  void apply(PodChange&& change) {
    said.push_back(change.kind);
    if (change.kind == Kind::kPresent) pods[change.pod.id.uid] = change.pod;
    if (change.kind == Kind::kGone) {
      EXPECT_EQ(pods.erase(change.pod.id.uid), 1U) << change.pod.id.uid;
    }
    changes.push_back(std::move(change));
  }
};

std::vector<std::string> uids(const Player& player) {
  std::vector<std::string> uids;
  for (const auto& [uid, pod] : player.pods) uids.push_back(uid);
  return uids;
}
using Uids = std::vector<std::string>;

TEST(PodWatch, ListsThenWatchesFromThere) {
  Player player;
  const Request list = player.ask();
  EXPECT_EQ(list.method, Method::kGet);
  EXPECT_EQ(list.path, kPods + "&resourceVersion=0");
  EXPECT_FALSE(player.watch->synced());
  player.answer(list_of({pod_text("a", "u1", "3"), pod_text("b", "u2", "4")}, "10"));
  EXPECT_EQ(player.said, (std::vector{Kind::kPresent, Kind::kPresent, Kind::kSynced}));
  EXPECT_TRUE(player.watch->synced());
  EXPECT_LE(player.watch->wait(), player.now);

  const Request watch = player.ask();
  EXPECT_TRUE(watch.path.starts_with(
      kPods + "&watch=true&allowWatchBookmarks=true&resourceVersion=10&timeoutSeconds="))
      << watch.path;
  EXPECT_GT(watch.deadline, seconds(60));
  EXPECT_GT(player.watch->idle_deadline(), seconds(60));
}

TEST(PodWatch, TheListThatWentWellBeganWithItsFirstByte) {
  Player player;
  (void)player.ask();
  player.now += seconds(3);
  (void)player.watch->on_data(R"({"kind":"PodList",)", player.now);
  player.answer(cut());
  (void)player.ask();
  player.now += seconds(3);
  const MonotonicTime began = player.now;
  const std::string text = list_of({}, "7");
  (void)player.watch->on_data(text.substr(0, 9), player.now);
  player.answer(text.substr(9));
  EXPECT_EQ(player.watch->list_began(), began);
  // Later ones say nothing of the start.
  player.answer(refused(410, "Expired"));
  player.list({}, "9");
  EXPECT_EQ(player.watch->list_began(), began);
}

TEST(PodWatch, NamesAreEncoded) {
  PodWatch watch("node/a&b=c%", 1, [](PodChange&&) {});
  EXPECT_EQ(watch.next_request(MonotonicTime(seconds(1))).path,
            "/api/v1/pods?fieldSelector=spec.nodeName%3Dnode%2Fa%26b%3Dc%25&resourceVersion=0");
}

TEST(PodWatch, FollowsEvents) {
  Player player;
  player.list({pod_text("a", "u1", "3")}, "10");
  (void)player.ask();
  player.answer(event("ADDED", pod_text("b", "u2", "11")) +
                event("MODIFIED", pod_text("a", "u1", "12", R"(,"status":{"phase":"Running"})")) +
                event("DELETED", pod_text("b", "u2", "13")));
  EXPECT_EQ(uids(player), Uids{"u1"});
  EXPECT_EQ(player.pods.at("u1").phase, PodPhase::kRunning);
  EXPECT_NE(player.path().find("&resourceVersion=13&"), std::string::npos);
  EXPECT_EQ(player.watch->counters().events, 3U);
  EXPECT_EQ(player.watch->counters().missed_gone, 0U);
}

TEST(PodWatch, ResumesFromABookmark) {
  Player player;
  player.list({}, "10");
  (void)player.ask();
  player.answer(bookmark("20"));
  EXPECT_NE(player.path().find("&resourceVersion=20&"), std::string::npos);
  EXPECT_EQ(player.watch->counters().bookmarks, 1U);
  EXPECT_EQ(player.watch->counters().lists, 1U);
}

// Wherever the connection is cut, the watch goes on from the last whole event, and nothing is told
// twice or not at all.
TEST(PodWatch, ResumesAfterACutAnywhere) {
  const std::string stream = event("ADDED", pod_text("b", "u2", "11")) + bookmark("12") +
                             event("DELETED", pod_text("a", "u1", "13")) +
                             event("ADDED", pod_text("a", "u3", "14"));
  const std::map<std::string, std::size_t> after{
      {"10", 0},
      {"11", stream.find("{\"type\":\"BOOKMARK\"")},
      {"12", stream.find("{\"type\":\"DELETED\"")},
      {"13", stream.find("{\"type\":\"ADDED\",", stream.find("DELETED"))},
      {"14", stream.size()}};
  for (std::size_t at = 0; at <= stream.size(); ++at) {
    Player player;
    player.list({pod_text("a", "u1", "3")}, "10");
    (void)player.ask();
    (void)player.watch->on_data(stream.substr(0, at), player.now);
    player.answer(cut());
    EXPECT_EQ(player.said.back(), Kind::kFailed);
    const std::string path = player.path();
    const std::size_t version = path.find("&resourceVersion=") + 17;
    const std::size_t from = after.at(path.substr(version, path.find('&', version) - version));
    EXPECT_LE(from, at);
    player.answer(stream.substr(from));
    EXPECT_EQ(uids(player), (Uids{"u2", "u3"})) << at;
    EXPECT_EQ(player.count(Kind::kPresent), 3) << at;
    EXPECT_EQ(player.count(Kind::kGone), 1) << at;
    EXPECT_EQ(player.watch->counters().lists, 1U);
  }
}

TEST(PodWatch, PlaysTheRecordedWatchCutAnywhere) {
  const std::string list = test::recorded("50-list").at(0).body;
  const std::string stream = test::recorded("51-watch").at(0).body;
  for (std::size_t at = 0; at <= stream.size(); at += 97) {
    Player player;
    (void)player.ask();
    player.answer(list);
    const std::size_t listed = player.pods.size();
    EXPECT_NE(player.path().find("&resourceVersion=381&"), std::string::npos);
    (void)player.watch->on_data(std::string_view(stream).substr(0, at), player.now);
    (void)player.watch->on_data(std::string_view(stream).substr(at), player.now);
    player.now += seconds(20);
    player.answer(Response{.status = 200});
    EXPECT_EQ(player.pods.size(), listed);
    EXPECT_EQ(player.watch->counters().events, 5U);
    EXPECT_EQ(player.watch->counters().bookmarks, 1U);
    EXPECT_EQ(player.watch->counters().failures, 0U);
  }
}

TEST(PodWatch, ExpiredComesInTwoForms) {
  const std::string error_event = test::recorded("53-watch-410").at(0).body;
  for (const bool as_event : {true, false}) {
    Player player;
    player.list({pod_text("a", "u1", "3"), pod_text("b", "u2", "4")}, "10");
    (void)player.ask();
    const MonotonicTime expired_at = player.now;
    if (as_event) {
      EXPECT_FALSE(player.watch->on_data(error_event, player.now));
      player.answer(Response{.status = 200});
    } else {
      player.answer(refused(410, "Expired"));
    }
    EXPECT_LE(player.watch->wait(), expired_at + std::chrono::milliseconds(800));
    EXPECT_EQ(player.count(Kind::kFailed), 0);
    EXPECT_EQ(player.watch->counters().expired, 1U);
    // Not back in time, to what some other server's cache may hold.
    EXPECT_EQ(player.path(), kPods + "&resourceVersion=10&resourceVersionMatch=NotOlderThan");
    // Meanwhile b was deleted, and c came.
    player.answer(list_of({pod_text("a", "u1", "3"), pod_text("c", "u3", "40")}, "50"));
    EXPECT_EQ(uids(player), (Uids{"u1", "u3"}));
    EXPECT_EQ(player.said.back(), Kind::kSynced);
    EXPECT_EQ(player.watch->counters().missed_gone, 1U);
    EXPECT_EQ(player.watch->counters().relists, 1U) << "the first LIST is none";
    EXPECT_NE(player.path().find("&resourceVersion=50&"), std::string::npos);
  }
}

TEST(PodWatch, APodOfTheSameNameIsAnother) {
  Player player;
  player.list({pod_text("a", "u1", "3")}, "10");
  (void)player.ask();
  // As it should be, then with the deletion lost.
  player.answer(
      event("DELETED", pod_text("a", "u1", "11")) + event("ADDED", pod_text("a", "u2", "12")) +
      event("ADDED", pod_text("a", "u3", "13")) + event("DELETED", pod_text("a", "u2", "14")));
  EXPECT_EQ(uids(player), Uids{"u3"});
  EXPECT_EQ(player.watch->counters().missed_gone, 1U);
  EXPECT_EQ(player.said, (std::vector{Kind::kPresent, Kind::kSynced, Kind::kGone, Kind::kPresent,
                                      Kind::kGone, Kind::kPresent}));
  // A relist that has a fourth.
  (void)player.ask();
  player.answer(refused(410, "Expired"));
  player.list({pod_text("a", "u4", "20")}, "30");
  EXPECT_EQ(uids(player), Uids{"u4"});
}

// A list that was cut has lost nobody.
TEST(PodWatch, OnlyAWholeListMeansDeletions) {
  const std::string list = list_of({pod_text("a", "u1", "3"), pod_text("c", "u3", "20")}, "30");
  for (std::size_t at = 0; at < list.size(); at += 3) {
    for (const bool clean : {true, false}) {
      Player player;
      player.list({pod_text("a", "u1", "3"), pod_text("b", "u2", "4")}, "10");
      (void)player.ask();
      player.answer(refused(410, "Expired"));
      (void)player.ask();
      (void)player.watch->on_data(list.substr(0, at), player.now);
      player.answer(clean ? Reply(Response{.status = 200}) : cut());
      EXPECT_EQ(player.count(Kind::kGone), 0);
      EXPECT_EQ(player.said.back(), Kind::kFailed);
      EXPECT_EQ(player.count(Kind::kSynced), 1);
      (void)player.ask();
      player.answer(list);
      EXPECT_EQ(uids(player), (Uids{"u1", "u3"}));
    }
  }
}

TEST(PodWatch, AListThatIsNoneIsAFailure) {
  for (const std::string body : {"<html>Bad gateway</html>", "{}", "",
                                 R"({"kind":"Status","metadata":{"resourceVersion":"1"}})"}) {
    Player player;
    player.list({pod_text("a", "u1", "3")}, "10");
    (void)player.ask();
    player.answer(refused(410, "Expired"));
    (void)player.ask();
    player.answer(body);
    EXPECT_EQ(player.said.back(), Kind::kFailed) << body;
    EXPECT_EQ(player.changes.back().error.code, Code::kMalformed);
    EXPECT_EQ(uids(player), Uids{"u1"});
    EXPECT_TRUE(player.path().starts_with(kPods + "&resourceVersion=10&resourceVersionMatch"));
  }
}

TEST(PodWatch, ListsPageByPage) {
  Player player;
  (void)player.ask();
  player.answer(list_of({pod_text("a", "u1", "3")}, "10", "to/ken="));
  EXPECT_EQ(player.count(Kind::kSynced), 0);
  EXPECT_EQ(player.path(), kPods + "&limit=500&continue=to%2Fken%3D");
  player.answer(list_of({pod_text("b", "u2", "4")}, "10"));
  EXPECT_EQ(uids(player), (Uids{"u1", "u2"}));
  EXPECT_EQ(player.count(Kind::kSynced), 1);

  // A token that has expired: from the beginning, past the cache.
  (void)player.ask();
  player.answer(refused(410, "Expired"));
  (void)player.ask();
  player.answer(list_of({pod_text("a", "u1", "3")}, "20", "more"));
  (void)player.ask();
  player.answer(refused(410, "Expired"));
  EXPECT_EQ(player.path(), kPods + "&limit=500");
  player.answer(list_of({pod_text("b", "u2", "4")}, "30"));
  EXPECT_EQ(uids(player), Uids{"u2"});
}

// etcd was restored from a backup: the resourceVersion that we have lies in the future. The watch
// is silent, the cache never gets that far, and only the store can tell.
TEST(PodWatch, FindsBackFromTheFuture) {
  Player player;
  player.list({pod_text("a", "u1", "3"), pod_text("b", "u2", "4")}, "99999999");
  (void)player.ask();
  player.now += player.watch->idle_deadline();
  player.answer(cut(TransportError::Kind::kIdle));

  const auto recorded = test::recorded("50-list");
  const auto too_large = std::find_if(recorded.begin(), recorded.end(),
                                      [](const auto& reply) { return reply.status == 504; });
  ASSERT_NE(too_large, recorded.end());
  const std::string same = kPods + "&resourceVersion=99999999&resourceVersionMatch=NotOlderThan";
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(player.path(), same);
    player.answer(Response{.status = 504,
                           .content_type = "application/json",
                           .body = too_large->body,
                           .retry_after = seconds(1)});
    EXPECT_GE(player.watch->wait(), player.now + seconds(1));
  }
  EXPECT_EQ(player.path(), kPods + "&limit=500");
  player.answer(list_of({pod_text("a", "u1", "3")}, "381"));
  EXPECT_EQ(uids(player), Uids{"u1"});
  EXPECT_NE(player.path().find("&resourceVersion=381&"), std::string::npos);
}

// The server may not know our resourceVersion any more in ways of its own (54b: a 500).
TEST(PodWatch, AWatchThatIsRefusedAgainAndAgainIsNotAskedForever) {
  const auto recorded = test::recorded("54b-watch-bad-rv").at(0);
  Player player;
  player.list({}, "10");
  for (int i = 0; i < 3; ++i) {
    EXPECT_NE(player.path().find("&watch=true"), std::string::npos);
    player.answer(Response{.status = recorded.status, .body = recorded.body});
  }
  EXPECT_EQ(player.path().find("&watch=true"), std::string::npos);
}

// Not being allowed, and being told to wait, say nothing of the resourceVersion.
TEST(PodWatch, ARefusalOfUsCausesNoList) {
  for (const auto& [status, reason] :
       {std::pair{401, "Unauthorized"}, {403, "Forbidden"}, {429, "TooManyRequests"}}) {
    Player player;
    player.list({}, "10");
    for (int i = 0; i < 10; ++i) {
      EXPECT_NE(player.path().find("&watch=true"), std::string::npos) << status;
      player.answer(refused(status, reason));
    }
    EXPECT_EQ(player.watch->counters().lists, 1U);
  }
}

TEST(PodWatch, HonoursRetryAfter) {
  Player player;
  (void)player.ask();
  player.answer(Response{.status = 429, .body = "Too many requests", .retry_after = seconds(7)});
  EXPECT_GE(player.watch->wait(), player.now + seconds(7));
  EXPECT_LE(player.watch->wait(), player.now + seconds(8));
}

TEST(PodWatch, WaitsLongerAfterEachFailureAndNotAtAllAfterSuccess) {
  Nanoseconds longest{};
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    Player player(seed);
    Nanoseconds bound = std::chrono::milliseconds(800);
    for (int i = 0; i < 12; ++i) {
      (void)player.ask();
      player.answer(cut(TransportError::Kind::kConnect));
      const Nanoseconds wait = player.watch->wait() - player.now;
      EXPECT_GE(wait, Nanoseconds(0));
      EXPECT_LE(wait, bound);
      longest = std::max(longest, wait);
      bound = std::min<Nanoseconds>(bound * 2, seconds(8));
    }
    EXPECT_EQ(player.count(Kind::kFailed), 12);
    EXPECT_TRUE(player.watch->failing());
    player.list({}, "10");
    EXPECT_EQ(player.count(Kind::kResumed), 1);
    EXPECT_FALSE(player.watch->failing());
    // Good for two minutes: the next failure is the first.
    for (int i = 0; i < 3; ++i) {
      (void)player.ask();
      player.answer(bookmark("11"), seconds(100));
      EXPECT_LE(player.watch->wait(), player.now);
    }
    (void)player.ask();
    player.answer(cut());
    EXPECT_LE(player.watch->wait(), player.now + std::chrono::milliseconds(800));
  }
  EXPECT_GT(longest, seconds(7));
}

TEST(PodWatch, AWatchThatEndsAtOnceIsAFailure) {
  Player player;
  player.list({}, "10");
  Nanoseconds waited{};
  for (int i = 0; i < 20; ++i) {
    (void)player.ask();
    player.answer("", std::chrono::milliseconds(1));
    waited += player.watch->wait() - player.now;
  }
  EXPECT_GT(waited, seconds(30));
  // One that ends in its time is none.
  (void)player.ask();
  player.answer(bookmark("11"), seconds(300));
  EXPECT_LE(player.watch->wait(), player.now);
  EXPECT_FALSE(player.watch->failing());
}

TEST(PodWatch, WatchesEndAtDifferentTimes) {
  Player player;
  player.list({}, "10");
  std::map<std::string, int> timeouts;
  for (int i = 0; i < 20; ++i) {
    const std::string path = player.path();
    const std::string timeout = path.substr(path.rfind('=') + 1);
    ++timeouts[timeout];
    EXPECT_GE(std::stoi(timeout), 300);
    EXPECT_LE(std::stoi(timeout), 600);
    player.answer(bookmark("10"), seconds(300));
  }
  EXPECT_GT(timeouts.size(), 10U);
}

TEST(PodWatch, AMalformedPodStaysAsItWas) {
  Player player;
  player.list({pod_text("a", "u1", "3"), pod_text("b", "u2", "4")}, "10");
  (void)player.ask();
  const std::string bad = R"(,"status":{"conditions":7})";
  player.answer(event("MODIFIED", pod_text("a", "u1", "11", bad)) +
                event("MODIFIED", pod_text("b", "u2", "12", R"(,"status":{"phase":"Failed"})")));
  EXPECT_EQ(player.count(Kind::kSkipped), 1);
  EXPECT_EQ(player.changes.at(3).pod.id, (PodIdentity{"u1", "ns", "a"}));
  EXPECT_FALSE(player.changes.at(3).error.message.empty());
  EXPECT_EQ(player.pods.at("u2").phase, PodPhase::kFailed);
  EXPECT_EQ(player.watch->counters().skipped, 1U);
  EXPECT_EQ(player.watch->counters().failures, 0U);

  // In a list too: it is there, though nobody can read it.
  (void)player.ask();
  player.answer(refused(410, "Expired"));
  player.list({pod_text("a", "u1", "11", bad)}, "20");
  EXPECT_EQ(uids(player), Uids{"u1"});
  // Unless it is another by now.
  (void)player.ask();
  player.answer(refused(410, "Expired"));
  player.list({pod_text("a", "u9", "21", bad)}, "30");
  EXPECT_TRUE(player.pods.empty());
}

// A line of which nothing could be read may have been anything: a list has to tell.
TEST(PodWatch, ListsAgainAfterALineThatSaidNothing) {
  Player player;
  player.list({pod_text("a", "u1", "3")}, "10");
  (void)player.ask();
  player.answer("garbage\n" + event("ADDED", pod_text("b", "u2", "12")), seconds(300));
  EXPECT_EQ(uids(player), (Uids{"u1", "u2"}));
  EXPECT_EQ(player.path(), kPods + "&resourceVersion=12&resourceVersionMatch=NotOlderThan");
  player.answer(list_of({pod_text("b", "u2", "12")}, "20"));
  EXPECT_EQ(uids(player), Uids{"u2"});
}

TEST(PodWatch, PodsOfOtherNodesAreNotTaken) {
  Player player;
  std::string other = pod_text("x", "u7", "3");
  other.replace(other.find("node-a"), 6, "node-b");
  player.list({other, pod_text("a", "u1", "3")}, "10");
  EXPECT_EQ(uids(player), Uids{"u1"});
  EXPECT_EQ(player.count(Kind::kSkipped), 1);
}

TEST(PodWatch, AStoppedClientIsNoFailure) {
  Player player;
  player.list({}, "10");
  (void)player.ask();
  player.answer(cut(TransportError::Kind::kStopped));
  EXPECT_EQ(player.count(Kind::kFailed), 0);
}

// Every pod that a real kubelet's node had is followed to its end.
TEST(PodWatch, FollowsRealKubelets) {
  for (const std::string& name : test::recordings()) {
    if (!name.starts_with("v") || name.starts_with("v10") || name.starts_with("v4-")) continue;
    std::vector<PodChange> changes;
    PodWatch watch("vm1", 1, [&](PodChange&& change) { changes.push_back(std::move(change)); });
    MonotonicTime now{seconds(1)};
    (void)watch.next_request(now);
    (void)watch.on_data(list_of({}, "1"), now);
    watch.on_end(Response{.status = 200}, now);
    (void)watch.next_request(now);
    EXPECT_TRUE(watch.on_data(test::recorded_watch_events(name), now)) << name;
    EXPECT_GT(watch.counters().events, 0U) << name;
    EXPECT_EQ(watch.counters().skipped, 0U) << name;
    for (const PodChange& change : changes) EXPECT_NE(change.kind, Kind::kSkipped) << name;
  }
}

}  // namespace
}  // namespace plimsoll::kube::pod_watch_test
