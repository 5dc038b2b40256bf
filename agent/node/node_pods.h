// SPDX-License-Identifier: Apache-2.0
//
// The pods of the node as the agent works with them: what the API says, what they may, which
// cgroups they have, in which slots of the engine these are, and how their resizes stand. Tracks
// and untracks in the engine; decides nothing. Owned by the slow loop (agent/node/node_agent).
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "agent/config/config.h"
#include "agent/engine/engine.h"
#include "agent/pods/match.h"
#include "agent/pods/pod_cgroups.h"
#include "agent/pods/pod_facts.h"
#include "agent/pods/pod_policy.h"
#include "agent/resize/state.h"
#include "agent/state/declared_limits.h"
#include "agent/state/node_state.h"
#include "agent/telemetry/explain.h"
#include "agent/telemetry/stats.h"
#include "base/result.h"
#include "base/units.h"
#include "cgroup/group.h"
#include "cgroup/root.h"
#include "kube/pod.h"
#include "kube/resize.h"

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
  Limit first_limit;    // as declared, or what the state file has
  EngineBounds bounds;  // as the resize plan wants them
  GivenBounds given;
  std::optional<Limit> written;  // the last direct write
  CpuBounds cpu_bounds;
  std::optional<GivenCpu> cpu;  // absent: its CPU limit is left alone

  // What was allowed before may have been written.
  void set_cpu_bounds(const CpuBounds& wanted);
};

struct NodePod {
  kube::Pod pod;
  PodPolicy policy;
  DeclaredLimits declared;

  // Its own cgroup; absent while no container of it is tracked.
  struct Slice {
    PodCgroup cgroup;
    cgroup::Group group;
    std::optional<Slot> slot;  // absent: it has no limit
    Limit first_limit;
    GivenBounds given;
    std::optional<Limit> written;
    std::optional<GivenCpu> cpu;
  };
  std::optional<Slice> slice;
  std::vector<NodeContainer> containers;

  std::vector<PolicyProblem> told;  // those that stand, of which was told
  PodResize resize;
  std::vector<EngineWord> words;        // since the last step
  std::vector<CpuWord> cpu_words;       // the same
  std::vector<ResizeOutcome> outcomes;  // since the last step
  bool due = true;                      // to be stepped
  std::optional<MonotonicTime> wake;
  MonotonicTime readable_at;  // its files show by then what was asked of the reaction thread
  // Ids of containers by name, as their cgroups tell before the kubelet does.
  std::map<std::string, std::string, std::less<>> early_ids;

  // Some container of it is brought back to what is declared: agent/node/leaving.
  bool leaves() const;
  NodeContainer* find(std::string_view container);
  // What the plan remembers of it; nullptr: nothing yet.
  const ContainerResize* resize_of(std::string_view container) const;
};

// A container of it may be given more CPU as soon as it starts.
bool will_be_boosted(const NodePod& pod);

struct Reach;

// What a slot stands for.
struct SlotOwner {
  std::string uid;
  std::string container;  // empty: the pod's own cgroup
};

class NodePods {
 public:
  // All outlive it. `left`, `floors`: what the agent before this one has written down of cgroups,
  // and of specs (agent/state/declared_limits).
  NodePods(const cgroup::Root& root, Engine& engine, const PodCgroups& cgroups, NodeState left,
           NodeState floors);

  // News of the API.
  void present(kube::Pod pod, const Config& config);
  std::vector<ContainerRef> gone(const std::string& uid);  // what is not tracked any more
  // All pods of the node have been presented: what was written down of others is not needed.
  void forget_unseen() { unseen_floors_.pods.clear(); }
  // Policies anew, for all.
  void reconfigure(const Config& config);

  // Brings what the engine tracks in line with both pictures. Containers that began and ended to be
  // tracked, and what could not be.
  struct Changes {
    std::vector<ContainerRef> began;
    std::vector<ContainerRef> ended;
    std::vector<std::pair<ContainerRef, Error>> failed;
    std::vector<std::pair<ContainerRef, PolicyProblem>> problems;  // those that are new
  };
  Changes settle(const Config& config, MonotonicTime now);
  void cgroups_changed() { stale_ = true; }

  // Gives the engine the bounds that are wanted, but no direct write that the state on disk does
  // not cover. True: every one got all of it.
  struct Covers {
    std::function<bool(CgroupId id, Limit direct_ceiling)> memory;
    std::function<bool(CgroupId id, MilliCpu direct_ceiling)> cpu;
  };
  // A grant lasts for at least `api_time`, what an answer of the API takes: when the kubelet
  // carries it out, the limit that it writes must not be below what is in use by then.
  bool give_bounds(const Covers& covers, Nanoseconds api_time, MonotonicTime now);

  std::map<std::string, NodePod>& pods() { return pods_; }  // by uid
  const std::map<std::string, NodePod>& pods() const { return pods_; }
  NodePod* find(std::string_view uid);
  const SlotOwner* owner(Slot slot) const;
  // For the state file, and for the one that outlives the boot.
  NodeState state() const;
  NodeState floors() const;
  // The write-ahead rule of the latter: no limit of the pod's spec is changed unless this is true.
  bool floors_kept(const NodePod& pod, const NodeState& saved) const;
  // A container is about to begin, and its cgroup does not tell yet which: settle() again by then.
  std::optional<MonotonicTime> look_again() const { return look_again_; }
  // Lowers the CPU limits of a pod that leaves, and the limits of its own cgroup, which no plan
  // does. Looks whether it has left: settle() then lets go of it.
  void bring_back(NodePod& pod, MonotonicTime now);
  // Reads the pod's files.
  PodReading read(NodePod& pod, MonotonicTime now) const;

  std::size_t tracked() const { return owners_.size(); }
  std::size_t managed() const;
  std::vector<NamespaceBudget> budgets(const Plan& plan) const;
  ExplainedContainer explain(const NodePod& pod, const std::string& container) const;

 private:
  void settle_pod(NodePod& pod, const std::map<std::string, const Match*>& matches,
                  const Config& config, Changes& changes);
  void keep_leaving(NodePod& pod, const std::map<std::string, const Match*>& matches,
                    const Config& config);
  Reach reach_in(const NodePod& pod, const Match& match) const;
  Reach slice_reach(const NodePod& pod, const PodCgroup* slice) const;
  void bring_cpu_back(Slot slot, const cgroup::Group& group, MilliCpu stored, MonotonicTime now,
                      const GivenBounds& given, GivenCpu& cpu);
  Result<void> attach(NodePod& pod, const Match& match, const ContainerPolicy& policy,
                      const Config& config, Changes& changes);
  Result<void> attach_slice(NodePod& pod, const PodCgroup& slice, Changes& changes);
  // ---- agent/node/early_containers.cc
  bool identify(std::span<const Match> matches, const std::vector<NodePod*>& order,
                MonotonicTime now);
  bool awaits_start(const NodePod& pod) const;
  bool begins(const kube::Container& container) const;
  const kube::Container* begun_in(const NodePod& pod, const PodCgroup& cgroup) const;
  void put_early_ids(NodePod& pod) const;
  bool has_cgroup(std::string_view status_id) const;

  void own(Slot slot, SlotOwner owner, Changes& changes);
  void detach(const NodeContainer& container);
  void detach_slice(NodePod& pod);
  std::optional<Slot> kubepods_slot(const std::string& pod_path);
  void set_group_limit(const std::string& name_space, BudgetGroup group, const Config& config);
  BudgetGroup group_of(const std::string& name_space, const Config& config);
  ContainerSpec spec_of(const NodePod& pod, const NodeContainer& container,
                        Nanoseconds api_time) const;
  ContainerSpec slice_spec_of(const NodePod& pod) const;
  std::optional<CpuSpec> slice_cpu_of(const NodePod& pod) const;
  std::optional<PodState> state_of(const NodePod& pod) const;  // nullopt: nothing is tracked
  PodState floors_of(const NodePod& pod) const;
  void leave(const NodePod& pod);
  void forget_left(CgroupId id);
  void drop_left();

  const cgroup::Root& root_;
  Engine& engine_;
  const PodCgroups& cgroups_;
  // Of cgroups that are not tracked: not yet, or not any more.
  NodeState left_;
  NodeState unseen_floors_;  // of pods that were not presented yet
  std::map<std::string, NodePod> pods_;
  std::map<Slot, SlotOwner> owners_;
  std::map<std::string, BudgetGroup, std::less<>> groups_;
  std::optional<Slot> kubepods_;
  bool kubepods_known_ = false;
  bool stale_ = true;
  // Cgroups that the API has not told of: since when, until it is clear what they are.
  std::map<CgroupId, MonotonicTime> unknown_;
  std::optional<MonotonicTime> look_again_;
};

}  // namespace plimsoll::agent
