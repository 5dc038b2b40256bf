// SPDX-License-Identifier: Apache-2.0
//
// All thresholds by which decide() decides, as configured.
#pragma once

#include <optional>

#include "agent/policy/cpu.h"
#include "agent/policy/memory.h"
#include "base/units.h"

namespace plimsoll::agent {

struct BudgetPolicy {
  // MemAvailable that is never given away; absent: 5 % of MemTotal, at least 64 MiB.
  std::optional<Bytes> reserve;
  // The most that all grants together may stand above all floors; absent: only the node bounds it.
  std::optional<Bytes> limit;
  // When a container gets less than it needs, lower the limits of idle ones that do not come before
  // it: what neither their working memory nor their cache uses.
  bool take_back = false;

  bool operator==(const BudgetPolicy&) const = default;
};

struct Policy {
  MemoryPolicy memory;
  CpuPolicy cpu;
  BudgetPolicy budget;

  bool operator==(const Policy&) const = default;
};

}  // namespace plimsoll::agent
