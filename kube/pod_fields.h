// SPDX-License-Identifier: Apache-2.0
//
// Which fields of a pod's JSON kube/pod_json reads; the others are not kept while parsing.
#pragma once

#include <span>
#include <string>

namespace plimsoll::kube {

// `path`: the keys from the root to the field, arrays left out.
bool is_pod_field(std::span<const std::string> path);

}  // namespace plimsoll::kube
