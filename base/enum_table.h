// SPDX-License-Identifier: Apache-2.0
//
// A table with a row for each enumerator, in place of a switch for each thing that an enumerator
// stands for. A row is a struct that begins with its enumerator, `key`, and the word for it,
// `word`; the enumeration counts from 0.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace plimsoll {

// The row of a table of words only.
template <typename Enum>
struct EnumWord {
  Enum key;
  std::string_view word;
};

// Whether each row stands where its enumerator says, up to `last`: for a static_assert.
template <typename Row, std::size_t kRows, typename Enum>
constexpr bool has_row_for_each(const std::array<Row, kRows>& rows, Enum last) {
  for (std::size_t i = 0; i < kRows; ++i) {
    if (static_cast<std::size_t>(rows[i].key) != i) return false;
  }
  return static_cast<std::size_t>(last) + 1 == kRows;
}

// Null: no enumerator has this value.
template <typename Row, std::size_t kRows, typename Enum>
constexpr const Row* row_of(const std::array<Row, kRows>& rows, Enum key) {
  const auto index = static_cast<std::size_t>(key);
  return index < kRows ? &rows[index] : nullptr;
}

// "unknown": no enumerator has this value.
template <typename Row, std::size_t kRows, typename Enum>
constexpr std::string_view word_of(const std::array<Row, kRows>& rows, Enum key) {
  const Row* row = row_of(rows, key);
  return row == nullptr ? std::string_view("unknown") : row->word;
}

}  // namespace plimsoll
