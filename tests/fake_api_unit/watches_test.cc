// SPDX-License-Identifier: Apache-2.0
//
// WATCH of the API fake against the recordings 51 to 55: types, order and shape of its lines.
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <vector>

#include "tests/fake_api/fake_api.h"
#include "tests/fake_api/http_client.h"
#include "tests/fake_api_unit/recording.h"

namespace plimsoll::test::watches_test {
namespace {

constexpr const char* kPods = "/api/v1/namespaces/demo/pods";

class Watches : public ::testing::Test {
 protected:
  Watches() { api_.restore("nodes", exchanges_of("00-node-node-a").at(1).body); }

  // All lines of a watch, until its time is up.
  std::vector<Json> watch(const std::string& query) {
    std::vector<Json> lines;
    const std::atomic<bool> stop = false;
    PlainRequest request;
    request.target = "/api/v1/pods?watch=true&" + query;
    const auto ended = plain_lines(api_.control_port(), request, stop, [&](std::string_view line) {
      lines.push_back(Json::parse(line));
      return true;
    });
    EXPECT_TRUE(ended.has_value());
    return lines;
  }

  std::string version() {
    const Reply list = api_.request("GET", "/api/v1/pods?limit=1");
    return text_at(list.body["metadata"], "resourceVersion");
  }

  void create(const std::string& name) {
    Json pod = Json::parse(exchanges_of("01-create-pod-and-status").at(0).request.body);
    pod["metadata"]["name"] = name;
    ASSERT_EQ(api_.create_pod(pod).status, 201);
  }
  void set_phase(const std::string& name, const char* phase) {
    ASSERT_EQ(api_.request("PATCH", std::string(kPods) + "/" + name + "/status",
                           {{"status", {{"phase", phase}}}})
                  .status,
              200);
  }

  FakeApi api_;
};

// What a watcher acts on.
Json outline(const Json& event) {
  const Json& object = event["object"];
  return {{"type", event["type"]},
          {"kind", member(object, "kind")},
          {"generation", member(object["metadata"], "generation")},
          {"leaving", member(object["metadata"], "deletionTimestamp").is_string()},
          {"grace", member(object["metadata"], "deletionGracePeriodSeconds")},
          {"phase", member(member(object, "status"), "phase")}};
}

std::vector<Json> outlines(const std::vector<Json>& lines) {
  std::vector<Json> found;
  for (const Json& line : lines) found.push_back(outline(line));
  return found;
}

std::vector<Json> recorded_lines(const std::string& name, std::size_t index = 0) {
  std::vector<Json> lines;
  for (const Json& entry : exchanges_of(name).at(index).stream) lines.push_back(entry["event"]);
  return lines;
}

TEST_F(Watches, ALifeFromAddedToDeletedThenABookmark) {
  const std::string from = version();
  create("w1");
  set_phase("w1", "Running");
  ASSERT_EQ(
      api_.request("PATCH", std::string(kPods) + "/w1/resize",
                   {{"spec",
                     {{"containers",
                       {{{"name", "app"}, {"resources", {{"limits", {{"memory", "300Mi"}}}}}}}}}}})
          .status,
      200);
  ASSERT_EQ(api_.request("DELETE", std::string(kPods) + "/w1?gracePeriodSeconds=0").status, 200);
  const auto lines = watch(
      "fieldSelector=spec.nodeName%3Dnode-a,metadata.namespace%3Ddemo&allowWatchBookmarks=true&"
      "timeoutSeconds=3&resourceVersion=" +
      from);
  const auto real = recorded_lines("51-watch");
  EXPECT_EQ(outlines(lines), outlines(real));
  // A bookmark holds a version and the shape of an empty pod.
  Json mark = lines.back();
  Json real_mark = real.back();
  EXPECT_EQ(mark["object"]["metadata"]["resourceVersion"], version());
  mark["object"]["metadata"].erase("resourceVersion");
  real_mark["object"]["metadata"].erase("resourceVersion");
  EXPECT_EQ(mark, real_mark);
}

TEST_F(Watches, AGracefulDelete) {
  create("w2");
  set_phase("w2", "Running");
  const std::string from = version();
  api_.request("DELETE", std::string(kPods) + "/w2");
  api_.request("DELETE", std::string(kPods) + "/w2?gracePeriodSeconds=0");
  EXPECT_EQ(outlines(watch("timeoutSeconds=1&resourceVersion=" + from)),
            outlines(recorded_lines("51b-watch-graceful-delete")));
}

TEST_F(Watches, LeavingTheSelectionIsDeletedAndEnteringAdded) {
  create("w3");
  set_phase("w3", "Running");
  const std::string from = version();
  set_phase("w3", "Failed");
  const auto lines =
      watch("fieldSelector=status.phase%3DRunning&timeoutSeconds=1&resourceVersion=" + from);
  ASSERT_EQ(lines.size(), recorded_lines("51c-watch-selector-leave").size());
  EXPECT_EQ(lines[0]["type"], "DELETED");
  set_phase("w3", "Running");
  const auto more =
      watch("fieldSelector=status.phase%3DRunning&timeoutSeconds=1&resourceVersion=" + from);
  ASSERT_EQ(more.size(), 2U);
  EXPECT_EQ(more[1]["type"], "ADDED");
}

TEST_F(Watches, InitialEventsEndWithAnAnnotatedBookmark) {
  create("b");
  create("a");
  const auto lines = watch(
      "sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true&"
      "timeoutSeconds=1");
  ASSERT_EQ(lines.size(), 3U);
  EXPECT_EQ(lines[0]["object"]["metadata"]["name"], "a");
  EXPECT_EQ(lines[1]["object"]["metadata"]["name"], "b");
  Json mark = lines[2];
  Json real = recorded_lines("52-watchlist").back();
  mark["object"]["metadata"].erase("resourceVersion");
  real["object"]["metadata"].erase("resourceVersion");
  EXPECT_TRUE(same(mark, real)) << mark.dump() << real.dump();
}

TEST_F(Watches, FromNothingOrZeroWhatThereIsComesFirst) {
  create("a");
  for (const char* from : {"", "&resourceVersion=0"}) {
    const auto lines = watch(std::string("timeoutSeconds=1") + from);
    ASSERT_EQ(lines.size(), recorded_lines("52b-watch-rv0").size());
    EXPECT_EQ(lines[0]["type"], "ADDED");
  }
}

TEST_F(Watches, TooOldIsAnErrorEvent) {
  create("a");
  const auto lines = watch("timeoutSeconds=5&resourceVersion=1");
  ASSERT_EQ(lines.size(), 1U);
  Json real = recorded_lines("53-watch-410").at(0);
  // The newest version differs.
  EXPECT_EQ(text_at(lines[0]["object"], "message").rfind("too old resource version: 1 (", 0), 0U);
  real["object"]["message"] = lines[0]["object"]["message"];
  EXPECT_TRUE(same(lines[0], real)) << lines[0].dump() << real.dump();
}

TEST_F(Watches, AfterARestartTheNewestVersionIsTooOld) {
  create("a");
  const std::string from = version();
  api_.restart();
  const auto lines = watch("timeoutSeconds=5&resourceVersion=" + from);
  ASSERT_EQ(lines.size(), recorded_lines("55b-watch-resume-after-restart").size());
  EXPECT_EQ(lines[0]["object"]["code"], 410);
  // What the next LIST tells is good.
  EXPECT_EQ(watch("timeoutSeconds=1&resourceVersion=" + version()).size(), 0U);
}

TEST_F(Watches, TheFutureIsSilent) {
  create("a");
  EXPECT_EQ(watch("allowWatchBookmarks=true&timeoutSeconds=3&resourceVersion=99999999").size(),
            recorded_lines("54-watch-future-rv").size());
}

TEST_F(Watches, AVersionThatIsNoNumberIsAServerError) {
  const Reply reply = api_.request("GET", "/api/v1/pods?watch=true&resourceVersion=abc");
  EXPECT_EQ(reply.status, exchanges_of("54b-watch-bad-rv").at(0).status);
  EXPECT_TRUE(same(reply.body, recorded_lines("54b-watch-bad-rv").at(0))) << reply.body.dump();
}

TEST_F(Watches, BookmarksComeAtTheInterval) {
  FakeApiOptions options;
  options.bookmark_interval = std::chrono::milliseconds(200);
  FakeApi api(options);
  std::size_t marks = 0;
  const std::atomic<bool> stop = false;
  const PlainRequest request{
      "GET", "/api/v1/pods?watch=1&allowWatchBookmarks=true&timeoutSeconds=20", "", {}};
  static_cast<void>(plain_lines(api.control_port(), request, stop, [&](std::string_view line) {
    EXPECT_EQ(Json::parse(line)["type"], "BOOKMARK");
    return ++marks < 3;
  }));
  EXPECT_EQ(marks, 3U);
}

}  // namespace
}  // namespace plimsoll::test::watches_test
