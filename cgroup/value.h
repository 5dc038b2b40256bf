// SPDX-License-Identifier: Apache-2.0
//
// Files that hold one value: memory.current, memory.max and their like, in both directions. The
// formatting half neither allocates nor fails, for the reaction thread.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "base/result.h"
#include "base/units.h"

namespace plimsoll::cgroup {

// The first line counts; what follows it is ignored. kMalformed: it is no number (nor "max").
Result<Bytes> parse_bytes_file(std::string_view text);
Result<Limit> parse_limit_file(std::string_view text);

// The longest value is 20 digits; a newline and room to see that a value was longer.
using ValueBuffer = std::array<char, 32>;

// The same without an error text, for the reaction thread: false when it makes no sense.
bool parse_limit_value(std::string_view text, Limit& limit) noexcept;

// Writes "123\n" or "max\n" into `buffer` and returns what to write.
std::string_view format_limit(Limit limit, ValueBuffer& buffer) noexcept;

// `limit` is what a write of `bytes` reads as: the kernel rounds down to whole pages.
bool reads_as(Limit limit, Bytes bytes) noexcept;

}  // namespace plimsoll::cgroup
