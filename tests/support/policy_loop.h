// SPDX-License-Identifier: Apache-2.0
//
// One decide() after another: what the tests of the policy share.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdint>
#include <ostream>
#include <utility>
#include <vector>

#include "agent/policy/decide.h"

namespace plimsoll::agent {

inline void PrintTo(const Action& action, std::ostream* out) {
  *out << to_string(action.kind) << " slot=" << action.slot << " from=" << to_string(action.from)
       << " to=" << to_string(action.to) << " reason=" << to_string(action.reason);
}

namespace policy_test {

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }
constexpr std::uint64_t pages(Bytes bytes) { return bytes.value / 4096; }

// Floor 64 MiB, ceiling 4 GiB, at rest.
inline ContainerSnapshot container(Slot slot, Bytes limit, Bytes usage, Bytes reclaimable = {}) {
  ContainerSnapshot result;
  result.slot = slot;
  result.id = CgroupId{1000 + slot};
  result.bounds.floor = mib(64);
  result.bounds.ceiling = mib(4096);
  result.facts = {limit, usage, reclaimable, {}};
  result.refaults = 0;
  result.activations = 0;
  result.stall_ratio = 0;
  return result;
}

// Ticks a second apart over one decide(), keeping its history.
class Loop {
 public:
  Policy policy;
  Snapshot snapshot;
  History history;
  Plan plan;

  Loop() {
    snapshot.now = MonotonicTime{std::chrono::seconds(1000)};
    snapshot.node = {Bytes{16 * kGiB}, Bytes{8 * kGiB}};
  }
  Loop& with(std::vector<ContainerSnapshot> containers) {
    snapshot.containers = std::move(containers);
    return *this;
  }
  ContainerSnapshot& only() { return snapshot.containers.at(0); }

  const Plan& tick() {
    snapshot.now += std::chrono::seconds(1);
    Decision decision = decide(snapshot, policy, std::move(history));
    history = std::move(decision.history);
    plan = std::move(decision.plan);
    return plan;
  }
  // Ticks until a plan has an action or `most` ticks went by; returns how many it took.
  int until_action(int most) {
    for (int i = 1; i <= most; ++i) {
      if (!tick().actions.empty()) return i;
    }
    return most + 1;
  }
  ContainerHistory& past() { return history.containers.begin()->second; }
};

inline Armed armed(const Plan& plan, Slot slot) {
  for (const Arming& each : plan.arming) {
    if (each.slot == slot) return each.armed;
  }
  ADD_FAILURE() << "slot " << slot << " has no arming";
  return {};
}

}  // namespace policy_test
}  // namespace plimsoll::agent
