// SPDX-License-Identifier: Apache-2.0
#include "agent/apiserver/request_stats.h"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

#include "kube/access_review.h"
#include "kube/discovery.h"
#include "kube/event.h"
#include "kube/node.h"
#include "kube/pod_watch.h"
#include "kube/resize.h"

namespace plimsoll::agent::request_stats_test {
namespace {

using std::chrono::milliseconds;

kube::Request resize(bool dry_run) {
  kube::Resize resize{.pod = {.uid = "u", .namespace_name = "demo", .name = "web"},
                      .dry_run = dry_run};
  resize.changes.resize(1);
  resize.changes[0].container = "app";
  resize.changes[0].limits.memory = Bytes{kMiB};
  return kube::resize_request(resize, kube::ResizePath::kSubresource, "plimsoll");
}

// Every request that the product makes.
TEST(ApiVerb, IsReadOffTheRequest) {
  EXPECT_EQ(verb_of(kube::version_request()), ApiVerb::kGet);
  EXPECT_EQ(verb_of(kube::discovery_request()), ApiVerb::kGet);
  EXPECT_EQ(verb_of(kube::node_request("watch=true")), ApiVerb::kGet);
  EXPECT_EQ(verb_of(kube::access_request({.verb = "patch", .resource = "pods"})), ApiVerb::kCreate);
  EXPECT_EQ(verb_of(kube::create_event({.name = "web.1"})), ApiVerb::kCreate);
  EXPECT_EQ(verb_of(kube::update_series("demo", "web.1", 2, {})), ApiVerb::kPatch);
  EXPECT_EQ(verb_of(resize(false)), ApiVerb::kPatch);
  EXPECT_EQ(verb_of(resize(true)), ApiVerb::kDryRun);

  kube::PodWatch watch("node-a", 1, [](kube::PodChange&&) {});
  const MonotonicTime now{std::chrono::seconds(1000)};
  EXPECT_EQ(verb_of(watch.next_request(now)), ApiVerb::kList);
  watch.on_data(R"({"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"7"},)"
                R"("items":[]})",
                now);
  watch.on_end(kube::Response{.status = 200}, now);
  EXPECT_EQ(verb_of(watch.next_request(now)), ApiVerb::kWatch);
}

TEST(ApiTally, CountsExchangesByWhatTheyMean) {
  ApiTally tally;
  tally.on_exchange(resize(false), kube::Response{.status = 200}, milliseconds(6));
  tally.on_exchange(
      resize(false),
      kube::Response{.status = 409,
                     .content_type = "application/json",
                     .body = R"({"kind":"Status","apiVersion":"v1","status":"Failure",)"
                             R"("reason":"Conflict","message":"the object has been modified",)"
                             R"("code":409})"},
      milliseconds(7));
  const kube::TransportError cut{.kind = kube::TransportError::Kind::kCut,
                                 .error = {Code::kUnavailable, "the connection was cut"},
                                 .sent = true};
  tally.on_exchange(resize(false), tl::unexpected(cut), milliseconds(8));
  tally.on_exchange(kube::version_request(), kube::Response{.status = 9999}, {});
  const ApiTotals totals = tally.totals();
  const auto count = [&](ApiVerb verb, int status_class, const char* outcome) {
    const auto found =
        totals.requests.find({.verb = verb, .status_class = status_class, .outcome = outcome});
    return found == totals.requests.end() ? 0 : found->second;
  };
  EXPECT_EQ(count(ApiVerb::kPatch, 2, "ok"), 1U);
  EXPECT_EQ(count(ApiVerb::kPatch, 4, "conflict"), 1U);
  EXPECT_EQ(count(ApiVerb::kPatch, 0, "outcome_unknown"), 1U);
  for (const auto& [key, times] : totals.requests) {
    if (key.verb == ApiVerb::kGet) {
      EXPECT_EQ(key.status_class, 0) << "no class of its own for what no server sends";
    }
  }
  const Distribution& patches = totals.seconds[static_cast<std::size_t>(ApiVerb::kPatch)];
  EXPECT_NEAR(patches.sum(), 0.021, 1e-9);
}

}  // namespace
}  // namespace plimsoll::agent::request_stats_test
