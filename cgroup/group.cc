// SPDX-License-Identifier: Apache-2.0
#include "cgroup/group.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/file.h"
#include "cgroup/beneath.h"
#include "cgroup/text.h"
#include "cgroup/value.h"

namespace plimsoll::cgroup {
namespace {

// Every cgroup of version 2 has this file, whatever is enabled.
constexpr const char* kEverywhere = "cgroup.controllers";

}  // namespace

Group::Group(Fd fd, CgroupId id, std::string path)
    : fd_(std::move(fd)), id_(id), path_(std::move(path)) {}

Result<Group> Group::open(const Fd& base, std::string_view base_path, std::string_view relative) {
  auto below = relative_path(relative);
  if (!below) return tl::unexpected(std::move(below).error());
  std::string path = join_path(base_path, *below);
  auto fd = open_beneath(base, below->empty() ? "." : *below, O_PATH | O_DIRECTORY);
  if (!fd) return errno_error(fd.error(), "open cgroup " + excerpt(path));
  struct stat status {};
  if (::fstat(fd->get(), &status) != 0) return errno_error(errno, "stat cgroup " + excerpt(path));
  return Group(std::move(*fd), CgroupId{status.st_ino}, std::move(path));
}

bool Group::alive() const { return open_beneath(fd_, kEverywhere, O_PATH).has_value(); }

std::string Group::name_of(std::string_view file) const {
  return std::string(file) + " of " + excerpt("/" + path_);
}

Result<Fd> Group::open_file(const std::string& name, int flags) const {
  auto fd = open_beneath(fd_, name, flags);
  if (fd) return std::move(*fd);
  if (fd.error() == ENOENT && alive()) {
    return fail(Code::kUnsupported, "open " + name_of(name) + ": this cgroup has no such file");
  }
  return errno_error(fd.error(), "open " + name_of(name));
}

Result<std::string> Group::read(const std::string& name) const {
  auto fd = open_file(name, O_RDONLY);
  if (!fd) return tl::unexpected(std::move(fd).error());
  return read_all(*fd, name);
}

Result<Bytes> Group::read_memory_current() const {
  return read("memory.current").and_then(parse_bytes_file);
}

Result<Bytes> Group::read_memory_peak() const {
  return read("memory.peak").and_then(parse_bytes_file);
}

Result<Limit> Group::read_memory_max() const {
  return read("memory.max").and_then(parse_limit_file);
}

Result<Limit> Group::read_memory_high() const {
  return read("memory.high").and_then(parse_limit_file);
}

Result<MemoryStat> Group::read_memory_stat() const {
  return read("memory.stat").and_then(parse_memory_stat);
}

Result<MemoryEvents> Group::read_memory_events() const {
  return read("memory.events").and_then(parse_memory_events);
}

Result<MemoryEvents> Group::read_memory_events_local() const {
  return read("memory.events.local").and_then(parse_memory_events);
}

Result<Pressure> Group::read_memory_pressure() const {
  return read("memory.pressure").and_then(parse_pressure);
}

Result<CpuMax> Group::read_cpu_max() const { return read("cpu.max").and_then(parse_cpu_max); }

Result<std::chrono::microseconds> Group::read_cpu_max_burst() const {
  return read("cpu.max.burst").and_then(parse_cpu_burst);
}

Result<CpuStat> Group::read_cpu_stat() const { return read("cpu.stat").and_then(parse_cpu_stat); }

Result<Pressure> Group::read_cpu_pressure() const {
  return read("cpu.pressure").and_then(parse_pressure);
}

Result<Procs> Group::read_procs() const { return read("cgroup.procs").and_then(parse_procs); }

Result<ControllerSet> Group::read_controllers() const {
  return read("cgroup.controllers").and_then(parse_controllers);
}

Result<ControllerSet> Group::read_subtree_control() const {
  return read("cgroup.subtree_control").and_then(parse_controllers);
}

Result<CgroupEvents> Group::read_cgroup_events() const {
  return read("cgroup.events").and_then(parse_cgroup_events);
}

}  // namespace plimsoll::cgroup
