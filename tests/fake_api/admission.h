// SPDX-License-Identifier: Apache-2.0
//
// What admission refuses in a resize that is valid: LimitRange, features of the node, its capacity,
// ValidatingAdmissionPolicy, ResourceQuota. All 403, told apart by their words only.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/fake_api/json.h"
#include "tests/fake_api/status.h"
#include "tests/fake_api/version.h"

namespace plimsoll::test {

struct AdmissionRequest {
  std::string pod;  // its name
  std::string user;
  std::string user_node;  // authentication.kubernetes.io/node-name of the token, "" without one
  const Json& old;
  const Json& changed;
};

// What of the cluster decides. Objects as the API holds them.
struct AdmissionWorld {
  std::vector<Json> limit_ranges;     // of the pod's namespace
  std::vector<Json> resource_quotas;  // of the pod's namespace
  std::optional<Json> node;           // the pod's
  // Users whose resizes the policy `resize-own-node-only` watches over: only pods of the node that
  // the token names. (The fake has this one policy, no CEL.)
  std::vector<std::string> node_bound_users;
};

std::optional<Reply> refused_by_admission(const AdmissionRequest& request,
                                          const AdmissionWorld& world, const VersionRules& rules);

// What the quota counts for the pod under `name`: "limits.memory", "requests.cpu", "pods" ….
std::optional<long long> quota_usage(const Json& pod, const std::string& name);

}  // namespace plimsoll::test
