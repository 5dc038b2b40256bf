// SPDX-License-Identifier: Apache-2.0
//
// What a reply that is no success means: every HTTP status of the API server becomes one of the
// six codes, with the cause that the caller's next step depends on. Only the message tells most
// causes apart: a 403 may be RBAC, quota, LimitRange, the node or a policy. This is the one place
// where an HTTP status becomes a code.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/units.h"
#include "kube/client.h"
#include "kube/http.h"

namespace plimsoll::kube {

enum class Cause : std::uint8_t {
  // kDenied: a decision of the cluster. Reported and backed off, never bypassed.
  kRbac,          // 403: a verb that our role does not give
  kQuota,         // 403: a ResourceQuota
  kLimitRange,    // 403
  kAdmission,     // 403 or 422: an admission policy or a webhook
  kForbidden,     // 403 for a reason not known here
  kNodeCapacity,  // 403: the requests are above what the node can allocate (1.36)

  // kDenied: a rule of the resize that this value breaks; the same value will be refused again.
  kQosClass,           // the QoS class would change
  kRequestAboveLimit,  // also above the pod-level limit
  kResourceRemoved,    // a request or a limit would disappear
  kInvalid,            // 422 for a reason not known here

  // kUnsupported: this API, node or pod cannot be resized so.
  kSubresourceAbsent,  // 404 without an object's name
  kPodSpecImmutable,   // 422 of a patch of the pod itself: no resize there
  kNodeFeature,        // 403: the node lacks a declared feature
  kNodeWithoutResize,  // 422: the kubelet is too old
  kMemoryDecrease,     // 422, 1.33: a memory limit may not be lowered or added
  kRestartPolicy,      // 422: the resizePolicy would change, or forbids it
  kNotMutable,         // 422: not cpu or memory; also any container with claims
  kStaticPod,
  kPlatform,           // no Linux
  kInitContainer,      // of a kind that cannot be resized
  kPodLevelResources,  // pod-level resources or claims that cannot be resized

  // kGone
  kPodGone,     // 404 that names the pod, or whatever object was asked for
  kUidChanged,  // 422: another pod has the name now

  // kConflict: read again, decide again.
  kConflict,              // 409: resourceVersion
  kFieldManagerConflict,  // 409: server-side apply
  kQuotaConflict,         // 409 of the quota's own object
  kAlreadyExists,         // 409 of a create
  kExpired,               // 410: the resourceVersion or continue token is too old, list again

  // kUnavailable: retry with backoff.
  kUnauthorized,             // 401: the token; read again before this was said
  kThrottled,                // 429
  kNotReady,                 // 403: an admission plugin is not ready yet
  kNodeMissing,              // 403: no Node object
  kTooLargeResourceVersion,  // 504: the server has not got that far; the same again
  kTimeout,                  // 408, 504
  kServer,                   // 5xx
  kTransport,                // no reply
  kUnexpected,               // not what the API sends: a redirect, the error page of a proxy

  // kMalformed: our request, or a reply, makes no sense.
  kBadRequest,     // 400, 405, 406, 413, 415; the 500s that are a client's mistake
  kQuantity,       // an amount that the server cannot read
  kUnknownField,   // of a strict request
  kContainers,     // containers missing, unknown, renamed, reordered
  kPatchRejected,  // 422: a JSON patch whose test or path does not hold
};
std::string_view to_string(Cause cause);
// The one code of a cause.
Code code_of(Cause cause);

struct Refusal {
  Code code = Code::kUnavailable;
  Cause cause = Cause::kServer;
  std::string message;  // the server's, one line, shortened
  std::optional<Nanoseconds> retry_after;
  bool outcome_unknown = false;  // the server may have done it: an absolute value may be repeated

  bool operator==(const Refusal&) const = default;
};

// meta/v1 Status, as far as it is read.
struct Status {
  struct Detail {
    std::string reason;
    std::string message;
    std::string field;

    bool operator==(const Detail&) const = default;
  };

  int code = 0;
  std::string reason;
  std::string message;
  std::string kind;  // details.kind, as the server spells it: "pods", "Pod", "resourcequotas"
  std::string name;  // details.name
  std::vector<Detail> causes;
  std::optional<Nanoseconds> retry_after;

  bool operator==(const Status&) const = default;
};

inline constexpr bool is_success(int http_status) {
  return http_status >= 200 && http_status < 300;
}

// Absent: no Status object (a proxy's page, plain text of priority and fairness, garbage), or one
// of more than 64 KiB.
std::optional<Status> parse_status(std::string_view json);

// Of a response that is no success.
Refusal classify(const Response& response);
// Of the Status inside a watch's ERROR event.
Refusal classify(const Status& status);
// Of an exchange without a whole reply.
Refusal classify(const TransportError& error);

}  // namespace plimsoll::kube
