// SPDX-License-Identifier: Apache-2.0
//
// One step in the making, as the parts of step() hand it on: what it starts from, what is known of
// the pod by now (what the API server has stored, what the kubelet says, what the files show), and
// what has come of it so far. For the .cc files of the plan only; plan.cc has the order of the
// parts.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "agent/resize/actions.h"

namespace plimsoll::agent {

// Why the kubelet does not carry a request out, as it says, and whether it lacks the room: that is
// a decision, and anything else (disk pressure, say) has nothing to do with the limit.
struct KubeletVerdict {
  std::string message;
  bool capacity = false;
};

struct Step {
  PodResize& state;
  ResizeStep& out;
  const ResizeFacts& facts;
  MonotonicTime now;
  const ResizeConfig& config;

  ContainerResize* find(std::string_view container) const;
  // Of one that is managed or leaves.
  const ContainerPolicy* policy(const ContainerResize& container) const;
  // Of the container's present cgroup.
  const ContainerReading* reading(const ContainerResize& container) const;
  const kube::Container* in_pod(const ContainerResize& container) const;
  // The pod with the limits that the API server is known to have stored.
  kube::Pod known_pod() const;

  // What the kubelet reports to be in force; nullopt: it does not say.
  template <class Amount>
  std::optional<Amount> in_force(const ContainerResize& container) const {
    const kube::Container* seen = in_pod(container);
    if (seen == nullptr || !seen->status || !seen->status->resources) return std::nullopt;
    return of<Amount>(seen->status->resources->limits);
  }
  // Where a lease on its memory ends: what is in force without us.
  Bytes ground(const ContainerResize& container) const;

  // The API server is not asked about this pod, or cannot resize it.
  bool unsupported() const { return state.unsupported && now < state.unsupported->retry_at; }
  bool resizable() const { return state.resizable == kube::Resizability::kYes && !unsupported(); }

  // By the kubelet, for now or for good, or tried in vain.
  bool refused_by_node() const;
  // What the kubelet says of memory: nothing while only a CPU limit of ours is on its way.
  kube::ResizePhase memory_phase() const;
  // The kubelet has carried out what is stored since `generation`: it has looked at it, or
  // `reported` the same.
  bool is_done(const std::optional<std::int64_t>& generation, bool reported) const;
  KubeletVerdict kubelet_verdict() const;

  // memory.max of the slice for what the containers have: spec or lease, and `with_files` whatever
  // more their files show. nullopt: the kubelet sets none.
  std::optional<Bytes> slice_limit(bool with_files) const;
  // The lowest limit that does not hurt.
  Bytes safe_limit(const CgroupReading& reading) const {
    return lowest_safe(reading.usage, config.keep_share, config.keep_least);
  }
  // Whether the container can do with what the API knows of its memory limit: to carry out a CPU
  // resize the kubelet writes memory.max as well. Else it is looked at again soon.
  bool memory_is_quiet(const std::string& container);

  void act(ResizeAction action) { out.actions.push_back(std::move(action)); }
  void wake_at(MonotonicTime when) { out.wake = out.wake ? std::min(*out.wake, when) : when; }
  void say(std::string container, ResizeEvent event);
};

// How long a request waits before it looks again whether memory, or the kubelet, is quiet.
inline constexpr Nanoseconds kLookAgain = std::chrono::seconds(1);

// What is asked for about CPU is never asked together with memory.
inline bool is_cpu(const kube::Resize& resize) {
  return !resize.changes.empty() && resize.changes.front().limits.cpu.has_value();
}
// Whether one of the changes is about that container.
bool in_request(const std::vector<kube::ResizeChange>& changes, const std::string& container);

inline Nanoseconds scaled_time(Nanoseconds time, double factor) {
  return std::chrono::duration_cast<Nanoseconds>(time * factor);
}

}  // namespace plimsoll::agent
