// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/startup_boost.h"

namespace plimsoll::agent {

std::string_view to_string(StartupEnd end) {
  switch (end) {
    case StartupEnd::kReady:
      return "ready";
    case StartupEnd::kSettled:
      return "settled";
    case StartupEnd::kTime:
      return "time_is_up";
  }
  return "unknown";
}

void look(StartupState& state, const StartupFacts& facts, const StartupBounds& bounds, bool looked,
          MonotonicTime now) {
  if (state.ended) return;
  if (facts.has_probe && facts.ready) {
    state.ended = StartupEnd::kReady;
    return;
  }
  if (facts.age >= bounds.time) {
    state.ended = StartupEnd::kTime;
    return;
  }
  if (!looked) return;
  if (facts.use > facts.floor) {
    state.quiet_since.reset();
    return;
  }
  if (!state.quiet_since) state.quiet_since = now;
  if (now - *state.quiet_since >= bounds.settle_after) state.ended = StartupEnd::kSettled;
}

}  // namespace plimsoll::agent
