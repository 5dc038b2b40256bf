// SPDX-License-Identifier: Apache-2.0
//
// The cgroup of one `plimsoll run`: made fresh, removed at the end, and found again by the next run
// when nobody was left to remove it.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cgroup/group.h"
#include "cgroup/root.h"
#include "cgroup/writer.h"

namespace plimsoll::agent {

// "plimsoll-run-<pid>-<start time>[-<name>]": who made it, told apart from a later process with the
// same number by its start time (clock ticks since boot).
std::string run_cgroup_name(pid_t pid, std::uint64_t start_time, std::string_view name);

// True when the name is one of ours and its maker does not live any more.
bool is_stale_run_cgroup(std::string_view cgroup_name);

// Removes the empty cgroups below `parent` that dead runs left. Returns how many; one whose command
// still runs is left alone.
std::size_t remove_stale_run_cgroups(const cgroup::Root& root, const cgroup::Group& parent,
                                     const cgroup::Writer& writer);

// Removes itself, with what lives in it, when it goes.
class RunCgroup {
 public:
  static Result<RunCgroup> make(const cgroup::Root& root, const cgroup::Group& parent,
                                std::string_view name);
  RunCgroup(const RunCgroup&) = delete;
  RunCgroup& operator=(const RunCgroup&) = delete;
  RunCgroup(RunCgroup&& other) noexcept;
  RunCgroup& operator=(RunCgroup&&) = delete;
  ~RunCgroup();

  const cgroup::Group& group() const { return group_; }
  // Kills what is left inside and removes the cgroup; waits until the killed are gone, at most some
  // seconds.
  Result<void> remove();

 private:
  explicit RunCgroup(cgroup::Group group) : group_(std::move(group)) {}

  cgroup::Group group_;
  cgroup::Writer writer_;
  bool removed_ = false;
};

}  // namespace plimsoll::agent
