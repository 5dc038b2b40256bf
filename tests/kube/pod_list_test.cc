// SPDX-License-Identifier: Apache-2.0
#include "kube/pod_list.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "tests/kube/heap.h"
#include "tests/kube/recording.h"

namespace plimsoll::kube::pod_list_test {
namespace {

using Json = nlohmann::ordered_json;

struct Read {
  std::vector<Pod> pods;
  std::vector<std::pair<PodGlimpse, std::string>> skipped;
  bool fed = true;
  Result<PodListEnd> end = PodListEnd{};
};

// Feeds `text` in pieces of `size` bytes.
Read read(std::string_view text, std::size_t size) {
  Read result;
  PodListReader reader([&](Pod&& pod) { result.pods.push_back(std::move(pod)); },
                       [&](const PodGlimpse& glimpse, const Error& error) {
                         result.skipped.emplace_back(glimpse, error.message);
                       });
  for (; !text.empty() && result.fed; text.remove_prefix(std::min(size, text.size()))) {
    result.fed = reader.feed(text.substr(0, size)).has_value();
  }
  result.end = reader.end();
  return result;
}

std::string list_of(const std::string& items,
                    const std::string& metadata = R"({"resourceVersion":"7"})") {
  return R"({"kind":"PodList","apiVersion":"v1","metadata":)" + metadata + R"(,"items":)" + items +
         "}";
}

std::string pod_text(const std::string& name, const std::string& more = "") {
  return R"({"metadata":{"name":")" + name + R"(","namespace":"ns","uid":"uid-)" + name +
         R"(","resourceVersion":"3"},"spec":{"containers":[]})" + more + "}";
}

TEST(PodList, ReadsTheRecordedListsHoweverTheyAreCut) {
  int lists = 0;
  for (const std::string recording : {"50-list", "53b-list-410-compacted"}) {
    for (const auto& reply : test::recorded(recording)) {
      const Json list = Json::parse(reply.body);
      if (list.value("kind", "") != "PodList") continue;
      ++lists;
      const Read whole = read(reply.body, reply.body.size());
      ASSERT_TRUE(whole.end);
      EXPECT_EQ(whole.end->resource_version,
                list.at("metadata").at("resourceVersion").get<std::string>());
      EXPECT_EQ(whole.end->continue_token, list.at("metadata").value("continue", ""));
      EXPECT_EQ(whole.pods.size(), list.at("items").size());
      EXPECT_TRUE(whole.skipped.empty());
      for (const std::size_t size : {1U, 7U, 1000U}) {
        EXPECT_EQ(read(reply.body, size).pods, whole.pods);
      }
    }
  }
  EXPECT_GE(lists, 10);
}

TEST(PodList, AListThatWasCutIsNone) {
  const std::string text = list_of("[" + pod_text("a") + "," + pod_text("b") + "]");
  for (std::size_t end = 0; end < text.size(); ++end) {
    const Read cut = read(text.substr(0, end), text.size());
    EXPECT_TRUE(cut.fed);
    ASSERT_FALSE(cut.end) << end;
    EXPECT_EQ(cut.end.error().code, Code::kMalformed);
  }
  EXPECT_TRUE(read(text + "\n", 1).end);
}

TEST(PodList, HasNoPods) {
  for (const std::string items : {"[]", " [ ] ", "null"}) {
    const Read none = read(list_of(items), 1);
    EXPECT_TRUE(none.end) << items;
    EXPECT_TRUE(none.pods.empty());
    EXPECT_TRUE(none.skipped.empty());
  }
}

TEST(PodList, MetadataMayComeLast) {
  const Read last = read(R"({"items":[)" + pod_text("a") +
                             R"(],"metadata":{"continue":"more","resourceVersion":"9"},)"
                             R"("kind":"PodList"})",
                         1);
  ASSERT_TRUE(last.end);
  EXPECT_EQ(*last.end, (PodListEnd{"9", "more"}));
  EXPECT_EQ(last.pods.size(), 1U);
}

TEST(PodList, RefusesWhatIsNoPodList) {
  for (const std::string text :
       {"", "<html>", "[]", "null", "{}", R"({"kind":"PodList","items":[]})",
        R"({"kind":"PodList","metadata":{"resourceVersion":""},"items":[]})",
        R"({"kind":"Status","metadata":{"resourceVersion":"1"}})",
        R"({"kind":"NodeList","metadata":{"resourceVersion":"1"},"items":[]})",
        R"({"metadata":{"resourceVersion":"1"},"items":[]})",
        R"({"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[],})",
        R"({"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[,]})",
        R"({"kind":"PodList" "metadata":{"resourceVersion":"1"},"items":[]})",
        R"({"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[]}{)"}) {
    const Read none = read(text, 1);
    EXPECT_FALSE(none.fed && none.end) << text;
  }
}

TEST(PodList, AMalformedPodIsSkippedByName) {
  const std::string bad = pod_text("bad", R"(,"status":{"conditions":7})");
  const Read some = read(
      list_of("[" + pod_text("a") + "," + bad + ",{\"metadata\" 1},7," + pod_text("b") + "]"), 5);
  EXPECT_TRUE(some.end);
  ASSERT_EQ(some.pods.size(), 2U);
  EXPECT_EQ(some.pods[1].id.name, "b");
  ASSERT_EQ(some.skipped.size(), 3U);
  EXPECT_EQ(some.skipped[0].first, (PodGlimpse{{"uid-bad", "ns", "bad"}, "3"}));
  EXPECT_EQ(some.skipped[0].second, "status.conditions is not an array");
  EXPECT_EQ(some.skipped[1].first, PodGlimpse{});
}

TEST(PodList, APodThatIsTooLargeIsSkippedByName) {
  const std::string filler(kLargestPod, 'x');
  test::reset_heap_peak();
  const std::ptrdiff_t before = test::heap_bytes();
  Read some;
  {
    const std::string text = list_of(
        "[" + pod_text("huge", R"(,"status":{"x":")" + filler + "\"}") + "," + pod_text("b") + "]");
    some = read(text, 16 * 1024);
  }
  EXPECT_TRUE(some.end);
  ASSERT_EQ(some.pods.size(), 1U);
  EXPECT_EQ(some.pods[0].id.name, "b");
  ASSERT_EQ(some.skipped.size(), 1U);
  EXPECT_EQ(some.skipped[0].first.id.name, "huge");
  EXPECT_NE(some.skipped[0].second.find("4 MiB"), std::string::npos);
  EXPECT_LT(test::heap_bytes() - before, std::ptrdiff_t{64 * 1024});
}

// A pod as large ones are: 10 kB, most of it in what nobody reads.
Json ten_kilobytes() {
  Json pod = Json::parse(test::recorded("34-sidecar").back().body);
  Json& environment = pod["spec"]["containers"][0]["env"];
  for (std::size_t size = pod.dump().size(); size < 10'000; size += 50) {
    environment.push_back({{"name", "VARIABLE_1234567890"}, {"value", "1234567890"}});
  }
  return pod;
}

TEST(PodList, FiveHundredLargePodsCostLittle) {
  constexpr int kPods = 500;
  std::vector<std::string> texts;
  std::size_t size = 0;
  Json pod = ten_kilobytes();
  for (int i = 0; i < kPods; ++i) {
    pod["metadata"]["name"] = "pod-" + std::to_string(i);
    pod["metadata"]["uid"] = "00000000-0000-0000-0000-" + std::to_string(100'000'000'000 + i);
    pod["metadata"]["labels"]["pod-template-hash"] = std::to_string(i);
    texts.push_back(pod.dump());
    size += texts.back().size();
  }
  ASSERT_GE(size, std::size_t{kPods * 10'000});

  std::vector<Pod> pods;
  const std::ptrdiff_t before = test::heap_bytes();
  test::reset_heap_peak();
  PodListReader reader([&](Pod&& read) { pods.push_back(std::move(read)); },
                       [](const PodGlimpse&, const Error& error) { FAIL() << error.message; });
  const auto feed = [&](std::string_view text) {
    for (; !text.empty(); text.remove_prefix(std::min<std::size_t>(1400, text.size()))) {
      ASSERT_TRUE(reader.feed(text.substr(0, 1400)));
    }
  };
  feed(R"({"kind":"PodList","metadata":{"resourceVersion":"1"},"items":[)");
  for (int i = 0; i < kPods; ++i) {
    if (i > 0) feed(",");
    feed(texts[static_cast<std::size_t>(i)]);
  }
  feed("]}");
  ASSERT_TRUE(reader.end());
  ASSERT_EQ(pods.size(), std::size_t{kPods});

  const std::ptrdiff_t peak = test::heap_peak() - before;
  const std::ptrdiff_t kept = test::heap_bytes() - before;
  RecordProperty("peak_bytes", std::to_string(peak));
  RecordProperty("kept_bytes", std::to_string(kept));
  std::printf("500 pods of 10 kB: peak %td KiB, kept %td KiB\n", peak / 1024, kept / 1024);
  EXPECT_LT(peak, std::ptrdiff_t{8 * kMiB});

  // Without the pods that are kept: what parsing itself costs, however many there are.
  pods.clear();
  pods.shrink_to_fit();
  EXPECT_LT(test::heap_bytes() - before, std::ptrdiff_t{128 * 1024});
}

}  // namespace
}  // namespace plimsoll::kube::pod_list_test
