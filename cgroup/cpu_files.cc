// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cpu_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "cgroup/value.h"

namespace plimsoll::cgroup {
namespace {

template <std::size_t kSize>
std::string_view read_text(const Fd& fd, std::array<char, kSize>& buffer) noexcept {
  const ssize_t got = ::pread(fd.get(), buffer.data(), buffer.size(), 0);
  return {buffer.data(), got > 0 ? static_cast<std::size_t>(got) : 0};
}

int write_text(const Fd& fd, std::string_view text) noexcept {
  return ::pwrite(fd.get(), text.data(), text.size(), 0) < 0 ? errno : 0;
}

}  // namespace

CpuFiles::CpuFiles(Fd max, Fd burst, Fd stat)
    : max_(std::move(max)), burst_(std::move(burst)), stat_(std::move(stat)) {}

Result<CpuFiles> CpuFiles::open(const Group& group) {
  auto max = group.open_file("cpu.max", O_RDWR);
  if (!max) return tl::unexpected(std::move(max).error());
  auto burst = group.open_file("cpu.max.burst", O_RDWR);
  if (!burst && burst.error().code != Code::kUnsupported) {
    return tl::unexpected(std::move(burst).error());
  }
  auto stat = group.open_file("cpu.stat", O_RDONLY);
  if (!stat) return tl::unexpected(std::move(stat).error());
  return CpuFiles(std::move(*max), burst ? std::move(*burst) : Fd(), std::move(*stat));
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

std::optional<CpuStat> CpuFiles::read_stat() const noexcept {
  std::array<char, 1024> buffer;  // NOLINT: is read into. 7.2 writes a quarter of it
  auto stat = parse_cpu_stat(read_text(stat_, buffer));
  if (!stat) return std::nullopt;
  return *stat;
}

}  // namespace plimsoll::cgroup
