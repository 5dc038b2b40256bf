// SPDX-License-Identifier: Apache-2.0
//
// The budget of each namespace: which of the engine's groups it is, and what the operator gives it.
// Owned by the slow loop.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "agent/config/config.h"
#include "agent/engine/engine.h"
#include "agent/telemetry/stats.h"

namespace plimsoll::agent {

class NamespaceBudgets {
 public:
  // `engine` outlives it.
  explicit NamespaceBudgets(Engine& engine) : engine_(engine) {}
  NamespaceBudgets(const NamespaceBudgets&) = delete;
  NamespaceBudgets& operator=(const NamespaceBudgets&) = delete;

  // A namespace that is new gets a group, with the limit that is configured for it.
  BudgetGroup group_of(const std::string& name_space, const Config& config);
  // The limits anew, for all.
  void reconfigure(const Config& config);
  // What each has, and has left, by the engine's last plan.
  std::vector<NamespaceBudget> left(const Plan& plan) const;

 private:
  void set_limit(const std::string& name_space, BudgetGroup group, const Config& config);

  Engine& engine_;
  std::map<std::string, BudgetGroup, std::less<>> groups_;
};

}  // namespace plimsoll::agent
