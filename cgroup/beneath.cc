// SPDX-License-Identifier: Apache-2.0
#include "cgroup/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>

#include "cgroup/text.h"

namespace plimsoll::cgroup {

tl::expected<Fd, int> open_beneath(const Fd& directory, const std::string& path, int flags) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags | O_CLOEXEC);
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
  // glibc 2.36 has no wrapper.
  long fd = -1;
  do {
    fd = ::syscall(SYS_openat2, directory.get(), path.c_str(), &how, sizeof(how));
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) return tl::unexpected<int>(errno);
  return Fd(static_cast<int>(fd));
}

Result<std::string> relative_path(std::string_view path) {
  const auto malformed = [path](std::string_view why) {
    return fail(Code::kMalformed, "cgroup path " + excerpt(path) + " " + std::string(why));
  };
  std::string_view rest = path;
  if (rest.starts_with('/')) rest.remove_prefix(1);
  if (rest.empty()) return std::string();
  if (rest.size() >= PATH_MAX) return malformed("is too long");
  if (rest.find('\0') != std::string_view::npos) return malformed("has a NUL in it");
  std::string relative(rest);
  while (true) {
    const std::size_t slash = rest.find('/');
    const std::string_view component = rest.substr(0, slash);
    if (component.empty()) return malformed("has an empty component");
    if (component == "." || component == "..") return malformed("has a . or .. in it");
    if (slash == std::string_view::npos) return relative;
    rest.remove_prefix(slash + 1);
  }
}

std::string join_path(std::string_view parent, std::string_view child) {
  std::string path(parent);
  if (!parent.empty() && !child.empty()) path += '/';
  path += child;
  return path;
}

}  // namespace plimsoll::cgroup
