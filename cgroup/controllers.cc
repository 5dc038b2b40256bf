// SPDX-License-Identifier: Apache-2.0
#include "cgroup/controllers.h"

#include <algorithm>
#include <cstddef>

#include "cgroup/text.h"

namespace plimsoll::cgroup {

Result<ControllerSet> parse_controllers(std::string_view text) {
  constexpr std::size_t kMost = 64;
  const auto belongs_in_name = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
  };
  std::string_view line = text.substr(0, text.find('\n'));
  ControllerSet names;
  while (const auto name = next_word(line)) {
    if (!std::all_of(name->begin(), name->end(), belongs_in_name)) {
      return fail(Code::kMalformed, "no controller name: " + excerpt(*name));
    }
    names.emplace(*name);
    if (names.size() > kMost) return fail(Code::kMalformed, "more than 64 controllers");
  }
  return names;
}

}  // namespace plimsoll::cgroup
