// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "cgroup/beneath.h"
#include "cgroup/text.h"
#include "cgroup/walk.h"
#include "cgroup/writer.h"

namespace plimsoll::cgroup {
namespace {

struct Place {
  Fd directory;
  std::string name;
};

std::string_view last_component(std::string_view path) {
  const std::size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

// The parent of a cgroup and its name there, checked to be that very cgroup. ".." of a cgroup's own
// descriptor is its parent: cgroups of version 2 cannot be moved.
Result<Place> place_of(const Group& group) {
  const std::string what = "remove cgroup " + excerpt("/" + group.path());
  if (group.path().empty()) return fail(Code::kDenied, what + ": it is the root");
  if (!group.alive()) return fail(Code::kGone, what + ": it was removed before");
  Place place{Fd(::openat(group.fd().get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC)),
              std::string(last_component(group.path()))};
  if (!place.directory) return errno_error(errno, what);
  struct stat status {};
  if (::fstatat(place.directory.get(), place.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
    return errno_error(errno, what);
  }
  if (CgroupId{status.st_ino} != group.id()) return fail(Code::kGone, what + ": it was replaced");
  return place;
}

Result<void> remove_directory(const Fd& parent, const std::string& name, std::string_view path) {
  if (::unlinkat(parent.get(), name.c_str(), AT_REMOVEDIR) == 0) return {};
  return errno_error(errno, "remove cgroup " + excerpt(path));
}

}  // namespace

Result<void> Writer::enable_controllers(const Group& group,
                                        std::span<const std::string_view> names) const {
  return switch_controllers(group, '+', names);
}

Result<void> Writer::disable_controllers(const Group& group,
                                         std::span<const std::string_view> names) const {
  return switch_controllers(group, '-', names);
}

Result<void> Writer::switch_controllers(const Group& group, char sign,
                                        std::span<const std::string_view> names) {
  if (names.empty()) return {};
  std::string text;
  for (const std::string_view name : names) {
    if (!text.empty()) text += ' ';
    text += sign;
    text += name;
  }
  const auto error = write(group, "cgroup.subtree_control", text);
  if (!error) return tl::unexpected(error.error());
  if (*error == 0) return {};
  const std::string what =
      "write " + excerpt(text) + " to " + group.name_of("cgroup.subtree_control");
  // Not a missing file: that is how the kernel says that the cgroup lacks the controller.
  if (*error == ENOENT) {
    return fail(Code::kUnsupported, what + ": a controller is not in its cgroup.controllers");
  }
  return errno_error(*error, what);
}

Result<Group> Writer::create_group(const Group& parent, std::string_view name) const {
  const auto component = relative_path(name);
  if (!component) return tl::unexpected(component.error());
  if (component->empty() || name.find('/') != std::string_view::npos) {
    return fail(Code::kMalformed, "cgroup name " + excerpt(name) + " is not one component");
  }
  constexpr mode_t kMode = 0755;
  if (::mkdirat(parent.fd().get(), component->c_str(), kMode) != 0) {
    return errno_error(errno, "create cgroup " + excerpt("/" + join_path(parent.path(), name)));
  }
  return Group::open(parent.fd(), parent.path(), *component);
}

Result<void> Writer::remove_group(const Group& group, RemoveBounds bounds) const {
  auto place = place_of(group);
  if (!place) return tl::unexpected(place.error());
  const auto below = list_descendants(group, {bounds.most_groups, bounds.deepest});
  if (!below) return tl::unexpected(below.error());
  if (!below->complete) {
    return fail(Code::kConflict, "remove cgroup " + excerpt("/" + group.path()) +
                                     ": more cgroups below it than may be removed at once");
  }
  // Parents come before their children in the list.
  for (auto found = below->groups.rbegin(); found != below->groups.rend(); ++found) {
    const std::string relative = found->path.substr(group.path().size() + 1);
    const std::size_t slash = relative.rfind('/');
    const std::string above = slash == std::string::npos ? "." : relative.substr(0, slash);
    const auto parent = open_beneath(group.fd(), above, O_PATH | O_DIRECTORY);
    if (!parent && parent.error() == ENOENT) continue;
    if (!parent) return errno_error(parent.error(), "open cgroup " + excerpt("/" + found->path));
    auto removed = remove_directory(*parent, std::string(last_component(relative)), found->path);
    if (!removed && removed.error().code != Code::kGone) return removed;
  }
  return remove_directory(place->directory, place->name, "/" + group.path());
}

Result<void> Writer::move_process(const Group& group, pid_t pid) const {
  if (pid <= 0) return fail(Code::kMalformed, "pid " + std::to_string(pid) + " is no process");
  const auto error = write(group, "cgroup.procs", std::to_string(pid));
  if (!error) return tl::unexpected(error.error());
  if (*error == 0) return {};
  return errno_error(*error,
                     "move process " + std::to_string(pid) + " to " + excerpt("/" + group.path()));
}

Result<void> Writer::kill(const Group& group) const {
  const auto error = write(group, "cgroup.kill", "1");
  if (!error && error.error().code == Code::kUnsupported) return kill_one_by_one(group);
  if (!error) return tl::unexpected(error.error());
  if (*error == 0) return {};
  return errno_error(*error, "write " + group.name_of("cgroup.kill"));
}

// Frozen processes neither fork nor exit between the reading of their pids and the signal, and they
// die of SIGKILL all the same. Can go when kernels before 5.14 are not supported any more.
Result<void> Writer::kill_one_by_one(const Group& group) {
  const auto below = list_descendants(group);
  if (!below) return tl::unexpected(below.error());
  // Since 5.2; without it a fork bomb may need another call.
  const auto frozen = write(group, "cgroup.freeze", "1");
  std::vector<std::string> paths{""};
  for (const Found& found : below->groups) {
    paths.push_back(found.path.substr(group.path().empty() ? 0 : group.path().size() + 1));
  }
  for (const std::string& path : paths) {
    const auto procs = Group::open(group.fd(), group.path(), path).and_then([](const Group& one) {
      return one.read_procs();
    });
    if (!procs && procs.error().code == Code::kGone) continue;
    if (!procs) return tl::unexpected(procs.error());
    for (const pid_t pid : procs->pids) ::kill(pid, SIGKILL);
  }
  if (frozen && *frozen == 0) {
    const auto thawed = write(group, "cgroup.freeze", "0");
    if (!thawed && thawed.error().code != Code::kGone) return tl::unexpected(thawed.error());
  }
  return {};
}

}  // namespace plimsoll::cgroup
