// SPDX-License-Identifier: Apache-2.0
//
// LimitChange: where a limit was and where it went or was to go, of memory or of CPU. One value
// from the engine's records to metrics, log, timelines and Events.
#pragma once

#include <variant>

#include "base/units.h"

namespace plimsoll::agent {

template <class Amount>
struct Change {
  Amount from{};
  Amount to{};

  bool operator==(const Change&) const = default;
};
using MemoryChange = Change<Bytes>;
using CpuChange = Change<MilliCpu>;
using LimitChange = std::variant<MemoryChange, CpuChange>;

inline bool is_cpu(const LimitChange& change) { return std::holds_alternative<CpuChange>(change); }

inline bool is_raise(const LimitChange& change) {
  return std::visit([](const auto& each) { return each.to > each.from; }, change);
}

}  // namespace plimsoll::agent
