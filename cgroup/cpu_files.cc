// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cpu_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "cgroup/value.h"

namespace plimsoll::cgroup {
namespace {

std::string_view read_text(const Fd& fd, ValueBuffer& buffer) noexcept {
  const ssize_t got = ::pread(fd.get(), buffer.data(), buffer.size(), 0);
  return {buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

int write_text(const Fd& fd, std::string_view text) noexcept {
  return ::pwrite(fd.get(), text.data(), text.size(), 0) < 0 ? errno : 0;
}

}  // namespace

CpuFiles::CpuFiles(Fd max, Fd burst) : max_(std::move(max)), burst_(std::move(burst)) {}

Result<CpuFiles> CpuFiles::open(const Group& group) {
  auto max = group.open_file("cpu.max", O_RDWR);
  if (!max) return tl::unexpected(std::move(max).error());
  auto burst = group.open_file("cpu.max.burst", O_RDWR);
  if (!burst && burst.error().code != Code::kUnsupported) {
    return tl::unexpected(std::move(burst).error());
  }
  return CpuFiles(std::move(*max), burst ? std::move(*burst) : Fd());
}

int CpuFiles::write_max(const CpuMax& max) const noexcept {
  ValueBuffer buffer;
  return write_text(max_, format_cpu_max(max, buffer));
}

int CpuFiles::write_burst(std::chrono::microseconds burst) const noexcept {
  if (!burst_) return ENOTSUP;
  ValueBuffer buffer;
  return write_text(burst_, format_limit({static_cast<std::uint64_t>(burst.count())}, buffer));
}

std::optional<CpuMax> CpuFiles::read_max() const noexcept {
  ValueBuffer buffer;
  CpuMax max;
  if (!parse_cpu_max_value(read_text(max_, buffer), max)) return std::nullopt;
  return max;
}

std::optional<std::chrono::microseconds> CpuFiles::read_burst() const noexcept {
  if (!burst_) return std::nullopt;
  ValueBuffer buffer;
  return parse_cpu_burst_value(read_text(burst_, buffer));
}

}  // namespace plimsoll::cgroup
