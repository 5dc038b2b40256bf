// SPDX-License-Identifier: Apache-2.0
//
// Every error that the real API server of the recordings sent, and what we take it for. A recording
// with an error that is not in the table fails, and so does a row without its recording.
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>

#include "kube/status.h"
#include "tests/kube/recording.h"

namespace plimsoll::kube::status_recordings_test {
namespace {

// Recording and the place of the exchange in it.
using Place = std::pair<std::string, std::size_t>;

const std::map<Place, Cause> kExpected = {
    {{"11-resize-mergepatch-resources-only", 0}, Cause::kResourceRemoved},
    {{"12b-resize-jsonpatch-test-fails", 0}, Cause::kPatchRejected},
    {{"12c-resize-jsonpatch-bad-index", 0}, Cause::kPatchRejected},
    {{"13-resize-ssa-conflict", 0}, Cause::kFieldManagerConflict},
    {{"13d-resize-ssa-omit-owned", 0}, Cause::kResourceRemoved},
    {{"13e-resize-ssa-no-manager", 0}, Cause::kInvalid},
    {{"13f-resize-ssa-absent-pod", 0}, Cause::kPodGone},
    {{"14b-resize-put-stale", 0}, Cause::kConflict},
    {{"16-resize-strict-unknown-field", 0}, Cause::kUnknownField},
    {{"18b-resize-post", 0}, Cause::kBadRequest},
    {{"18c-resize-delete", 0}, Cause::kBadRequest},
    {{"19b-resources-on-main-resource", 0}, Cause::kPodSpecImmutable},
    {{"19c-resize-wrong-content-type", 0}, Cause::kBadRequest},
    {{"19d-resize-bad-json", 0}, Cause::kBadRequest},
    {{"20-guaranteed-limits-only", 0}, Cause::kQosClass},
    {{"20c-besteffort-add-limit", 0}, Cause::kQosClass},
    {{"20e-burstable-would-become-guaranteed", 0}, Cause::kQosClass},
    {{"21-container-missing-smp", 0}, Cause::kContainers},
    {{"21b-container-missing-mp", 0}, Cause::kContainers},
    {{"21c-container-no-name", 0}, Cause::kBadRequest},
    {{"21d-container-order", 0}, Cause::kContainers},
    {{"22-quantity-garbage", 0}, Cause::kQuantity},
    {{"22b-quantity-bad-suffix", 0}, Cause::kQuantity},
    {{"22c-quantity-empty", 0}, Cause::kQuantity},
    {{"22d-quantity-negative", 0}, Cause::kQuantity},
    {{"22e-quantity-zero", 0}, Cause::kRequestAboveLimit},
    {{"22j-quantity-null-object", 0}, Cause::kResourceRemoved},
    {{"22l-quantity-tiny", 0}, Cause::kRequestAboveLimit},
    {{"22n-quantity-lowercase-m", 0}, Cause::kRequestAboveLimit},
    {{"23-remove-limit-smp", 0}, Cause::kResourceRemoved},
    {{"23b-remove-limits-all", 0}, Cause::kResourceRemoved},
    {{"23c-remove-limit-jsonpatch", 0}, Cause::kResourceRemoved},
    {{"24-limit-below-request", 0}, Cause::kRequestAboveLimit},
    {{"24b-request-above-limit", 0}, Cause::kRequestAboveLimit},
    {{"24c-ephemeral-storage", 0}, Cause::kNotMutable},
    {{"24d-hugepages", 0}, Cause::kNotMutable},
    {{"24e-unknown-resource", 0}, Cause::kNotMutable},
    {{"24f-change-resize-policy", 0}, Cause::kNotMutable},
    {{"24g-two-errors", 0}, Cause::kResourceRemoved},
    {{"25-limitrange-max", 0}, Cause::kLimitRange},
    {{"25b-limitrange-ratio-and-max", 0}, Cause::kLimitRange},
    {{"26-quota-exceeded", 1}, Cause::kQuota},
    {{"27b-rbac-reader-forbidden", 0}, Cause::kRbac},
    {{"27c-rbac-none-get", 0}, Cause::kRbac},
    {{"27d-rbac-list-by-node", 0}, Cause::kRbac},
    {{"27e-rbac-watch", 0}, Cause::kRbac},
    {{"27f-node-identity-resize", 0}, Cause::kRbac},
    {{"27g-anonymous", 0}, Cause::kRbac},
    {{"27h-rbac-status-patch", 0}, Cause::kRbac},
    {{"28-token-garbage", 0}, Cause::kUnauthorized},
    {{"28b-token-expired", 0}, Cause::kUnauthorized},
    {{"28c-token-bad-signature", 0}, Cause::kUnauthorized},
    {{"28d-token-wrong-audience", 0}, Cause::kUnauthorized},
    {{"28e-token-empty-bearer", 0}, Cause::kRbac},
    {{"28f-token-not-yet-valid", 0}, Cause::kUnauthorized},
    {{"28g-token-of-deleted-pod", 0}, Cause::kUnauthorized},
    {{"29-stale-rv", 0}, Cause::kConflict},
    {{"29b-wrong-uid", 0}, Cause::kUidChanged},
    {{"29d-future-rv", 0}, Cause::kConflict},
    {{"29e-garbage-rv", 0}, Cause::kBadRequest},
    {{"29f-wrong-name", 0}, Cause::kBadRequest},
    {{"30-deleted-pod", 0}, Cause::kPodGone},
    {{"30b-missing-namespace", 0}, Cause::kPodGone},
    {{"32-mirror-pod", 1}, Cause::kStaticPod},
    {{"34c-init-undeclared", 0}, Cause::kNodeFeature},
    {{"36-node-capacity", 0}, Cause::kNodeCapacity},
    {{"37-node-object-missing", 0}, Cause::kNodeMissing},
    {{"38-node-without-resize", 0}, Cause::kNodeWithoutResize},
    {{"50-list", 5}, Cause::kBadRequest},
    {{"50-list", 6}, Cause::kTooLargeResourceVersion},
    {{"50-list", 8}, Cause::kBadRequest},
    {{"50-list", 11}, Cause::kInvalid},
    {{"50-list", 14}, Cause::kBadRequest},
    {{"53b-list-410-compacted", 1}, Cause::kExpired},
    {{"54b-watch-bad-rv", 0}, Cause::kBadRequest},
    {{"60b-status-smp-merges-conditions", 0}, Cause::kForbidden},
    {{"64-413", 0}, Cause::kBadRequest},
    {{"65-recreated-same-name", 0}, Cause::kUidChanged},
    {{"65-recreated-same-name", 1}, Cause::kConflict},
    {{"70-podlevel-resources", 3}, Cause::kRequestAboveLimit},
    {{"70-podlevel-resources", 4}, Cause::kRequestAboveLimit},
    {{"70-podlevel-resources", 5}, Cause::kResourceRemoved},
    {{"70b-podlevel-undeclared", 0}, Cause::kNodeFeature},
    {{"80-event-core", 2}, Cause::kBadRequest},
    {{"80-event-core", 3}, Cause::kInvalid},
    {{"80b-event-eventsk8sio", 1}, Cause::kInvalid},
    {{"80b-event-eventsk8sio", 2}, Cause::kInvalid},
    {{"80b-event-eventsk8sio", 3}, Cause::kInvalid},
    {{"80b-event-eventsk8sio", 4}, Cause::kInvalid},
    {{"80b-event-eventsk8sio", 5}, Cause::kInvalid},
    {{"80b-event-eventsk8sio", 6}, Cause::kInvalid},
    {{"81-tokenrequest", 6}, Cause::kInvalid},
    {{"81-tokenrequest", 8}, Cause::kForbidden},
    {{"90-vap-node-bound-resize", 3}, Cause::kAdmission},
    {{"90-vap-node-bound-resize", 4}, Cause::kAdmission},
    {{"90-vap-node-bound-resize", 5}, Cause::kAdmission},
    {{"90-vap-node-bound-resize", 8}, Cause::kAdmission},
    {{"90-vap-node-bound-resize", 9}, Cause::kAdmission},
    {{"95-429", 2}, Cause::kThrottled},
    {{"95-429", 3}, Cause::kThrottled},
    {{"v4-node-too-small", 0}, Cause::kNodeCapacity},
    // ERROR events within a watch of status 200.
    {{"53-watch-410", 0}, Cause::kExpired},
    {{"53-watch-410", 1}, Cause::kExpired},
    {{"55b-watch-resume-after-restart", 0}, Cause::kExpired},
};

// The Status of the ERROR event that a watch ended with; absent: it ended well, or is no watch.
std::optional<Status> error_event(const std::string& body) {
  std::size_t at = 0;
  while (at < body.size()) {
    const std::size_t end = std::min(body.find('\n', at), body.size());
    const auto event = nlohmann::json::parse(body.substr(at, end - at), nullptr, false);
    if (event.is_object() && event.value("type", "") == "ERROR") {
      return parse_status(event["object"].dump());
    }
    at = end + 1;
  }
  return std::nullopt;
}

std::optional<Refusal> refusal_in(const test::RecordedReply& reply) {
  if (reply.status >= 400) {
    return classify(Response{.status = reply.status, .body = reply.body});
  }
  if (reply.path.find("watch=") == std::string::npos &&
      reply.body.find("\"ERROR\"") == std::string::npos) {
    return std::nullopt;
  }
  if (const auto status = error_event(reply.body)) return classify(*status);
  return std::nullopt;
}

TEST(StatusRecordings, EveryErrorHasItsCause) {
  std::map<Place, Cause> left = kExpected;
  for (const std::string& name : test::recordings()) {
    const auto replies = test::recorded(name);
    for (std::size_t i = 0; i < replies.size(); ++i) {
      const auto refusal = refusal_in(replies[i]);
      if (!refusal) continue;
      const std::string where = name + " exchange " + std::to_string(i) + ": " + refusal->message;
      const auto found = left.find({name, i});
      if (found == left.end()) {
        ADD_FAILURE() << "not in the table: " << where << " -> " << to_string(refusal->cause);
        continue;
      }
      EXPECT_EQ(refusal->cause, found->second)
          << where << "\n"
          << to_string(refusal->cause) << " for " << to_string(found->second);
      EXPECT_EQ(refusal->code, code_of(refusal->cause));
      EXPECT_FALSE(refusal->message.empty());
      EXPECT_LE(refusal->message.size(), 512U);
      EXPECT_EQ(refusal->message.find('\n'), std::string::npos);
      EXPECT_FALSE(refusal->outcome_unknown) << where;  // each of these changed nothing
      left.erase(found);
    }
  }
  for (const auto& [place, cause] : left) {
    ADD_FAILURE() << "no such error: " << place.first << " exchange " << place.second;
  }
}

}  // namespace
}  // namespace plimsoll::kube::status_recordings_test
