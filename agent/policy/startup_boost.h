// SPDX-License-Identifier: Apache-2.0
//
// The start-up boost of one container: until when a container that starts is kept at a higher CPU
// limit. Pure; agent/node/startup_boosts asks it at every turn and has the engine do it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

#include "base/units.h"

namespace plimsoll::agent {

// Why a boost is over.
enum class StartupEnd : std::uint8_t {
  kReady,    // its probe says so
  kSettled,  // for a while it has used no more than it declares
  kTime,     // it has had all the time that there is
};
inline constexpr std::size_t kStartupEnds = 3;
std::string_view to_string(StartupEnd end);

struct StartupFacts {
  Nanoseconds age{};  // since the container was created
  // The container has a readiness or a startup probe. Without one the kubelet says "ready" as soon
  // as it runs, which tells nothing.
  bool has_probe = false;
  bool ready = false;
  MilliCpu use;  // since the last look
  MilliCpu floor;
};

struct StartupBounds {
  Nanoseconds time{};          // the longest boost
  Nanoseconds settle_after{};  // of quiet
};

struct StartupState {
  std::optional<MonotonicTime> quiet_since;
  std::optional<StartupEnd> ended;  // for good: a restarted container is another one

  bool operator==(const StartupState&) const = default;
};

// One look, at `now`, at a container whose boost has not ended. `looked`: facts.use is new, else it
// is that of the look before.
void look(StartupState& state, const StartupFacts& facts, const StartupBounds& bounds, bool looked,
          MonotonicTime now);

}  // namespace plimsoll::agent
