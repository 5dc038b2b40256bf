// SPDX-License-Identifier: Apache-2.0
//
// The Retry-After header: seconds, or a date. Pure; kube/client reads replies with it.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

#include "base/units.h"

namespace plimsoll::kube {

// A date as HTTP writes it today, "Sun, 06 Nov 1994 08:49:37 GMT". Absent: anything else.
std::optional<std::chrono::sys_seconds> parse_http_date(std::string_view text);

// From `now`, the server's own Date where the reply has one, so that a clock that is off does not
// matter. A date in the past is 0; more than an hour is an hour; absent: neither form.
std::optional<Nanoseconds> parse_retry_after(std::string_view text, std::chrono::sys_seconds now);

}  // namespace plimsoll::kube
