// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <string>
#include <utility>

#include "cgroup/cpu_files.h"
#include "cgroup/value.h"
#include "cgroup/writer.h"

namespace plimsoll::cgroup {
namespace {

// No limit is more than any other.
bool is_more(const CpuMax& a, const CpuMax& b) {
  if (!a.quota || !b.quota) return !a.quota && b.quota;
  return a.quota->count() * b.period.count() > b.quota->count() * a.period.count();
}

// Changes one level unless it is there already; true: go on.
bool take_step(const Writer& writer, const CpuStep& step, bool raise, CpuSteps& steps) {
  auto change = step.group->read_cpu_max().and_then([&](const CpuMax& now) -> Result<CpuChange> {
    const bool moves = raise ? is_more(step.max, now) : is_more(now, step.max);
    if (!moves) return CpuChange{step.group->id(), now, now};
    return writer.set_cpu_max(*step.group, step.max);
  });
  if (change) {
    steps.done.push_back(*change);
  } else {
    steps.error = std::move(change).error();
  }
  return !steps.error;
}

}  // namespace

Result<CpuChange> Writer::set_cpu_max(const Group& group, const CpuMax& max) const {
  const auto files = CpuFiles::open(group);
  if (!files) return tl::unexpected(files.error());
  const auto before = files->read_max();
  if (!before) return fail(Code::kGone, "read " + group.name_of("cpu.max"));
  if (const auto burst = files->read_burst(); burst && max.quota && *burst > *max.quota) {
    if (const int error = files->write_burst(*max.quota); error != 0) {
      return errno_error(error, "write " + group.name_of("cpu.max.burst"));
    }
  }
  if (const int error = files->write_max(max); error != 0) {
    return errno_error(error, "write " + group.name_of("cpu.max"));
  }
  const auto after = files->read_max();
  if (!after) return fail(Code::kGone, "read " + group.name_of("cpu.max"));
  return CpuChange{group.id(), *before, *after};
}

Result<void> Writer::set_cpu_burst(const Group& group, std::chrono::microseconds burst) const {
  const auto error = write(group, "cpu.max.burst", std::to_string(burst.count()));
  if (!error) return tl::unexpected(error.error());
  if (*error == EINVAL) {
    return fail(Code::kConflict, group.name_of("cpu.max.burst") + ": a burst of " +
                                     std::to_string(burst.count()) + " us is above the quota");
  }
  if (*error != 0) return errno_error(*error, "write " + group.name_of("cpu.max.burst"));
  return {};
}

CpuSteps Writer::raise_cpu_max(std::span<const CpuStep> top_down) const {
  CpuSteps steps;
  for (const CpuStep& step : top_down) {
    if (!take_step(*this, step, true, steps)) break;
  }
  return steps;
}

CpuSteps Writer::lower_cpu_max(std::span<const CpuStep> top_down) const {
  CpuSteps steps;
  for (auto step = top_down.rbegin(); step != top_down.rend(); ++step) {
    if (!take_step(*this, *step, false, steps)) break;
  }
  return steps;
}

}  // namespace plimsoll::cgroup
