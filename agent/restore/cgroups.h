// SPDX-License-Identifier: Apache-2.0
//
// Restore: puts the limits back that an agent left raised, for the end of an agent and for
// `plimsoll restore` (uninstall). Those of cgroups here, without the API; those of specs in
// specs.h. Lowers only what is safe.
#pragma once

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "agent/apiserver/access.h"
#include "agent/state/declared_limits.h"
#include "agent/state/node_state.h"
#include "agent/state/state_file.h"
#include "agent/systemd/units.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"
#include "cgroup/root.h"
#include "cgroup/writer.h"

namespace plimsoll::agent {

struct RestorePolicy {
  // A limit is not lowered unless this much stays free above what is in use, or a quarter of the
  // limit where that is less: what is allocated between looking and writing. Of memory only:
  // nobody dies of a low CPU limit.
  Bytes margin{32 * kMiB};
  // Reclaims and looks again until then, over all that is left.
  Nanoseconds patience = std::chrono::seconds(10);
};

// Of memory or of CPUs; "max" of either is kNoLimit.
using LimitValue = std::variant<Limit, MilliCpu>;
std::string to_string(const LimitValue& value);

// What became of one limit: of memory or of CPU, of a container, of a pod's own cgroup or of a
// spec.
struct RestoreItem {
  enum class Outcome : std::uint8_t {
    kRestored,
    kWouldRestore,  // dry run
    kAlready,       // at or below its target
    kGone,          // the cgroup is gone, or another one has its name
    kInUse,         // uses more than the target and its margin: left as it is
    kForeign,       // above what we were allowed to write: somebody else's number, left as it is
    kHeldUp,        // a pod, of which a container is still raised
    kRefused,       // a spec: by the API server, or because a resize would restart the container
    kStored,        // a spec: the API server has it, but the kubelet has not put it in force
    kFailed,
  };
  std::string pod;        // "namespace/name", or the uid where the name is not known
  std::string container;  // empty: the pod's own cgroup
  std::string path;       // empty: it is about the limit in the pod's spec
  LimitValue target;      // says which of both it is about
  std::optional<LimitValue> before;
  std::optional<LimitValue> after;
  Outcome outcome = Outcome::kRestored;
  std::string why;  // what was not put back, in one sentence with the numbers

  bool is_cpu() const { return std::holds_alternative<MilliCpu>(target); }
  bool operator==(const RestoreItem&) const = default;
};
std::string_view to_string(RestoreItem::Outcome outcome);

struct RestoreReport {
  std::vector<RestoreItem> items;
  NodeState left;  // what is still to be put back
  // Every limit is back, or its cgroup gone.
  bool complete() const { return left.pods.empty(); }
};

// `writer` null: a dry run. Blocks for at most `patience` and one reclaim. A cpu.max.burst stays,
// but for what of it is above the restored quota.
RestoreReport restore_limits(const NodeState& state, const cgroup::Root& root,
                             const cgroup::Writer* writer, const RestorePolicy& policy);

// Whether `target` leaves the margin free, after a reclaim where that may help; `writer` null: none
// is tried. False: `why` says what is in use.
Result<bool> make_room(const cgroup::Group& group, const cgroup::Writer* writer, Bytes target,
                       const RestorePolicy& policy, std::string& why);

}  // namespace plimsoll::agent
