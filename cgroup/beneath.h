// SPDX-License-Identifier: Apache-2.0
//
// Opening below a directory and nowhere else: no symbolic or magic link, no "..", no other mount.
// Everything in this folder that opens something under a cgroup root does it here.
#pragma once

#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "base/fd.h"
#include "base/result.h"

namespace plimsoll::cgroup {

// openat2 with RESOLVE_BENEATH; the error is an errno. `flags` as for openat, O_CLOEXEC is added.
// ENOSYS before Linux 5.6.
tl::expected<Fd, int> open_beneath(const Fd& directory, const std::string& path, int flags);

// A path as cgroups write them, "/a/b" or "a/b", as "a/b"; the root is "". kMalformed: an empty
// component, ".", "..", a NUL, or longer than a path can be.
Result<std::string> relative_path(std::string_view path);

// "a" and "b" as "a/b"; either may be empty.
std::string join_path(std::string_view parent, std::string_view child);

}  // namespace plimsoll::cgroup
