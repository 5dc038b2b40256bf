// SPDX-License-Identifier: Apache-2.0
//
// The budget of each namespace: which of the engine's groups it is, and what the operator gives it.
// Owned by the slow loop.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <map>
#include <optional>
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
  ~NamespaceBudgets() = default;

  // For one container. A namespace that is new gets a group, with the limit that is configured for
  // it; where there are more namespaces than groups, those that share one have the smallest limit
  // of theirs together.
  BudgetGroup take(const std::string& name_space, const Config& config);
  // With the last of its containers the namespace gives its group back.
  void give_back(const std::string& name_space);
  std::size_t containers_of(const std::string& name_space) const;
  // The limits anew, for all.
  void reconfigure(const Config& config);
  // What each has, and has left, by the engine's last plan.
  std::vector<NamespaceBudget> left(const Plan& plan) const;

 private:
  struct Entry {
    BudgetGroup group = kNoGroup;
    std::size_t containers = 0;
    std::optional<Bytes> limit;  // absent: only the node's
  };
  void set_limit(BudgetGroup group);

  Engine& engine_;
  std::map<std::string, Entry, std::less<>> entries_;
  std::array<std::size_t, kMaxGroups> namespaces_{};  // of each group
};

}  // namespace plimsoll::agent
