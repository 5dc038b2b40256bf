// SPDX-License-Identifier: Apache-2.0
//
// The end of every lease: when a limit goes down again, how far, and what a probe must show first.
// Used by decide(); pure.
#pragma once

#include <optional>

#include "agent/policy/history.h"
#include "agent/policy/plan.h"
#include "agent/policy/policy.h"

namespace plimsoll::agent {

// How long a container must have been quiet: shrink_after times its backoff.
Nanoseconds shrink_wait(const MemoryPolicy& policy, const ContainerHistory& past);

// The limit grew, or the kernel killed: the window starts again, and waits longer where that
// followed a shrink within a window.
void restart_after_growth(const MemoryPolicy& policy, MonotonicTime now, ContainerHistory& past);

// Announced work has ended: what is used from now on decides, without waiting for a whole window.
void restart_after_work(const MemoryPolicy& policy, MonotonicTime now, ContainerHistory& past);

// Two windows without growth, shrink, or peaks that go up and down halve the backoff. A program
// that comes back to the same peak again and again is not calm, although its limit stands still.
void calm_down(const MemoryPolicy& policy, MonotonicTime now, Bytes limit, ContainerHistory& past);

// What is done to lower a limit, and what has to be asked for because it is below direct_floor.
struct Lowering {
  std::optional<Action> action;  // kReclaim or kShrink
  std::optional<Action> wish;    // kShrink

  bool operator==(const Lowering&) const = default;
};

// `past` has this tick's sample already. `lost`: events were lost within the window.
Lowering shrink(const ContainerSnapshot& container, const MemoryPolicy& policy, MonotonicTime now,
                bool lost, ContainerHistory& past);

// Somebody else has lowered the limit, as it was wished.
void note_shrink(MonotonicTime now, Bytes limit, ContainerHistory& past);

// The limit that an idle container could be lowered to at once: neither its working memory nor its
// cache uses what is above. Nothing when it is not idle or has nothing to spare.
std::optional<Bytes> idle_limit(const ContainerSnapshot& container, const MemoryPolicy& policy,
                                MonotonicTime now, bool lost, const ContainerHistory& past);
// Lowers it to `to`, which is no less than that.
Lowering lower_idle(const ContainerSnapshot& container, const MemoryPolicy& policy,
                    MonotonicTime now, Bytes to, ContainerHistory& past);

}  // namespace plimsoll::agent
