// SPDX-License-Identifier: Apache-2.0
//
// The words and numbers of kernel files, cut without allocating. Used by the parsers of this
// folder; nothing here throws, and a text of any bytes is accepted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace plimsoll::cgroup {

// Takes the next line off the front of `text`, without its newline; nullopt when none is left.
std::optional<std::string_view> next_line(std::string_view& text);

// Takes the next word off the front of `line`; words are parted by blanks and tabs.
std::optional<std::string_view> next_word(std::string_view& line);

// A decimal number that fills the whole of `text`; no sign, no blanks, no overflow.
std::optional<std::uint64_t> parse_unsigned(std::string_view text);

// `text` for an error message: quoted, at most 60 characters, what cannot be printed as '?'.
std::string excerpt(std::string_view text);

}  // namespace plimsoll::cgroup
