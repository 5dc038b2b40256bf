// SPDX-License-Identifier: Apache-2.0
#include "kube/watch_reader.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "tests/kube/recording.h"

namespace plimsoll::kube::watch_reader_test {
namespace {

using Kind = WatchEvent::Kind;

std::vector<WatchEvent> read(const std::vector<std::string_view>& pieces) {
  std::vector<WatchEvent> events;
  WatchReader reader([&](WatchEvent&& event) {
    events.push_back(std::move(event));
    return true;
  });
  for (const std::string_view piece : pieces) EXPECT_TRUE(reader.feed(piece));
  return events;
}

std::vector<Kind> kinds(const std::vector<WatchEvent>& events) {
  std::vector<Kind> kinds;
  kinds.reserve(events.size());
  for (const WatchEvent& event : events) kinds.push_back(event.kind);
  return kinds;
}

void expect_same(const std::vector<WatchEvent>& a, const std::vector<WatchEvent>& b) {
  ASSERT_EQ(kinds(a), kinds(b));
  for (std::size_t i = 0; i < a.size(); ++i) {
    EXPECT_EQ(a[i].pod, b[i].pod);
    EXPECT_EQ(a[i].status, b[i].status);
  }
}

std::string line(const std::string& type, const std::string& object) {
  return R"({"type":")" + type + R"(","object":)" + object + "}\n";
}

std::string pod_text(const std::string& name, const std::string& more = "") {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"ns","uid":"uid-)" + name +
         R"(","resourceVersion":"3"},"spec":{"containers":[]})" + more + "}";
}

TEST(WatchReader, ReadsTheRecordedWatches) {
  const std::map<std::string, std::vector<Kind>> recordings{
      {"51-watch",
       {Kind::kAdded, Kind::kModified, Kind::kModified, Kind::kModified, Kind::kDeleted,
        Kind::kBookmark}},
      {"55-watch-apiserver-stops", {Kind::kModified, Kind::kBookmark}},
      {"53-watch-410", {Kind::kError}},
      {"54-watch-future-rv", {}},
      {"55b-watch-resume-after-restart", {Kind::kError}}};
  for (const auto& [name, expected] : recordings) {
    const auto events = read({test::recorded(name).at(0).body});
    EXPECT_EQ(kinds(events), expected) << name;
  }
  const auto events = read({test::recorded("51-watch").at(0).body});
  EXPECT_EQ(events.at(0).pod.id.name, "w1");
  EXPECT_EQ(events.at(0).pod.resource_version, "382");
  EXPECT_EQ(events.at(4).pod.id, events.at(0).pod.id);
  EXPECT_FALSE(events.at(5).pod.resource_version.empty());
  const auto expired = read({test::recorded("53-watch-410").at(0).body});
  EXPECT_EQ(expired.at(0).status.code, 410);
  EXPECT_EQ(expired.at(0).status.reason, "Expired");
}

TEST(WatchReader, ReadsWhatARealKubeletCausedHoweverItIsCut) {
  int watches = 0;
  for (const std::string& name : test::recordings()) {
    if (!name.starts_with("v") || name.starts_with("v10") || name.starts_with("v4-")) continue;
    const std::string text = test::recorded_watch_events(name);
    const auto events = read({text});
    ASSERT_FALSE(events.empty()) << name;
    for (const WatchEvent& event : events) EXPECT_NE(event.kind, Kind::kSkipped) << name;
    std::vector<std::string_view> bytes;
    for (std::size_t i = 0; i < text.size(); ++i)
      bytes.push_back(std::string_view(text).substr(i, 1));
    expect_same(read(bytes), events);
    ++watches;
  }
  EXPECT_GT(watches, 10);
}

TEST(WatchReader, TwoPiecesCutAnywhereAreOneWatch) {
  const std::string text = line("ADDED", pod_text("a")) + line("DELETED", pod_text("a")) +
                           line("BOOKMARK", R"({"metadata":{"resourceVersion":"9"},"spec":)"
                                            R"({"containers":null},"status":{}})") +
                           test::recorded("53-watch-410").at(0).body;
  const auto whole = read({text});
  EXPECT_EQ(kinds(whole),
            (std::vector{Kind::kAdded, Kind::kDeleted, Kind::kBookmark, Kind::kError}));
  for (std::size_t cut = 0; cut <= text.size(); ++cut) {
    expect_same(read({std::string_view(text).substr(0, cut), std::string_view(text).substr(cut)}),
                whole);
  }
}

// What is cut in mid-line says nothing, and the reader knows that it is in mid-line.
TEST(WatchReader, HalfALineIsNoEvent) {
  const std::string text = line("ADDED", pod_text("a"));
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    std::vector<WatchEvent> events;
    WatchReader reader([&](WatchEvent&& event) {
      events.push_back(std::move(event));
      return true;
    });
    EXPECT_TRUE(reader.feed(text.substr(0, cut)));
    EXPECT_TRUE(events.empty()) << cut;
    EXPECT_EQ(reader.in_line(), cut > 0) << cut;
  }
}

TEST(WatchReader, ALineThatMakesNoSenseCostsOnlyItself) {
  const std::string bad[] = {
      "garbage",
      "{",
      "}",
      R"({"type":"ADDED"})",
      R"({"object":{}})",
      R"({"type":"ADDED","object":{"metadata":{"uid":"a"}})",
      R"({"type":"ADDED","object":{"unclosed":"}})",
      line("ADDED", "7"),
      line("ADDED", R"({"metadata":{}})"),
      line("RENAMED", pod_text("a")),
      line("BOOKMARK", R"({"metadata":{}})"),
      line("DELETED", R"({"metadata":{"name":"a","namespace":"ns"}})"),
      line("ERROR", "7"),
      R"({"kind":"Status","code":500})",
      line("ADDED", pod_text("a") + "}"),
  };
  for (const std::string& text : bad) {
    const auto events =
        read({line("ADDED", pod_text("x")), text, "\n", line("MODIFIED", pod_text("y"))});
    ASSERT_EQ(kinds(events), (std::vector{Kind::kAdded, Kind::kSkipped, Kind::kModified})) << text;
    EXPECT_EQ(events[1].error.code, Code::kMalformed);
    EXPECT_FALSE(events[1].error.message.empty());
    EXPECT_EQ(events[2].pod.id.name, "y");
  }
  EXPECT_TRUE(read({"\n\n \n"}).empty());
}

TEST(WatchReader, WhatWasSkippedIsNamed) {
  const auto events = read({line("MODIFIED", pod_text("bad", R"(,"status":{"conditions":7})"))});
  ASSERT_EQ(events.size(), 1U);
  EXPECT_EQ(events[0].pod.id, (PodIdentity{"uid-bad", "ns", "bad"}));
  EXPECT_EQ(events[0].pod.resource_version, "3");
  EXPECT_EQ(events[0].error.message, "status.conditions is not an array");
}

// A deletion must not be missed because of the rest of the pod.
TEST(WatchReader, ADeletionNeedsItsIdentityOnly) {
  const auto events =
      read({line("DELETED", pod_text("a", R"(,"status":{"conditions":7})")),
            line("DELETED", pod_text("b", ",\"x\":\"" + std::string(kLargestPod, 'x') + '"'))});
  EXPECT_EQ(kinds(events), (std::vector{Kind::kDeleted, Kind::kDeleted}));
  EXPECT_EQ(events[1].pod.id.name, "b");
}

TEST(WatchReader, APodThatIsTooLargeIsSkippedByName) {
  const auto events =
      read({line("ADDED", pod_text("b", ",\"x\":\"" + std::string(kLargestPod, 'x') + '"')),
            line("ADDED", pod_text("a"))});
  EXPECT_EQ(kinds(events), (std::vector{Kind::kSkipped, Kind::kAdded}));
  EXPECT_EQ(events[0].pod.id.name, "b");
}

TEST(WatchReader, TheObjectMayComeFirst) {
  const auto events = read({R"({"object":)" + pod_text("a") + R"(,"type":"ADDED"})" + "\r\n"});
  ASSERT_EQ(kinds(events), (std::vector{Kind::kAdded}));
  EXPECT_EQ(events[0].pod.id.name, "a");
}

TEST(WatchReader, StopsWhenNothingMoreIsWanted) {
  int events = 0;
  WatchReader reader([&](WatchEvent&&) { return ++events < 2; });
  const std::string text = line("ADDED", pod_text("a"));
  EXPECT_FALSE(reader.feed(text + text + text));
  EXPECT_EQ(events, 2);
  EXPECT_FALSE(reader.feed(text));
  EXPECT_EQ(events, 2);
}

}  // namespace
}  // namespace plimsoll::kube::watch_reader_test
