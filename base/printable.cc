// SPDX-License-Identifier: Apache-2.0
#include "base/printable.h"

#include <algorithm>
#include <cstddef>

namespace plimsoll {
namespace {

// The length of the character that `text` (not empty) begins with; 0: none that may be shown, which
// is a control character or no UTF-8. Overlong and surrogate forms are left to whoever reads it.
std::size_t character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto first = byte(0);
  if (first < 0x80) return first >= 0x20 && first != 0x7f ? 1 : 0;
  const std::size_t size = first < 0xc2   ? 0
                           : first < 0xe0 ? 2
                           : first < 0xf0 ? 3
                           : first < 0xf5 ? 4
                                          : 0;
  if (size == 0 || size > text.size()) return 0;
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0U) != 0x80) return 0;
  }
  const bool is_c1 = first == 0xc2 && byte(1) < 0xa0;
  return is_c1 ? 0 : size;
}

}  // namespace

std::string printable(std::string_view text, std::size_t most) {
  std::string result;
  while (!text.empty()) {
    const std::size_t size = character(text);
    if (result.size() + std::max<std::size_t>(size, 1) > most) break;
    result += size == 0 ? "?" : text.substr(0, size);
    text.remove_prefix(std::max<std::size_t>(size, 1));
  }
  return result;
}

std::string in_quotes(std::string_view text) {
  constexpr std::size_t kLongest = 40;
  return "\"" + printable(text, kLongest) + (text.size() > kLongest ? "...\"" : "\"");
}

bool is_printable(std::string_view text) { return printable(text) == text; }

std::string shown(std::string_view key) {
  constexpr std::size_t kLongest = 64;
  return key.size() <= kLongest && is_printable(key) ? std::string(key) : in_quotes(key);
}

}  // namespace plimsoll
