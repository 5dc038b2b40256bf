// SPDX-License-Identifier: Apache-2.0
#include "cgroup/walk.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <optional>
#include <string_view>
#include <utility>

#include "cgroup/beneath.h"

namespace plimsoll::cgroup {
namespace {

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};
using Directory = std::unique_ptr<DIR, CloseDirectory>;

// The directories in `directory` with their inodes; those of kernfs are in the entry itself, so a
// cgroup costs no stat.
std::vector<Found> children_of(DIR* directory, std::string_view path) {
  std::vector<Found> children;
  while (const dirent* const entry = ::readdir(directory)) {
    const std::string_view name = entry->d_name;
    if (entry->d_type != DT_DIR || name == "." || name == "..") continue;
    children.push_back({CgroupId{entry->d_ino}, join_path(path, name)});
  }
  return children;
}

// nullopt: the directory is gone.
Result<std::optional<std::vector<Found>>> list(const Group& start, const std::string& below) {
  auto fd = open_beneath(start.fd(), below.empty() ? "." : below, O_RDONLY | O_DIRECTORY);
  if (!fd && (fd.error() == ENOENT || fd.error() == ENODEV)) return std::nullopt;
  if (!fd) return errno_error(fd.error(), "list cgroup " + join_path(start.path(), below));
  const Directory directory(::fdopendir(fd->get()));
  if (!directory) return errno_error(errno, "list cgroup " + join_path(start.path(), below));
  fd->release();
  return children_of(directory.get(), below);
}

std::size_t depth_of(std::string_view path) {
  std::size_t depth = 1;
  for (const char c : path) depth += c == '/' ? 1 : 0;
  return depth;
}

// `found` with paths below `start`.
Result<Walk> walk_below(const Group& start, WalkBounds bounds) {
  if (!start.alive()) return fail(Code::kGone, "cgroup /" + start.path() + " was removed");
  Walk walk;
  std::size_t next = 0;
  for (std::string below;; below = walk.groups[next++].path) {
    if (!below.empty() && depth_of(below) >= bounds.deepest) {
      walk.complete = false;
    } else {
      auto children = list(start, below);
      if (!children) return tl::unexpected(std::move(children).error());
      if (*children) {
        for (Found& child : **children) {
          if (walk.groups.size() >= bounds.most_groups) {
            walk.complete = false;
            return walk;
          }
          walk.groups.push_back(std::move(child));
        }
      }
    }
    if (next == walk.groups.size()) return walk;
  }
}

}  // namespace

Result<Walk> list_descendants(const Group& start, WalkBounds bounds) {
  auto walk = walk_below(start, bounds);
  if (walk) {
    for (Found& found : walk->groups) found.path = join_path(start.path(), found.path);
  }
  return walk;
}

Result<Group> find_by_id(const Root& root, CgroupId id, WalkBounds bounds) {
  if (root.top().id() == id) return root.open_group("");
  const auto walk = walk_below(root.top(), bounds);
  if (!walk) return tl::unexpected(walk.error());
  for (const Found& found : walk->groups) {
    if (found.id != id) continue;
    auto group = root.open_group(found.path);
    // Removed since it was listed, and perhaps made anew under the same name.
    if (group && group->id() != id) return fail(Code::kGone, "cgroup " + found.path + " changed");
    return group;
  }
  const std::string what = "cgroup of id " + std::to_string(static_cast<std::uint64_t>(id));
  if (!walk->complete) return fail(Code::kUnavailable, what + ": more cgroups than the walk takes");
  return fail(Code::kGone, what + ": none below " + root.path());
}

}  // namespace plimsoll::cgroup
