// SPDX-License-Identifier: Apache-2.0
#include "kube/status_rules.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace plimsoll::kube {
namespace {

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

std::string_view to_string(Cause cause) {
  switch (cause) {
    case Cause::kRbac:
      return "rbac";
    case Cause::kQuota:
      return "quota";
    case Cause::kLimitRange:
      return "limit_range";
    case Cause::kAdmission:
      return "admission";
    case Cause::kForbidden:
      return "forbidden";
    case Cause::kNodeCapacity:
      return "node_capacity";
    case Cause::kQosClass:
      return "qos_class";
    case Cause::kRequestAboveLimit:
      return "request_above_limit";
    case Cause::kResourceRemoved:
      return "resource_removed";
    case Cause::kInvalid:
      return "invalid";
    case Cause::kSubresourceAbsent:
      return "subresource_absent";
    case Cause::kPodSpecImmutable:
      return "pod_spec_immutable";
    case Cause::kNodeFeature:
      return "node_feature";
    case Cause::kNodeWithoutResize:
      return "node_without_resize";
    case Cause::kMemoryDecrease:
      return "memory_decrease";
    case Cause::kRestartPolicy:
      return "restart_policy";
    case Cause::kNotMutable:
      return "not_mutable";
    case Cause::kStaticPod:
      return "static_pod";
    case Cause::kPlatform:
      return "platform";
    case Cause::kInitContainer:
      return "init_container";
    case Cause::kPodLevelResources:
      return "pod_level_resources";
    case Cause::kPodGone:
      return "pod_gone";
    case Cause::kUidChanged:
      return "uid_changed";
    case Cause::kConflict:
      return "conflict";
    case Cause::kFieldManagerConflict:
      return "field_manager_conflict";
    case Cause::kQuotaConflict:
      return "quota_conflict";
    case Cause::kAlreadyExists:
      return "already_exists";
    case Cause::kExpired:
      return "expired";
    case Cause::kUnauthorized:
      return "unauthorized";
    case Cause::kThrottled:
      return "throttled";
    case Cause::kNotReady:
      return "not_ready";
    case Cause::kNodeMissing:
      return "node_missing";
    case Cause::kTooLargeResourceVersion:
      return "too_large_resource_version";
    case Cause::kTimeout:
      return "timeout";
    case Cause::kServer:
      return "server";
    case Cause::kTransport:
      return "transport";
    case Cause::kUnexpected:
      return "unexpected";
    case Cause::kBadRequest:
      return "bad_request";
    case Cause::kQuantity:
      return "quantity";
    case Cause::kUnknownField:
      return "unknown_field";
    case Cause::kContainers:
      return "containers";
    case Cause::kPatchRejected:
      return "patch_rejected";
  }
  return "unknown";
}

Code code_of(Cause cause) {
  switch (cause) {
    case Cause::kRbac:
    case Cause::kQuota:
    case Cause::kLimitRange:
    case Cause::kAdmission:
    case Cause::kForbidden:
    case Cause::kNodeCapacity:
    case Cause::kQosClass:
    case Cause::kRequestAboveLimit:
    case Cause::kResourceRemoved:
    case Cause::kInvalid:
      return Code::kDenied;
    case Cause::kSubresourceAbsent:
    case Cause::kPodSpecImmutable:
    case Cause::kNodeFeature:
    case Cause::kNodeWithoutResize:
    case Cause::kMemoryDecrease:
    case Cause::kRestartPolicy:
    case Cause::kNotMutable:
    case Cause::kStaticPod:
    case Cause::kPlatform:
    case Cause::kInitContainer:
    case Cause::kPodLevelResources:
      return Code::kUnsupported;
    case Cause::kPodGone:
    case Cause::kUidChanged:
      return Code::kGone;
    case Cause::kConflict:
    case Cause::kFieldManagerConflict:
    case Cause::kQuotaConflict:
    case Cause::kAlreadyExists:
    case Cause::kExpired:
      return Code::kConflict;
    case Cause::kUnauthorized:
    case Cause::kThrottled:
    case Cause::kNotReady:
    case Cause::kNodeMissing:
    case Cause::kTooLargeResourceVersion:
    case Cause::kTimeout:
    case Cause::kServer:
    case Cause::kTransport:
    case Cause::kUnexpected:
      return Code::kUnavailable;
    case Cause::kBadRequest:
    case Cause::kQuantity:
    case Cause::kUnknownField:
    case Cause::kContainers:
    case Cause::kPatchRejected:
      return Code::kMalformed;
  }
  return Code::kUnavailable;
}

}  // namespace plimsoll::kube
