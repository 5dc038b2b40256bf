// SPDX-License-Identifier: Apache-2.0
//
// Times as the API server writes them (RFC 3339), cut to whole seconds.
#pragma once

#include <optional>
#include <string_view>

#include "kube/pod.h"

namespace plimsoll::kube {

// "2026-11-21T21:35:00Z", with or without a fraction, also with an offset such as "+02:00".
// nullopt: not a time, or one that no calendar has.
std::optional<ApiTime> parse_api_time(std::string_view text);

}  // namespace plimsoll::kube
