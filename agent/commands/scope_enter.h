// SPDX-License-Identifier: Apache-2.0
//
// Looks at where `plimsoll run` may make its cgroup, goes there, and back.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "agent/commands/scope.h"
#include "base/result.h"
#include "cgroup/group.h"
#include "cgroup/root.h"
#include "cgroup/writer.h"

namespace plimsoll::agent {

Result<ScopeFacts> read_scope_facts();

// The place, while it is used: goes back to where we were when it goes, and removes what it made.
class Scope {
 public:
  // Does what decide_scope() says. Does not return when systemd-run takes over: the process goes
  // on, with the same pid and descriptors, at main().
  static Result<Scope> enter(const std::vector<std::string>& arguments);

  Scope(Scope&& other) noexcept;
  Scope& operator=(Scope&&) = delete;
  Scope(const Scope&) = delete;
  Scope& operator=(const Scope&) = delete;
  ~Scope();

  const cgroup::Root& root() const { return root_; }
  // Hands the memory controller to its children.
  const cgroup::Group& parent() const { return parent_; }

 private:
  Scope(cgroup::Root root, cgroup::Group parent);
  Result<void> step_aside();
  Result<void> hand_memory_on();

  cgroup::Root root_;
  cgroup::Group parent_;
  cgroup::Writer writer_;
  std::optional<cgroup::Group> aside_;
  bool handed_on_ = false;  // by us, so that it is taken back
};

}  // namespace plimsoll::agent
