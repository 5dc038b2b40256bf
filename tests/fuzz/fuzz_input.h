// SPDX-License-Identifier: Apache-2.0
//
// What fuzz targets are written with.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::test {

inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  // libFuzzer's bytes are chars to whoever parses them.
  return {reinterpret_cast<const char*>(data), size};  // NOLINT(*-reinterpret-cast)
}

// Ends the process with `what` unless `holds`.
void require(bool holds, std::string_view what);

// Every file below tests/contract/<directory>.
std::vector<std::string> contract_files(const std::string& directory);

}  // namespace plimsoll::test
