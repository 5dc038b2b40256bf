// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/file.h"
#include "cgroup/value.h"
#include "cgroup/writer.h"

namespace plimsoll::cgroup {
namespace {

Result<Limit> read_limit(const Fd& fd, std::string_view name) {
  return read_all(fd, name).and_then(parse_limit_file);
}

}  // namespace

Result<int> Writer::write(const Group& group, const std::string& name, std::string_view text) {
  const auto fd = group.open_file(name, O_WRONLY);
  if (!fd) return tl::unexpected(fd.error());
  return ::pwrite(fd->get(), text.data(), text.size(), 0) < 0 ? errno : 0;
}

Result<Change> Writer::set(const Group& group, const std::string& name, Limit limit) {
  const auto fd = group.open_file(name, O_RDWR | O_NONBLOCK);
  if (!fd) return tl::unexpected(fd.error());
  const auto before = read_limit(*fd, name);
  if (!before) return tl::unexpected(before.error());
  ValueBuffer buffer;
  const auto written = write_all(*fd, format_limit(limit, buffer), group.name_of(name));
  if (!written) return tl::unexpected(written.error());
  const auto after = read_limit(*fd, name);
  if (!after) return tl::unexpected(after.error());
  return Change{group.id(), *before, *after};
}

Result<Change> Writer::set_memory_max(const Group& group, Limit limit) const {
  return set(group, "memory.max", limit);
}

Result<Change> Writer::set_memory_high(const Group& group, Limit limit) const {
  return set(group, "memory.high", limit);
}

Steps Writer::raise_memory_max(std::span<const Step> top_down) const {
  Steps steps;
  for (const Step& step : top_down) {
    auto change = step.group->read_memory_max().and_then([&](Limit now) -> Result<Change> {
      if (now >= step.limit) return Change{step.group->id(), now, now};
      return set_memory_max(*step.group, step.limit);
    });
    if (!change) {
      steps.error = std::move(change).error();
      return steps;
    }
    steps.done.push_back(*change);
  }
  return steps;
}

Steps Writer::lower_memory_max(std::span<const Step> top_down) const {
  Steps steps;
  for (auto step = top_down.rbegin(); step != top_down.rend(); ++step) {
    auto change = step->group->read_memory_max().and_then([&](Limit now) -> Result<Change> {
      if (now <= step->limit) return Change{step->group->id(), now, now};
      return set_memory_max(*step->group, step->limit);
    });
    if (!change) {
      steps.error = std::move(change).error();
      return steps;
    }
    steps.done.push_back(*change);
  }
  return steps;
}

Result<Reclaimed> Writer::reclaim(const Group& group, Bytes bytes) const {
  const auto before = group.read_memory_current();
  if (!before) return tl::unexpected(before.error());
  const auto error = write(group, "memory.reclaim", std::to_string(bytes.value));
  if (!error) return tl::unexpected(error.error());
  if (*error != 0 && *error != EAGAIN && *error != EINTR) {
    return errno_error(*error, "write " + group.name_of("memory.reclaim"));
  }
  const auto after = group.read_memory_current();
  if (!after) return tl::unexpected(after.error());
  return Reclaimed{bytes, *error == 0, *before, *after};
}

}  // namespace plimsoll::cgroup
