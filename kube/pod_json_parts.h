// SPDX-License-Identifier: Apache-2.0
//
// The parts of kube/pod_json, which is who uses them. What is wrong in a value becomes its
// document's problem.
#pragma once

#include <cstdint>
#include <optional>

#include "kube/json_value.h"
#include "kube/pod.h"

namespace plimsoll::kube {

std::optional<ApiTime> read_time(JsonValue value);
// Absent when 0: the API server leaves zeros out.
std::optional<std::int64_t> read_generation(JsonValue value);
Amounts read_amounts(JsonValue value);
Resources read_resources(JsonValue value);
std::optional<Resources> read_resources_if_present(JsonValue value);

// After the spec: statuses go to the containers that are there.
void read_status(JsonValue status, Pod& pod);

}  // namespace plimsoll::kube
