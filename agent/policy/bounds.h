// SPDX-License-Identifier: Apache-2.0
//
// Bounds: how far a limit may go, the same four figures for memory and CPU, from the pod's policy
// to the reaction threads.
#pragma once

#include <algorithm>
#include <optional>

namespace plimsoll::agent {

template <class Amount>
struct Bounds {
  Amount floor{};    // declared by the author; never lowered below
  Amount ceiling{};  // the most that it may get, by us or by wish; 0: it is never changed
  // How far we write ourselves; absent: to the ceiling; 0: never. What is needed beyond is wished,
  // for somebody else to apply (the API).
  std::optional<Amount> direct_ceiling{};
  // How far we lower ourselves; absent: to the floor. Who has limits lowered through the API gives
  // the limit that the API knows: a lease above it ends here, the rest is wished.
  std::optional<Amount> direct_floor{};

  bool operator==(const Bounds&) const = default;
};

// The most that may be written without asking anybody: never above the ceiling.
template <class Amount>
constexpr Amount direct_ceiling(const Bounds<Amount>& bounds) {
  return std::min(bounds.direct_ceiling.value_or(bounds.ceiling), bounds.ceiling);
}

// How far may be lowered without asking anybody.
template <class Amount>
constexpr Amount direct_floor(const Bounds<Amount>& bounds) {
  return bounds.direct_floor.value_or(bounds.floor);
}

// What holds at once of new bounds: as high as they and the old ones allow.
template <class Amount>
constexpr Bounds<Amount> narrowed(const Bounds<Amount>& old, const Bounds<Amount>& now) {
  Bounds<Amount> both = now;
  both.direct_ceiling =
      std::min(old.direct_ceiling.value_or(old.ceiling), now.direct_ceiling.value_or(now.ceiling));
  both.ceiling = std::min(old.ceiling, now.ceiling);
  return both;
}

}  // namespace plimsoll::agent
