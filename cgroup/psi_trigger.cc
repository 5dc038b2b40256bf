// SPDX-License-Identifier: Apache-2.0
#include "cgroup/psi_trigger.h"

#include <fcntl.h>

#include <chrono>
#include <string>
#include <utility>

#include "base/file.h"

namespace plimsoll::cgroup {

PsiTrigger::PsiTrigger(Fd fd, CgroupId id) : fd_(std::move(fd)), id_(id) {}

Result<PsiTrigger> PsiTrigger::open(const Group& group, Nanoseconds stall, Nanoseconds window) {
  auto fd = group.open_file("memory.pressure", O_RDWR | O_NONBLOCK);
  if (!fd) return tl::unexpected(std::move(fd).error());
  const auto microseconds = [](Nanoseconds duration) {
    return std::to_string(std::chrono::duration_cast<std::chrono::microseconds>(duration).count());
  };
  const std::string text = "some " + microseconds(stall) + " " + microseconds(window);
  const auto written = write_all(*fd, text, group.name_of("memory.pressure"));
  if (!written) return tl::unexpected(written.error());
  return PsiTrigger(std::move(*fd), group.id());
}

}  // namespace plimsoll::cgroup
