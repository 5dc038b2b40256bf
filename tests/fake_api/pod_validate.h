// SPDX-License-Identifier: Apache-2.0
//
// What the API server refuses in a changed pod before admission: 422 with causes, in its order.
#pragma once

#include <string>
#include <vector>

#include "tests/fake_api/json.h"
#include "tests/fake_api/status.h"
#include "tests/fake_api/version.h"

namespace plimsoll::test {

// Paths of fields that no pod has, of what the fake looks into: the pod, its spec, containers and
// resources. For fieldValidation.
std::vector<std::string> unknown_pod_fields(const Json& patch);

// A resize: `changed` with everything but resources and resizePolicy put back from `old`. As it is
// when containers were added, removed, renamed or reordered, for validation to find.
Json only_resize(const Json& old, const Json& changed);

// Faults of pods/resize, of 1.32 and later.
std::vector<Cause> resize_faults(const Json& old, const Json& changed, const VersionRules& rules);

// Faults of a PATCH of the pod itself. Up to 1.31 its resources may change.
std::vector<Cause> update_faults(const Json& old, const Json& changed, const VersionRules& rules);

// Faults of metadata that hold for every update.
std::vector<Cause> metadata_faults(const Json& old, const Json& changed);

}  // namespace plimsoll::test
