// SPDX-License-Identifier: Apache-2.0
#include "kube/event.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/kube/recording.h"

namespace plimsoll::kube::event_test {
namespace {

using nlohmann::json;
using ::testing::EndsWith;
using ::testing::StartsWith;

WallTime recorded_time() { return WallTime(std::chrono::microseconds(1'795'296'692'123'456)); }

// The event that recording 80b created.
Event recorded_event() {
  return {.name = "web.9ac8c3bb71b0a70c",
          .subject = {.name_space = "demo",
                      .name = "web",
                      .uid = "da9d1664-39e9-4918-9ba9-ff0ad7df2d80",
                      .container = "app"},
          .reason = "MemoryLimitRaised",
          .action = "Resize",
          .note = "memory limit of app raised",
          .time = recorded_time(),
          .controller = "example.com/autofit",
          .instance = "autofit-node-a"};
}

TEST(Event, IsTheBodyThatTheServerTook) {
  const auto replies = test::recorded("80b-event-eventsk8sio");
  ASSERT_FALSE(replies.empty());
  ASSERT_EQ(replies[0].status, 201);
  json sent = json::parse(replies[0].request_body);
  sent["regarding"].erase("resourceVersion");  // optional, and ours would be stale
  const Request request = create_event(recorded_event());
  EXPECT_EQ(request.method, Method::kPost);
  EXPECT_EQ(request.path, replies[0].path);
  EXPECT_EQ(request.content_type, "application/json");
  EXPECT_EQ(json::parse(request.body), sent);
}

// What the server refused in 80b: each of these is kept by the value, whatever was put in.
TEST(Event, StaysWithinWhatTheServerRefuses) {
  std::vector<std::string> refused;
  for (const auto& reply : test::recorded("80b-event-eventsk8sio")) {
    if (reply.status == 422) {
      refused.push_back(json::parse(reply.body).at("details").at("causes")[0].at("field"));
    }
  }
  EXPECT_THAT(refused, testing::IsSupersetOf({"message", "action", "eventTime", "type", "reason"}));
  Event event = recorded_event();
  event.note = std::string(5000, 'n');
  event.reason = std::string(500, 'r');
  event.action = std::string(500, 'a');
  event.instance = std::string(500, 'i');
  const json body = json::parse(create_event(event).body);
  EXPECT_EQ(body.at("note").get<std::string>().size(), 1024U);
  EXPECT_EQ(body.at("reason").get<std::string>().size(), 128U);
  EXPECT_EQ(body.at("action").get<std::string>().size(), 128U);
  EXPECT_EQ(body.at("reportingInstance").get<std::string>().size(), 128U);
  EXPECT_EQ(body.at("type"), "Normal");
  event.warning = true;
  EXPECT_EQ(json::parse(create_event(event).body).at("type"), "Warning");
}

TEST(Event, ACutNoteEndsBetweenTwoCharacters) {
  Event event = recorded_event();
  event.note = std::string(1022, 'n') + "€€";  // three bytes each
  EXPECT_EQ(json::parse(create_event(event).body).at("note"), std::string(1022, 'n'));
}

TEST(Event, BytesThatAreNoTextBecomeText) {
  Event event = recorded_event();
  event.note = "limit \xff\xfe\x80 of \"app\"\n";
  const json body = json::parse(create_event(event).body);
  EXPECT_THAT(body.at("note").get<std::string>(), StartsWith("limit "));
  EXPECT_THAT(body.at("note").get<std::string>(), EndsWith(" of \"app\"\n"));
}

TEST(Event, NameIsADnsSubdomainOfTheObject) {
  EXPECT_EQ(event_name("web", 0x9ac8c3bb71b0a70c), "web.9ac8c3bb71b0a70c");
  EXPECT_EQ(event_name("web", 1), "web.0000000000000001");
  const std::string longest = event_name(std::string(253, 'a'), 7);
  EXPECT_EQ(longest.size(), 253U);
  EXPECT_THAT(longest, EndsWith("a.0000000000000007"));
  // Cut in the middle of "...-.": neither may stand before a dot.
  const std::string cut = event_name(std::string(230, 'a') + "-.-.-.-.-.-", 7);
  EXPECT_EQ(cut, std::string(230, 'a') + ".0000000000000007");
}

TEST(Event, OfANodeIsInDefault) {
  Event event = recorded_event();
  event.subject = {.kind = "Node", .name = "node-a", .uid = "node-a"};
  const Request request = create_event(event);
  EXPECT_EQ(request.path, "/apis/events.k8s.io/v1/namespaces/default/events");
  const json body = json::parse(request.body);
  EXPECT_EQ(body.at("metadata").at("namespace"), "default");
  EXPECT_EQ(body.at("regarding"),
            (json{{"apiVersion", "v1"}, {"kind", "Node"}, {"name", "node-a"}, {"uid", "node-a"}}));
}

TEST(Event, ASeriesIsAMergePatchOfNothingElse) {
  const Request request = update_series("demo", "web.9ac8c3bb71b0a70c", 7, recorded_time());
  EXPECT_EQ(request.method, Method::kPatch);
  EXPECT_EQ(request.path, "/apis/events.k8s.io/v1/namespaces/demo/events/web.9ac8c3bb71b0a70c");
  EXPECT_EQ(request.content_type, "application/merge-patch+json");
  EXPECT_EQ(
      json::parse(request.body),
      (json{{"series", {{"count", 7}, {"lastObservedTime", "2026-11-21T21:31:32.123456Z"}}}}));
  // A series of fewer than two is refused.
  EXPECT_EQ(json::parse(update_series("demo", "x", 1, {}).body).at("series").at("count"), 2);
}

TEST(Event, NamesCannotLeaveTheirPath) {
  EXPECT_EQ(update_series("../kube system", "a/b?c#d%", 2, {}).path,
            "/apis/events.k8s.io/v1/namespaces/..%2Fkube%20system/events/a%2Fb%3Fc%23d%25");
}

TEST(Event, TimesHaveSixDigits) {
  EXPECT_EQ(micro_time(recorded_time()), "2026-11-21T21:31:32.123456Z");
  EXPECT_EQ(micro_time(WallTime(std::chrono::microseconds(7))), "1970-01-01T00:00:00.000007Z");
  EXPECT_EQ(micro_time(WallTime(std::chrono::microseconds(-1))), "1969-12-31T23:59:59.999999Z");
}

}  // namespace
}  // namespace plimsoll::kube::event_test
