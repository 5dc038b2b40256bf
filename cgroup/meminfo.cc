// SPDX-License-Identifier: Apache-2.0
#include "cgroup/meminfo.h"

#include <cstdint>
#include <limits>
#include <optional>
#include <string>

#include "base/file.h"
#include "cgroup/text.h"

namespace plimsoll::cgroup {
namespace {

std::optional<Bytes> parse_kibibytes(std::string_view words) {
  const auto number = next_word(words);
  const auto unit = next_word(words);
  if (!number || unit != "kB") return std::nullopt;
  const auto value = parse_unsigned(*number);
  if (!value || *value > std::numeric_limits<std::uint64_t>::max() / kKiB) return std::nullopt;
  return Bytes{*value * kKiB};
}

}  // namespace

Result<Meminfo> parse_meminfo(std::string_view text) {
  std::optional<Bytes> total;
  std::optional<Bytes> available;
  while (const auto line = next_line(text)) {
    std::string_view words = *line;
    const auto name = next_word(words);
    if (name != "MemTotal:" && name != "MemAvailable:") continue;
    const auto size = parse_kibibytes(words);
    if (!size) return fail(Code::kMalformed, "/proc/meminfo: no size in " + excerpt(*line));
    (name == "MemTotal:" ? total : available) = size;
  }
  if (!total || !available) {
    return fail(Code::kMalformed, "/proc/meminfo: no MemTotal or no MemAvailable");
  }
  return Meminfo{*total, *available};
}

Result<Meminfo> read_meminfo() { return read_file("/proc/meminfo").and_then(parse_meminfo); }

}  // namespace plimsoll::cgroup
