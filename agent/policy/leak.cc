// SPDX-License-Identifier: Apache-2.0
#include "agent/policy/leak.h"

#include <algorithm>

#include "agent/policy/memory.h"

namespace plimsoll::agent {
namespace {

// A climb that gains less than kRise in a kPlateauParts-th of the leak window has a plateau. At
// the default window a leak must gain 1 % in 150 s, which is slow even for one that takes a day.
constexpr double kRise = 0.01;
constexpr int kPlateauParts = 4;

}  // namespace

void follow_climb(const MemoryPolicy& policy, MonotonicTime now, const ContainerSnapshot& container,
                  std::uint32_t grants, ContainerHistory& past) {
  const Bytes working = unreclaimable(container.facts);
  if (past.climb) {
    Climb& climb = *past.climb;
    climb.peak = std::max({climb.peak, working, container.peak.value_or(Bytes{})});
    climb.refaulted += bytes_of_pages(container.refaults.value_or(0));
    if (climb.peak > climb.mark + scaled_to_fit(climb.mark, kRise)) {
      climb.mark = climb.peak;
      climb.marked_at = now;
    }
    const Bytes dip = scaled_to_fit(climb.peak, policy.leak_dip);
    const bool fell = working + dip < climb.peak;
    const bool flat = now - climb.marked_at >= policy.leak_window / kPlateauParts;
    // A leak that presses on its limit costs itself some file pages; more than that is a program
    // that uses what it has.
    const bool reused = climb.refaulted > dip;
    if (fell || flat || reused) {
      past.climb.reset();
      past.leaking = false;
    }
  }
  if (grants == 0) return;
  if (!past.climb)
    past.climb = Climb{.since = now, .peak = working, .mark = working, .marked_at = now};
  past.climb->grants += grants;
  if (past.climb->grants >= policy.leak_grants && now - past.climb->since >= policy.leak_window) {
    past.leaking = true;
  }
}

}  // namespace plimsoll::agent
