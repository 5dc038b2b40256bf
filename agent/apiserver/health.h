// SPDX-License-Identifier: Apache-2.0
//
// What the whole node knows of the API server: whether it answers, and how long a PATCH takes to
// reach the cgroup. Fed by the slow loop with the outcomes of all threads that talk to it; pods see
// it as ApiStatus. Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "agent/resize/state.h"
#include "base/units.h"
#include "kube/status.h"

namespace plimsoll::agent {

// No use of the API for now, by no decision of it: unreachable, 5xx, 429.
bool means_away(const kube::Refusal& refusal);

struct ApiHealth {
  bool away = false;
  bool slow = false;        // rescue deadlines were missed
  MonotonicTime since;      // it is away or back
  MonotonicTime next_turn;  // away: when one pod may try
  MonotonicTime slow_until;
  std::uint32_t failures = 0;  // since it was last heard

  bool operator==(const ApiHealth&) const = default;
};

// After each exchange of whatever thread: `refusal` is absent after a success.
void note_exchange(ApiHealth& health, const std::optional<kube::Refusal>& refusal,
                   MonotonicTime now);

// Whether a pod may ask. While the API is away only one may at a time; the caller that then asked
// says so with took_turn().
bool has_turn(const ApiHealth& health, MonotonicTime now);
void took_turn(ApiHealth& health, MonotonicTime now);

// PATCH sent to limit in force: what it takes nine times of ten. Of the last kSamples measured
// ones; until there are so many, the configured guess counts as one of them.
class PatchLatency {
 public:
  explicit PatchLatency(Nanoseconds guess) : samples_{guess} {}

  void add(Nanoseconds sample);
  Nanoseconds nine_of_ten() const;

 private:
  static constexpr std::size_t kSamples = 20;
  std::vector<Nanoseconds> samples_;  // the guess first, until it gives way
  std::size_t next_ = 0;
};

}  // namespace plimsoll::agent
