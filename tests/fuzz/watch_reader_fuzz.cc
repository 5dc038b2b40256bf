// SPDX-License-Identifier: Apache-2.0
//
// A watch stream, through the reader and the state machine above it: cut anywhere it says the same,
// what is told gone was there, and the next request is one that can be sent.
#include <set>
#include <utility>

#include "kube/pod_watch.h"
#include "tests/fuzz/fuzz_input.h"
#include "tests/fuzz/fuzz_target.h"
#include "tests/kube/recording.h"

using namespace plimsoll;  // NOLINT(google-build-using-namespace): a program of its own
using plimsoll::test::require;

namespace {

struct Played {
  std::vector<kube::PodChange> changes;
  std::string next;
  kube::PodWatchCounters counters;

  bool operator==(const Played&) const = default;
};

Played play(std::string_view text, std::size_t piece) {
  Played played;
  std::set<std::string> there;
  kube::PodWatch watch("node-a", 1, [&](kube::PodChange&& change) {
    if (change.kind == kube::PodChange::Kind::kPresent) there.insert(change.pod.id.uid);
    if (change.kind == kube::PodChange::Kind::kGone) {
      require(there.contains(change.pod.id.uid), "only what was there is gone");
    }
    played.changes.push_back(std::move(change));
  });
  MonotonicTime now{std::chrono::seconds(1)};
  (void)watch.next_request(now);
  (void)watch.on_data(
      R"({"kind":"PodList","metadata":{"resourceVersion":"7"},"items":[{"metadata":{"name":"web",)"
      R"("namespace":"demo","uid":"u"},"spec":{"nodeName":"node-a"}}]})",
      now);
  watch.on_end(kube::Response{.status = 200}, now);
  (void)watch.next_request(now);
  for (std::size_t at = 0; at < text.size(); at += piece) {
    if (!watch.on_data(text.substr(at, piece), now)) break;
  }
  now += std::chrono::minutes(5);
  watch.on_end(kube::Response{.status = 200}, now);
  played.counters = watch.counters();
  now = std::max(now, watch.wait());
  played.next = watch.next_request(now).path;
  // The time of the next watch's end is drawn.
  played.next.resize(std::min(played.next.size(), played.next.find("&timeoutSeconds=")));
  for (const char c : played.next) require(c > ' ' && c <= '~', "a path can be sent");
  return played;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = test::text_of(data, size);
  const Played whole = play(text, size + 1);
  require(whole == play(text, size < 2048 ? 1 : 113), "the same however it is cut");
  return 0;
}

std::vector<std::string> fuzz_seeds() {
  std::vector<std::string> seeds;
  for (const std::string recording :
       {"51-watch", "51b-watch-graceful-delete", "53-watch-410", "55-watch-apiserver-stops"}) {
    for (const auto& reply : test::recorded(recording)) {
      if (reply.body.size() < 60'000) seeds.push_back(reply.body);
    }
  }
  seeds.emplace_back(
      R"({"type":"ADDED","object":{"metadata":{"name":"web","namespace":"demo","uid":"v",)"
      R"("resourceVersion":"8"},"spec":{"nodeName":"node-a"}}})"
      "\n"
      R"({"type":"DELETED","object":{"metadata":{"name":"web","namespace":"demo","uid":"u"}}})"
      "\n"
      R"({"type":"BOOKMARK","object":{"metadata":{"resourceVersion":"9"}}})"
      "\n");
  return seeds;
}
