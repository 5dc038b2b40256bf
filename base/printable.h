// SPDX-License-Identifier: Apache-2.0
//
// Somebody else's words as they may stand in our messages: nothing in them does more to a terminal
// or a log than show. None of these is named like a function of the standard library that
// argument-dependent lookup would find beside it.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace plimsoll {

// At most `most` bytes of it, whole characters of UTF-8; what cannot be shown (control characters,
// what is no UTF-8) becomes a question mark.
std::string printable(std::string_view text, std::size_t most = std::string_view::npos);
bool is_printable(std::string_view text);
// In double quotes, 40 bytes of it at the most.
std::string in_quotes(std::string_view text);
// The same of a key: as it is, unless it is longer than 64 bytes or not printable.
std::string shown(std::string_view key);

}  // namespace plimsoll
