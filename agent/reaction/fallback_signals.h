// SPDX-License-Identifier: Apache-2.0
//
// Tier C, where nothing can be held: the signs of need of one cgroup are changes of
// memory.events and a PSI trigger, and memory.high a little below the limit slows the cgroup down
// while the agent answers. docs/architecture.md says what this cannot promise.
#pragma once

#include <cstdint>
#include <optional>

#include "agent/policy/memory.h"
#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"
#include "cgroup/limit_file.h"
#include "cgroup/psi_trigger.h"

namespace plimsoll::agent {

// Made by the slow loop's thread; from memory_command::Track to Report::kUntracked the reaction
// thread's.
class FallbackSignals {
 public:
  // Sets memory.high; the destructor puts back what was there.
  static Result<FallbackSignals> open(const cgroup::Group& group, Limit limit);
  FallbackSignals(FallbackSignals&&) noexcept = default;
  FallbackSignals& operator=(FallbackSignals&&) = delete;
  FallbackSignals(const FallbackSignals&) = delete;
  FallbackSignals& operator=(const FallbackSignals&) = delete;
  ~FallbackSignals();

  // `epoll` gives `data` when it is time to read().
  void watch(const Fd& epoll, std::uint64_t data) const noexcept;
  void unwatch(const Fd& epoll) const noexcept;

  struct Sign {
    MemoryFacts facts;
    Layer layer = Layer::kPredicted;
  };
  // What the files say now, and which layer that is; nullopt when the cgroup is gone or a file made
  // no sense. Re-arms memory.events. Neither allocates nor waits for another thread of ours.
  std::optional<Sign> read(MonotonicTime now, Bytes limit) noexcept;

  std::optional<Bytes> usage() const noexcept { return usage_.read(); }

  // The brake follows the limit. One write of its own file, so that the slow loop may call it too,
  // after it lowered the limit; then it may block in reclaim.
  void limit_changed(Bytes limit) noexcept;

 private:
  FallbackSignals(Fd events, Fd stat, std::optional<cgroup::PsiTrigger> psi,
                  cgroup::UsageFile usage, cgroup::LimitFile high, Limit high_before);

  Fd events_;
  Fd stat_;
  std::optional<cgroup::PsiTrigger> psi_;  // nullopt: PSI is off
  cgroup::UsageFile usage_;
  std::optional<cgroup::LimitFile> high_;  // nullopt: moved from
  Limit high_before_;
  std::uint64_t at_max_ = 0;  // "max" and "oom" of memory.events when it was last read
  std::uint64_t at_oom_ = 0;
  Bytes last_needed_;
  MonotonicTime last_at_;
};

}  // namespace plimsoll::agent
