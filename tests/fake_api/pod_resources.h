// SPDX-License-Identifier: Apache-2.0
//
// What the API server makes of a pod's resources: defaults, spelling, QoS class, sums.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/fake_api/json.h"
#include "tests/fake_api/quantity.h"
#include "tests/fake_api/version.h"

namespace plimsoll::test {

// The lists of containers whose resources a resize may name.
inline constexpr std::string_view kContainers = "containers";
inline constexpr std::string_view kInitContainers = "initContainers";

// Every quantity of the pod's spec in the server's spelling; the first that is none, as it was
// written, else none.
std::optional<std::string> normalize_quantities(Json& pod);

// A limit without a request makes the request; under old servers a missing resizePolicy is filled.
void default_resources(Json& pod, const VersionRules& rules);

// "Guaranteed", "Burstable", "BestEffort".
std::string qos_class(const Json& pod);

// Whether two specs ask for the same amounts, however they are spelt.
bool same_amounts(const Json& a, const Json& b);

// What the scheduler counts for the pod: of `kind` ("requests", "limits") the sum over containers
// and sidecars, at least the largest init container. Pod-level resources override.
long long pod_total(const Json& pod, std::string_view kind, std::string_view resource);

bool is_sidecar(const Json& init_container);

}  // namespace plimsoll::test
