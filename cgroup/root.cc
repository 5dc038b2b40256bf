// SPDX-License-Identifier: Apache-2.0
#include "cgroup/root.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/vfs.h>

#include <cerrno>
#include <utility>

#include "cgroup/beneath.h"

namespace plimsoll::cgroup {

Root::Root(std::string path, Group top) : path_(std::move(path)), top_(std::move(top)) {}

Result<Root> Root::open(std::string path, Filesystem filesystem) {
  const Fd fd(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return errno_error(errno, "open cgroup root " + path);
  struct statfs kind {};
  if (::fstatfs(fd.get(), &kind) != 0) return errno_error(errno, "statfs " + path);
  if (filesystem == Filesystem::kCgroup2 && kind.f_type != CGROUP2_SUPER_MAGIC) {
    return fail(Code::kUnsupported, path + " is not a cgroup v2 file system");
  }
  if (const auto probe = open_beneath(fd, ".", O_PATH); !probe && probe.error() == ENOSYS) {
    return fail(Code::kUnsupported, "this kernel has no openat2, which came with Linux 5.6");
  }
  auto top = Group::open(fd, "", "");
  if (!top) return tl::unexpected(std::move(top).error());
  return Root(std::move(path), std::move(*top));
}

Result<Group> Root::open_group(std::string_view relative) const {
  return Group::open(top_.fd(), "", relative);
}

}  // namespace plimsoll::cgroup
