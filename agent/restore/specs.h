// SPDX-License-Identifier: Apache-2.0
//
// The half of restore that needs the API server: specs that a resize of ours has moved go back to
// what their pods declared, by another resize. Never one that restarts a container or that what is
// in use does not fit into; a limit that somebody else has set since then is theirs.
#pragma once

#include <string>
#include <vector>

#include "agent/restore/cgroups.h"
#include "agent/state/node_state.h"
#include "cgroup/root.h"
#include "cgroup/writer.h"
#include "kube/client.h"

namespace plimsoll::agent {

struct SpecReport {
  std::vector<RestoreItem> items;  // without a path
  NodeState left;                  // floors that a spec still hides
  bool complete() const;           // every spec is back, and in force
};

// `floors`: as agent/state/declared_limits keeps them. What the API server has taken is noted in
// `state`, so that restore_limits() brings the cgroups there. `writer` null: a dry run. Asks again
// every second until nothing is open or `policy.patience` has passed; the requests' own deadlines
// come on top.
SpecReport restore_specs(const NodeState& floors, kube::Client& client,
                         const std::string& node_name, const cgroup::Root& root,
                         const cgroup::Writer* writer, const RestorePolicy& policy,
                         NodeState& state);

// Without an API server: every spec that may be raised, and why it stays so.
SpecReport specs_out_of_reach(const NodeState& floors, const std::string& why);

}  // namespace plimsoll::agent
