// SPDX-License-Identifier: Apache-2.0
//
// The declared limits that records about specs keep, for tests.
#pragma once

#include <optional>
#include <string_view>

#include "agent/state/node_state.h"
#include "base/units.h"

namespace plimsoll::test {

// The record about the spec of that container; null: none.
inline const agent::LimitState* spec_record(const agent::NodeState& state, std::string_view uid,
                                            std::string_view container) {
  for (const agent::PodState& pod : state.pods) {
    for (const agent::ContainerState& each : pod.containers) {
      const bool spec = each.limit.id == CgroupId{};
      if (pod.uid == uid && each.name == container && spec) return &each.limit;
    }
  }
  return nullptr;
}

// The declared limit that is kept; nothing: there is none.
inline std::optional<Limit> find_floor(const agent::NodeState& state, std::string_view uid,
                                       std::string_view container) {
  const agent::LimitState* record = spec_record(state, uid, container);
  if (record == nullptr || record->first_seen.is_max()) return std::nullopt;
  return record->first_seen;
}
inline std::optional<MilliCpu> find_cpu_floor(const agent::NodeState& state, std::string_view uid,
                                              std::string_view container) {
  const agent::LimitState* record = spec_record(state, uid, container);
  if (record == nullptr || !record->cpu) return std::nullopt;
  return record->cpu->first_seen;
}

}  // namespace plimsoll::test
