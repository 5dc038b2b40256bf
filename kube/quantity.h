// SPDX-License-Identifier: Apache-2.0
//
// Kubernetes' way to write amounts of memory and CPU: what the API server accepts is read, what it
// would write is written. Amounts are compared, never spellings. Nothing here allocates but the
// texts that come out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::kube {

using plimsoll::MilliCpu;

// No spelling that makes sense is longer; a longer one is kMalformed.
inline constexpr std::size_t kLongestQuantity = 128;

// The whole grammar: a sign, digits with or without a decimal point, and one of n u m k M G T P E,
// Ki Mi Gi Ti Pi Ei, or an exponent (e3, E-2); blanks around it, as the API server takes them.
// Exact, then rounded up to the next whole byte or millicpu and capped at 2^63-1, as the API server
// does it. kMalformed: not a quantity, or below 0.
Result<Bytes> parse_memory(std::string_view text);
Result<MilliCpu> parse_cpu(std::string_view text);

// As the API server spells what was given in binary units: the largest of Ki..Ei that leaves a
// whole number ("512Mi", "1536Mi"), else bytes ("322122547").
std::string format_memory(Bytes bytes);
// "250m", "2".
std::string format_cpu(MilliCpu cpu);

}  // namespace plimsoll::kube
