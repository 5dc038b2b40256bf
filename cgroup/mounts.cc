// SPDX-License-Identifier: Apache-2.0
#include "cgroup/mounts.h"

#include <cstddef>
#include <vector>

#include "base/file.h"
#include "cgroup/text.h"

namespace plimsoll::cgroup {
namespace {

// Blanks, tabs, newlines and backslashes of a path are \ooo there.
std::string unescape(std::string_view text) {
  const auto digit = [](char c) { return c >= '0' && c <= '7'; };
  std::string path;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] <= '3' && digit(text[i + 1]) &&
        digit(text[i + 2]) && digit(text[i + 3])) {
      path +=
          static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + text[i + 3] - '0');
      i += 3;
    } else {
      path += text[i];
    }
  }
  return path;
}

bool has_option(std::string_view options, std::string_view wanted) {
  while (!options.empty()) {
    const std::size_t comma = options.find(',');
    if (options.substr(0, comma) == wanted) return true;
    options.remove_prefix(comma == std::string_view::npos ? options.size() : comma + 1);
  }
  return false;
}

struct Mount {
  std::string_view root;
  std::string_view point;
  std::string_view type;
  std::string_view options;
};

// "36 35 98:0 /root /point rw,noatime shared:1 - type source options"
std::optional<Mount> parse_mount(std::string_view line) {
  std::vector<std::string_view> words;
  while (const auto word = next_word(line)) words.push_back(*word);
  std::size_t dash = 6;
  while (dash < words.size() && words[dash] != "-") ++dash;
  if (dash + 3 >= words.size()) return std::nullopt;
  return Mount{words[3], words[4], words[dash + 1], words[dash + 3]};
}

}  // namespace

CgroupMounts parse_mountinfo(std::string_view text) {
  constexpr std::string_view kUsual = "/sys/fs/cgroup";
  CgroupMounts mounts;
  while (const auto line = next_line(text)) {
    const auto mount = parse_mount(*line);
    if (!mount) continue;
    if (mount->type == "cgroup") {
      mounts.has_v1 = true;
      mounts.memory_on_v1 = mounts.memory_on_v1 || has_option(mount->options, "memory");
    } else if (mount->type == "cgroup2" && (!mounts.v2 || mount->point == kUsual)) {
      mounts.v2 = unescape(mount->point);
      mounts.v2_root = unescape(mount->root);
    }
  }
  return mounts;
}

Result<CgroupMounts> read_mounts() {
  return read_file("/proc/self/mountinfo").map(parse_mountinfo);
}

Result<std::string> parse_own_cgroup(std::string_view text) {
  constexpr std::string_view kV2 = "0::";
  constexpr std::string_view kRemoved = " (deleted)";
  while (const auto line = next_line(text)) {
    if (!line->starts_with(kV2)) continue;
    const std::string_view path = line->substr(kV2.size());
    if (!path.starts_with('/')) {
      return fail(Code::kMalformed, "/proc/self/cgroup: no path in " + excerpt(*line));
    }
    if (path.ends_with(kRemoved)) return fail(Code::kGone, "own cgroup: removed: " + excerpt(path));
    return std::string(path);
  }
  return fail(Code::kUnsupported, "/proc/self/cgroup: no cgroup of version 2");
}

Result<std::string> own_cgroup() {
  return read_file("/proc/self/cgroup").and_then(parse_own_cgroup);
}

}  // namespace plimsoll::cgroup
