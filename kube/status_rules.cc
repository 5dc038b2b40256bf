// SPDX-License-Identifier: Apache-2.0
#include "kube/status_rules.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <string_view>

namespace plimsoll::kube {
namespace {

struct CauseRow {
  Cause cause;
  std::string_view name;
  Code code;
};

// In the order of the enumeration.
constexpr std::array kCauses = {
    CauseRow{Cause::kRbac, "rbac", Code::kDenied},
    CauseRow{Cause::kQuota, "quota", Code::kDenied},
    CauseRow{Cause::kLimitRange, "limit_range", Code::kDenied},
    CauseRow{Cause::kAdmission, "admission", Code::kDenied},
    CauseRow{Cause::kForbidden, "forbidden", Code::kDenied},
    CauseRow{Cause::kNodeCapacity, "node_capacity", Code::kDenied},
    CauseRow{Cause::kQosClass, "qos_class", Code::kDenied},
    CauseRow{Cause::kRequestAboveLimit, "request_above_limit", Code::kDenied},
    CauseRow{Cause::kResourceRemoved, "resource_removed", Code::kDenied},
    CauseRow{Cause::kInvalid, "invalid", Code::kDenied},
    CauseRow{Cause::kSubresourceAbsent, "subresource_absent", Code::kUnsupported},
    CauseRow{Cause::kPodSpecImmutable, "pod_spec_immutable", Code::kUnsupported},
    CauseRow{Cause::kNodeFeature, "node_feature", Code::kUnsupported},
    CauseRow{Cause::kNodeWithoutResize, "node_without_resize", Code::kUnsupported},
    CauseRow{Cause::kMemoryDecrease, "memory_decrease", Code::kUnsupported},
    CauseRow{Cause::kRestartPolicy, "restart_policy", Code::kUnsupported},
    CauseRow{Cause::kNotMutable, "not_mutable", Code::kUnsupported},
    CauseRow{Cause::kStaticPod, "static_pod", Code::kUnsupported},
    CauseRow{Cause::kPlatform, "platform", Code::kUnsupported},
    CauseRow{Cause::kInitContainer, "init_container", Code::kUnsupported},
    CauseRow{Cause::kPodLevelResources, "pod_level_resources", Code::kUnsupported},
    CauseRow{Cause::kPodGone, "pod_gone", Code::kGone},
    CauseRow{Cause::kUidChanged, "uid_changed", Code::kGone},
    CauseRow{Cause::kConflict, "conflict", Code::kConflict},
    CauseRow{Cause::kFieldManagerConflict, "field_manager_conflict", Code::kConflict},
    CauseRow{Cause::kQuotaConflict, "quota_conflict", Code::kConflict},
    CauseRow{Cause::kAlreadyExists, "already_exists", Code::kConflict},
    CauseRow{Cause::kExpired, "expired", Code::kConflict},
    CauseRow{Cause::kUnauthorized, "unauthorized", Code::kUnavailable},
    CauseRow{Cause::kThrottled, "throttled", Code::kUnavailable},
    CauseRow{Cause::kNotReady, "not_ready", Code::kUnavailable},
    CauseRow{Cause::kNodeMissing, "node_missing", Code::kUnavailable},
    CauseRow{Cause::kTooLargeResourceVersion, "too_large_resource_version", Code::kUnavailable},
    CauseRow{Cause::kTimeout, "timeout", Code::kUnavailable},
    CauseRow{Cause::kServer, "server", Code::kUnavailable},
    CauseRow{Cause::kTransport, "transport", Code::kUnavailable},
    CauseRow{Cause::kUnexpected, "unexpected", Code::kUnavailable},
    CauseRow{Cause::kBadRequest, "bad_request", Code::kMalformed},
    CauseRow{Cause::kQuantity, "quantity", Code::kMalformed},
    CauseRow{Cause::kUnknownField, "unknown_field", Code::kMalformed},
    CauseRow{Cause::kContainers, "containers", Code::kMalformed},
    CauseRow{Cause::kPatchRejected, "patch_rejected", Code::kMalformed},
};

const CauseRow& row_of(Cause cause) { return kCauses[static_cast<std::size_t>(cause)]; }

constexpr bool in_order() {
  for (std::size_t i = 0; i < kCauses.size(); ++i) {
    if (kCauses[i].cause != static_cast<Cause>(i)) return false;
  }
  return true;
}
static_assert(in_order() && kCauses.back().cause == Cause::kPatchRejected);  // the last one

struct Rule {
  std::string_view text;
  Cause cause;
};

// What the text of a 403 begins with, after `pods "x" is forbidden: `: quota, LimitRange and
// policies quote names and sentences that others chose, so a text in the middle proves nothing.
constexpr std::array kForbiddenBegins = {
    Rule{"ValidatingAdmissionPolicy", Cause::kAdmission},
    Rule{"admission webhook ", Cause::kAdmission},
    Rule{"violates PodSecurity ", Cause::kAdmission},
    Rule{"exceeded quota: ", Cause::kQuota},
    Rule{"failed quota: ", Cause::kQuota},
    Rule{"insufficient quota ", Cause::kQuota},
    Rule{"status unknown for quota: ", Cause::kNotReady},
    Rule{"not yet ready to handle request", Cause::kNotReady},
    Rule{"maximum ", Cause::kLimitRange},
    Rule{"minimum ", Cause::kLimitRange},
    Rule{"memory max limit to request ratio ", Cause::kLimitRange},
    Rule{"cpu max limit to request ratio ", Cause::kLimitRange},
    Rule{"node didn't have enough allocatable resources", Cause::kNodeCapacity},
    Rule{"pod resize is only supported on linux", Cause::kPlatform},
    Rule{"pod update requires features ", Cause::kNodeFeature},
};

// What a 422 contains, in the order of what decides: the first rule that is met. A message lists
// every fault of a request, and the first one that no other value can cure counts.
constexpr std::array kInvalidContains = {
    // Its text goes on with a diff of the pod, which may hold anything.
    Rule{"pod updates may not change fields other than", Cause::kPodSpecImmutable},
    Rule{"Pod running on node without support for resize", Cause::kNodeWithoutResize},
    Rule{"static pods cannot be resized", Cause::kStaticPod},
    Rule{"windows pods cannot be resized", Cause::kPlatform},
    Rule{"pods with pod-level resources cannot be resized", Cause::kPodLevelResources},
    Rule{"resize of pods with pod-level resources is forbidden", Cause::kPodLevelResources},
    Rule{"pods with node allocatable resource claims", Cause::kPodLevelResources},
    Rule{"non-sidecar init containers", Cause::kInitContainer},
    Rule{"memory limits cannot be decreased unless", Cause::kMemoryDecrease},
    Rule{"memory limits cannot be added unless", Cause::kMemoryDecrease},
    Rule{"containers may not be", Cause::kContainers},
    Rule{"resizePolicy", Cause::kRestartPolicy},
    Rule{"RestartContainer", Cause::kRestartPolicy},
    Rule{"only cpu and memory resources are mutable", Cause::kNotMutable},
    Rule{"Pod QOS Class may not change", Cause::kQosClass},
    Rule{"Pod QoS is immutable", Cause::kQosClass},  // 1.27 to 1.31
    Rule{"strict decoding error", Cause::kUnknownField},
    Rule{"quantities must match the regular expression", Cause::kQuantity},
    Rule{"unable to parse quantity", Cause::kQuantity},
    Rule{"must be greater than or equal to 0", Cause::kQuantity},
    Rule{"cannot be removed", Cause::kResourceRemoved},
    Rule{"must be less than or equal to", Cause::kRequestAboveLimit},
};

constexpr std::string_view kRejectedPatch =
    "the server rejected our request due to an error in our request";

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

bool has_cause(const Status& status, std::string_view reason) {
  return std::any_of(status.causes.begin(), status.causes.end(),
                     [&](const Status::Detail& cause) { return cause.reason == reason; });
}

// What was said, without who is forbidden: `pods "x" is forbidden: [a, b]` gives `a, b]`.
std::string_view verdict_of(std::string_view message) {
  constexpr std::string_view kForbidden = " is forbidden: ";
  const std::size_t found = message.find(kForbidden);
  // A webhook's message has no such beginning, and could hold the words later on.
  if (found != std::string_view::npos && !message.starts_with("admission webhook ")) {
    message.remove_prefix(found + kForbidden.size());
  }
  if (message.starts_with('[')) message.remove_prefix(1);
  return message;
}

std::optional<Cause> admission_cause(const Status& status) {
  const std::string_view verdict = verdict_of(status.message);
  for (const Rule& rule : kForbiddenBegins) {
    if (verdict.starts_with(rule.text)) return rule.cause;
  }
  return std::nullopt;
}

Cause forbidden(const Status& status) {
  if (has_cause(status, "NodeCapacity")) return Cause::kNodeCapacity;
  if (has_cause(status, "UnsupportedPlatform")) return Cause::kPlatform;
  if (const auto cause = admission_cause(status)) return *cause;
  const std::string_view verdict = verdict_of(status.message);
  if (verdict.starts_with("User \"") && contains(verdict, "\" cannot ")) return Cause::kRbac;
  if (verdict.starts_with("node \"") && verdict.ends_with("\" not found")) {
    return Cause::kNodeMissing;
  }
  return Cause::kForbidden;
}

Cause conflict(const Status& status) {
  if (has_cause(status, "FieldManagerConflict")) return Cause::kFieldManagerConflict;
  if (status.reason == "AlreadyExists") return Cause::kAlreadyExists;
  if (status.kind == "resourcequotas") return Cause::kQuotaConflict;
  if (contains(status.message, "Precondition failed: UID")) return Cause::kUidChanged;
  return Cause::kConflict;
}

Cause invalid(const Status& status) {
  const bool other_uid =
      std::any_of(status.causes.begin(), status.causes.end(),
                  [](const Status::Detail& cause) { return cause.field == "metadata.uid"; });
  if (other_uid) return Cause::kUidChanged;
  // A policy denies with whatever status it likes, 422 by default.
  if (const auto cause = admission_cause(status)) return *cause;
  if (status.message == kRejectedPatch) return Cause::kPatchRejected;
  for (const Rule& rule : kInvalidContains) {
    if (contains(status.message, rule.text)) return rule.cause;
  }
  return Cause::kInvalid;
}

Cause server_error(int http_status, const Status& status) {
  // Some mistakes of a client come back as 500 without a reason. So do etcd's timeouts, which
  // must be tried again: only these texts are known to be ours.
  if (http_status == 500 && (contains(status.message, "does not contain declared merge key") ||
                             contains(status.message, "strconv.ParseUint: parsing"))) {
    return Cause::kBadRequest;
  }
  // A webhook that must be asked, and is not there: the cluster's decision about this pod, and a
  // policy of one namespace or of one kind of pods. It says nothing of the API server.
  if (status.message.starts_with("Internal error occurred: failed calling webhook")) {
    return Cause::kAdmission;
  }
  if (http_status == 504) {
    return has_cause(status, "ResourceVersionTooLarge") ||
                   contains(status.message, "Too large resource version")
               ? Cause::kTooLargeResourceVersion
               : Cause::kTimeout;
  }
  return Cause::kServer;
}

bool is_our_mistake(int http_status) {
  switch (http_status) {
    case 400:
    case 405:
    case 406:
    case 411:
    case 413:
    case 414:
    case 415:
    case 431:
      return true;
    default:
      return false;
  }
}

}  // namespace

Cause cause_of(int http_status, const Status& status) {
  if (is_our_mistake(http_status)) return Cause::kBadRequest;
  switch (http_status) {
    case 401:
      return Cause::kUnauthorized;
    case 403:
      return forbidden(status);
    case 404:
      // With a name the path is served, and the object behind it is what is missing.
      return status.name.empty() ? Cause::kSubresourceAbsent : Cause::kPodGone;
    case 408:
      return Cause::kTimeout;
    case 409:
      return conflict(status);
    case 410:
      return Cause::kExpired;
    case 422:
      return invalid(status);
    case 429:
      return Cause::kThrottled;
    default:
      return http_status >= 500 ? server_error(http_status, status) : Cause::kUnexpected;
  }
}

Cause cause_of_plain(int http_status, std::string_view text) {
  if (http_status == 401) return Cause::kUnauthorized;
  if (http_status == 408 || http_status == 504) return Cause::kTimeout;
  if (http_status == 410) return Cause::kExpired;
  if (http_status == 429) return Cause::kThrottled;
  if (http_status >= 500) return Cause::kServer;
  // An API group that is not served; any other 404 is from something in between.
  if (http_status == 404 && text.starts_with("404 page not found")) {
    return Cause::kSubresourceAbsent;
  }
  return is_our_mistake(http_status) ? Cause::kBadRequest : Cause::kUnexpected;
}

std::string_view to_string(Cause cause) { return row_of(cause).name; }

Code code_of(Cause cause) { return row_of(cause).code; }

}  // namespace plimsoll::kube
