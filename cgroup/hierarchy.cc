// SPDX-License-Identifier: Apache-2.0
#include "cgroup/hierarchy.h"

#include <string_view>
#include <utility>

namespace plimsoll::cgroup {
namespace {

// nullopt: no memory controller here.
Result<std::optional<Level>> read_level(const Group& group) {
  Level level{group.id(), group.path(), kNoLimit, kNoLimit, Bytes{}};
  const auto max = group.read_memory_max();
  if (!max && max.error().code == Code::kUnsupported) return std::nullopt;
  if (!max) return tl::unexpected(max.error());
  const auto high = group.read_memory_high();
  if (!high) return tl::unexpected(high.error());
  const auto current = group.read_memory_current();
  if (!current) return tl::unexpected(current.error());
  level.max = *max;
  level.high = *high;
  level.current = *current;
  return level;
}

}  // namespace

std::optional<Bytes> margin_of(const Level& level) {
  if (level.max.is_max()) return std::nullopt;
  return Bytes{level.max.bytes} - level.current;
}

Result<std::vector<Level>> read_levels(const Root& root, const Group& group) {
  std::vector<Level> levels;
  std::string_view path = group.path();
  while (true) {
    const auto ancestor = root.open_group(path);
    if (!ancestor) return tl::unexpected(ancestor.error());
    if (path == group.path() && ancestor->id() != group.id()) {
      return fail(Code::kGone, "cgroup /" + group.path() + " was removed and made anew");
    }
    auto level = read_level(*ancestor);
    if (!level) return tl::unexpected(std::move(level).error());
    if (*level) levels.push_back(std::move(**level));
    if (path.empty()) return levels;
    const std::size_t slash = path.rfind('/');
    path = path.substr(0, slash == std::string_view::npos ? 0 : slash);
  }
}

std::optional<std::size_t> binding_limit(const std::vector<Level>& levels) {
  std::optional<std::size_t> binding;
  std::optional<Bytes> smallest;
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const auto margin = margin_of(levels[i]);
    if (!margin || (smallest && *margin >= *smallest)) continue;
    smallest = margin;
    binding = i;
  }
  return binding;
}

}  // namespace plimsoll::cgroup
