// SPDX-License-Identifier: Apache-2.0
#include "cgroup/value.h"

#include <charconv>
#include <cstring>
#include <system_error>

#include "cgroup/text.h"

namespace plimsoll::cgroup {

bool parse_limit_value(std::string_view text, Limit& limit) noexcept {
  const std::string_view line = text.substr(0, text.find('\n'));
  if (line == "max") {
    limit = kNoLimit;
    return true;
  }
  const auto number = parse_unsigned(line);
  // The largest number means "no limit" in Limit; the kernel prints "max" long before it.
  if (!number || limit_of(Bytes{*number}).is_max()) return false;
  limit = limit_of(Bytes{*number});
  return true;
}

Result<Limit> parse_limit_file(std::string_view text) {
  Limit limit;
  if (!parse_limit_value(text, limit)) {
    return fail(Code::kMalformed,
                "neither a number nor max: " + excerpt(text.substr(0, text.find('\n'))));
  }
  return limit;
}

Result<Bytes> parse_bytes_file(std::string_view text) {
  const std::string_view line = text.substr(0, text.find('\n'));
  const auto number = parse_unsigned(line);
  if (!number) return fail(Code::kMalformed, "not a number: " + excerpt(line));
  return Bytes{*number};
}

std::string_view format_limit(Limit limit, ValueBuffer& buffer) noexcept {
  char* end = buffer.data();
  if (limit.is_max()) {
    std::memcpy(end, "max", 3);
    end += 3;
  } else {
    // Cannot fail: 20 digits fit.
    end = std::to_chars(end, end + buffer.size() - 1, limit.bytes).ptr;
  }
  *end++ = '\n';
  return {buffer.data(), static_cast<std::size_t>(end - buffer.data())};
}

bool reads_as(Limit limit, Bytes bytes) noexcept {
  constexpr std::uint64_t kLargestPage = 64 * kKiB;
  return limit.bytes <= bytes.value && bytes.value - limit.bytes < kLargestPage;
}

}  // namespace plimsoll::cgroup
