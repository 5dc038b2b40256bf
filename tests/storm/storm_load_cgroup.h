// SPDX-License-Identifier: Apache-2.0
// The few cgroup files that a storm program touches itself: its own cgroup's. Not the project's
// cgroup reader on purpose: the load must not share a mistake with what it tests.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace plimsoll::storm {

// Path of the calling process's cgroup below `root`.
std::string own_cgroup(const std::string& root);
// 0 or the errno.
int write_file(const std::string& path, const std::string& text);
// nullopt for "max" and for what cannot be read.
std::optional<uint64_t> read_limit(const std::string& path);

}  // namespace plimsoll::storm
