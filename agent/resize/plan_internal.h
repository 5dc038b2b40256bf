// SPDX-License-Identifier: Apache-2.0
//
// The inside of agent/resize_plan: one step in the making, and its parts in the order in which
// step() calls them. For resize_plan*.cc only.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/resize/plan.h"

namespace plimsoll::agent {

struct Stepping {
  PodResize& state;
  ResizeStep& out;
  const ResizeFacts& facts;
  MonotonicTime now;
  const ResizeConfig& config;

  ContainerResize* find(std::string_view container);
  const ContainerResize* find(std::string_view container) const;
  const ContainerPolicy* policy(const ContainerResize& container) const;  // of a managed one
  // Of the container's present cgroup.
  const ContainerReading* reading(const ContainerResize& container) const;
  const kube::Container* in_pod(const ContainerResize& container) const;

  void act(ResizeAction action) { out.actions.push_back(std::move(action)); }
  void say(std::string container, ResizeEvent answer);
  void wake_at(MonotonicTime when) { out.wake = out.wake ? std::min(*out.wake, when) : when; }

  bool yielding() const { return now < state.yield_until; }
  // Of a want that the engine has said, for answers about it.
  ResizeEvent answer(ResizeEvent::Kind kind, const ContainerResize& container, Bytes from,
                     Bytes to) const;
};

// ---- agent/resize/seen.cc: what the watch and the engine say
void absorb_pod(Stepping& step);
void absorb_words(Stepping& step);
// Whose value a limit of the pod is that the watch shows.
kube::SetBy limit_set_by(const Stepping& step, const std::string& container,
                         kube::OwnedLimits limits);
// The watch shows a change that somebody else made: we yield, or not.
void say_stepped_back(Stepping& step, const ContainerResize& container, kube::OwnedLimits limits,
                      ResizeEvent answer);
void give_way(Stepping& step);

// ---- agent/resize/cpu_request.cc: the CPU limits
// What is asked for about CPU is never asked together with memory.
bool is_cpu(const kube::Resize& resize);
void absorb_cpu_spec(Stepping& step, ContainerResize& container, MilliCpu limit);
void absorb_cpu_words(Stepping& step);
void restart_cpu(CpuResize& cpu);
// A resize of the agent before this one that is still under way.
void adopt_cpu_pending(Stepping& step);
void verify_cpu(Stepping& step);
// Wishes that the API cannot be asked for.
void forget_cpu_wishes(Stepping& step);
// True: a PATCH was sent.
bool ask_cpu(Stepping& step, const kube::Pod& known);
// Whether the container can do with what the API knows of its memory limit: to carry out a CPU
// resize the kubelet writes memory.max as well. Else it is looked at again soon.
bool memory_is_quiet(Stepping& step, const std::string& container);
ResizeEvent cpu_answer(ResizeEvent::Kind kind, const ContainerResize& container, MilliCpu from,
                       MilliCpu to);

// ---- agent/resize/cpu_outcome.cc
void absorb_cpu_outcome(Stepping& step, const ResizeInFlight& request,
                        const ResizeOutcome& outcome);
void note_cpu_stored(Stepping& step, const kube::ResizeChange& change, bool withdraws);
// Our own check says that the API would refuse.
void refuse_cpu_here(Stepping& step, const kube::ResizeChange& change, kube::Resizability why);
// Takes back what the kubelet does not carry out. True: a PATCH was sent.
bool withdraw_cpu(Stepping& step, const kube::Pod& known);
void send_cpu(Stepping& step, std::vector<kube::ResizeChange> changes, bool withdraws);

// ---- agent/resize/cpu_bounds.cc
// How far it may go at all: the author's, or another actor's; and the most of its policy.
struct CpuRange {
  MilliCpu floor;
  MilliCpu most;
};
std::optional<CpuRange> cpu_range(const Stepping& step, const ContainerResize& container);
bool cpu_resizable(const Stepping& step, const ContainerResize& container);
// A CPU limit of `to` could not be written when it was wished for, and can be now or soon.
bool cpu_write_is_coming(const Stepping& step, const ContainerResize& container, MilliCpu to);
bool cpu_through_api(const Stepping& step, const ContainerResize& container);
void set_cpu_bounds(Stepping& step);
void ask_cpu_preflight(Stepping& step, const kube::Pod& known);
void cpu_preflight_taken(Stepping& step, const ResizeInFlight& asked);
void cpu_preflight_refused(Stepping& step, const ResizeInFlight& asked,
                           const ResizeOutcome& outcome);

// ---- agent/resize/outcome.cc
void absorb_outcomes(Stepping& step);
// A stored PATCH, whose reply came or whose values the watch shows.
void accepted(Stepping& step, const kube::Resize& resize, bool withdraws, MonotonicTime sent);
// Only of what was asked for: what else is new in it is another actor's, and comes with the watch.
void learn_from_reply(Stepping& step, const kube::Resize& resize, const kube::Pod& reply);
void note_unsupported(Stepping& step, kube::Cause cause);
// Until when a request of this pod waits after its nth failure: doubled, with full jitter.
Nanoseconds backoff_of(const PodResize& state, int attempts, Nanoseconds first, Nanoseconds most);

// ---- agent/resize/lease_upkeep.cc: what the files say
void verify(Stepping& step);
void keep_leases(Stepping& step);
void repair_slice(Stepping& step);

// ---- agent/resize/request.cc
void ask(Stepping& step);

// ---- agent/resize/dry_run.cc
void ask_preflight(Stepping& step, const kube::Pod& known);
void send_preflight(Stepping& step, std::vector<kube::ResizeChange> changes);
void absorb_preflight(Stepping& step, const ResizeOutcome& outcome);

// ---- agent/resize/bounds.cc
// Whether one of the changes is about that container.
bool in_request(const std::vector<kube::ResizeChange>& changes, const std::string& container);
// How far the API server and the kubelet are known to stand behind the limit.
Bytes confirmed(const Stepping& step, const ContainerResize& container);
// Where a lease on it ends: what is in force without us.
Bytes ground(const Stepping& step, const ContainerResize& container);
// By the kubelet, for now or for good, or tried in vain.
bool refused_by_node(kube::ResizePhase phase);
// What the kubelet says of memory: nothing while only a CPU limit of ours is on its way.
kube::ResizePhase memory_phase(const Stepping& step);
// A reason against any growth at all, by whatever way; the others only rule out the API.
bool rules_out_growth(kube::Resizability why);
// Neither the pod nor the container has a reason against a resize through the API.
bool resizable(const Stepping& step, const ContainerResize& container);
Bytes direct_ceiling(const Stepping& step, const ContainerResize& container);
// What the engine may wish for.
Bytes wish_ceiling(const Stepping& step, const ContainerResize& container);
void set_bounds(Stepping& step);
// What a direct write to it would be for now.
LeaseWhy lease_why(const Stepping& step, const ContainerResize& container);
// memory.max of the slice for what the containers have: spec or lease, and `with_files` whatever
// more their files show. nullopt: the kubelet sets none.
std::optional<Bytes> slice_limit(const Stepping& step, bool with_files);
// The pod with the limits that the API server is known to have stored.
kube::Pod known_pod(const Stepping& step);
// The lowest limit that does not hurt.
Bytes safe_limit(const Stepping& step, const CgroupReading& now);
Nanoseconds scaled_time(Nanoseconds time, double factor);
// Why the kubelet does not carry a request out, as it says, and whether it lacks the room: that is
// a decision, and anything else (disk pressure, say) has nothing to do with the limit.
struct KubeletVerdict {
  std::string message;
  bool capacity = false;
};
KubeletVerdict kubelet_word(const Stepping& step);
// How long a refusal is respected that comes after one that was for `last`.
Nanoseconds next_refused_backoff(const Stepping& step, Nanoseconds last);

}  // namespace plimsoll::agent
