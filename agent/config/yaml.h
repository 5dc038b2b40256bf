// SPDX-License-Identifier: Apache-2.0
//
// A configuration file as flat settings: sections of YAML become dotted names, every setting keeps
// its line. Only maps and scalars: no lists, anchors or tags. Used by agent/config.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace plimsoll::agent {

struct Setting {
  std::string key;    // "memory.watermark"
  std::string value;  // as written, unquoted
  std::size_t line = 0;
  bool has_value = true;  // false: "key:" with nothing behind it

  bool operator==(const Setting&) const = default;
};

struct Complaint {
  std::size_t line = 0;  // 0: about the file
  std::string message;

  bool operator==(const Complaint&) const = default;
};

struct Settings {
  std::vector<Setting> settings;  // in the order of the file; keys may occur twice
  std::vector<Complaint> complaints;
};

inline constexpr std::size_t kLargestConfig = 256 * 1024;
inline constexpr std::size_t kDeepestSection = 8;

// Never throws, and never recurses deeper than its own bounds, whatever `text` is.
Settings read_settings(std::string_view text);

}  // namespace plimsoll::agent
