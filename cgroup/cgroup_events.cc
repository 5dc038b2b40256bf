// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cgroup_events.h"

#include <string>

#include "cgroup/text.h"

namespace plimsoll::cgroup {

Result<CgroupEvents> parse_cgroup_events(std::string_view text) {
  std::optional<bool> populated;
  std::optional<bool> frozen;
  while (const auto line = next_line(text)) {
    std::string_view words = *line;
    const auto name = next_word(words);
    if (name != "populated" && name != "frozen") continue;
    const auto value = next_word(words);
    if (value != "0" && value != "1") {
      return fail(Code::kMalformed, "cgroup.events: neither 0 nor 1 in " + excerpt(*line));
    }
    (name == "populated" ? populated : frozen) = value == "1";
  }
  if (!populated) return fail(Code::kMalformed, "cgroup.events: no line populated");
  return CgroupEvents{*populated, frozen};
}

}  // namespace plimsoll::cgroup
