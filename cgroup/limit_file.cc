// SPDX-License-Identifier: Apache-2.0
#include "cgroup/limit_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <string_view>
#include <utility>

#include "cgroup/value.h"

namespace plimsoll::cgroup {
namespace {

std::optional<Limit> read_value(const Fd& fd) noexcept {
  ValueBuffer buffer;
  const ssize_t got = ::pread(fd.get(), buffer.data(), buffer.size(), 0);
  Limit limit;
  if (got <= 0 || !parse_limit_value({buffer.data(), static_cast<std::size_t>(got)}, limit)) {
    return std::nullopt;
  }
  return limit;
}

}  // namespace

LimitFile::LimitFile(Fd fd, CgroupId id) : fd_(std::move(fd)), id_(id) {}

Result<LimitFile> LimitFile::open(const Group& group, const char* name) {
  auto fd = group.open_file(name, O_RDWR | O_NONBLOCK);
  if (!fd) return tl::unexpected(std::move(fd).error());
  return LimitFile(std::move(*fd), group.id());
}

Result<LimitFile> LimitFile::open_max(const Group& group) { return open(group, "memory.max"); }
Result<LimitFile> LimitFile::open_high(const Group& group) { return open(group, "memory.high"); }

int LimitFile::write(std::uint64_t bytes) const noexcept {
  ValueBuffer buffer;
  const std::string_view text = format_limit(limit_of(Bytes{bytes}), buffer);
  return ::pwrite(fd_.get(), text.data(), text.size(), 0) < 0 ? errno : 0;
}

std::optional<Limit> LimitFile::read() const noexcept { return read_value(fd_); }

UsageFile::UsageFile(Fd fd, CgroupId id) : fd_(std::move(fd)), id_(id) {}

Result<UsageFile> UsageFile::open(const Group& group) {
  auto fd = group.open_file("memory.current", O_RDONLY);
  if (!fd) return tl::unexpected(std::move(fd).error());
  return UsageFile(std::move(*fd), group.id());
}

std::optional<Bytes> UsageFile::read() const noexcept {
  const auto value = read_value(fd_);
  if (!value || value->is_max()) return std::nullopt;
  return Bytes{value->bytes};
}

}  // namespace plimsoll::cgroup
