// SPDX-License-Identifier: Apache-2.0
//
// A pod of the node as the agent works with it: what the API says, what it may, which cgroups it
// has, in which slots of the engine these are, and how its resizes stand. Plain values, owned by
// the slow loop (agent/node/node_pods).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "agent/engine/engine.h"
#include "agent/pods/pod_cgroups.h"
#include "agent/pods/pod_facts.h"
#include "agent/pods/pod_policy.h"
#include "agent/resize/state.h"
#include "base/units.h"
#include "cgroup/group.h"
#include "kube/pod.h"

namespace plimsoll::agent {

// What a cgroup is given, and how far direct writes to it may have gone.
struct GivenBounds {
  std::optional<ContainerSpec> spec;  // as the engine has it
  MonotonicTime at;                   // since when
  // The limit may be as high as this and be from here, from the agent before this one too: it falls
  // only when a lower limit was seen after the engine had had the lower bounds for a while.
  Limit reach{0};

  // A reading of `now`. `stored`: as the API has it, and the kubelet may write it.
  void saw(Limit limit, Limit stored, MonotonicTime now);
  // What the engine may do has been this for long enough for its threads to obey.
  bool is_obeyed(MonotonicTime now) const { return now - at >= std::chrono::seconds(1); }
};

// The CPU limit of a cgroup that the engine keeps.
struct GivenCpu {
  MilliCpu first;  // as declared, or what the state file has
  MilliCpu reach;  // the most that direct writes may have gone to, by the agent before this one too
  std::optional<MilliCpu> written;                 // the last direct write
  std::optional<std::chrono::microseconds> burst;  // before ours, as in the state file

  bool operator==(const GivenCpu&) const = default;
};

// A container that has a policy and a cgroup.
struct NodeContainer {
  ContainerRef subject;
  ContainerPolicy policy;
  std::string container_id;  // as in the pod's status
  PodCgroup cgroup;
  cgroup::Group group;  // for readings
  Slot slot = 0;
  BudgetGroup budget_group = kNoGroup;
  Limit first_limit;           // as declared, or what the state file has
  EngineBounds<Bytes> bounds;  // as the resize plan wants them
  GivenBounds given;
  std::optional<Limit> written;  // the last direct write
  // How far the agent before this one was allowed to write: holds until the API server is asked
  // again.
  Bytes allowed_before;
  EngineBounds<MilliCpu> cpu_bounds;
  std::optional<GivenCpu> cpu;  // absent: its CPU limit is left alone

  // What was allowed before may have been written.
  void set_cpu_bounds(const EngineBounds<MilliCpu>& wanted);
  // As the plan wants them, but for `allowed_before` while the plan knows nothing of its own.
  void set_bounds(const ContainerResize& plan);
};

struct NodePod {
  kube::Pod pod;
  PodPolicy policy;
  DeclaredLimits declared;
  bool was_declared = false;  // the agent before this one had a record of it

  // Its own cgroup; absent while no container of it is tracked.
  struct Slice {
    PodCgroup cgroup;
    cgroup::Group group;
    std::optional<Slot> slot;         // absent: it has no limit
    std::optional<Slot> parent = {};  // of all pods together; absent: that has no limit
    Limit first_limit;
    GivenBounds given;
    std::optional<Limit> written;
    std::optional<GivenCpu> cpu;
  };
  std::optional<Slice> slice;
  // The limits of that cgroup as the kubelet computes them from the spec; absent: it sets none.
  kube::Amounts stored;
  std::vector<NodeContainer> containers;

  std::vector<PolicyProblem> told;  // those that stand, of which was told
  std::set<std::string> failed;     // containers that could not be watched, of which was told
  PodResize resize;
  std::vector<EngineWord> words;        // since the last step
  std::vector<ResizeOutcome> outcomes;  // since the last step
  bool due = true;                      // to be stepped
  std::optional<MonotonicTime> wake;
  MonotonicTime readable_at;  // its files show by then what was asked of the reaction thread
  // Ids of containers by name, as their cgroups tell before the kubelet does.
  std::map<std::string, std::string, std::less<>> early_ids;

  // Some container of it is brought back to what is declared: agent/node/leaving.
  bool leaves() const;
  NodeContainer* find(std::string_view container);
  // Its id as the pod's status has it; empty: not told yet.
  std::string id_of(std::string_view container) const;
  // What the plan remembers of it; nullptr: nothing yet.
  const ContainerResize* resize_of(std::string_view container) const;
};

// The limits of its own cgroup as the kubelet would compute them from what is declared; absent: it
// sets none.
std::optional<Bytes> declared_pod_limit(const NodePod& pod);
std::optional<MilliCpu> declared_pod_cpu(const NodePod& pod);

// Reads its files; what is seen there tells how far direct writes reach.
PodReading read_files(NodePod& pod, MonotonicTime now);

}  // namespace plimsoll::agent
