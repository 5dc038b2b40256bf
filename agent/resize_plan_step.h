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

#include "agent/resize_plan.h"

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
  void say(std::string container, ApiAnswer answer);
  void wake_at(MonotonicTime when) { out.wake = out.wake ? std::min(*out.wake, when) : when; }

  bool yielding() const { return now < state.yield_until; }
  // Of a want that the engine has said, for answers about it.
  ApiAnswer answer(ApiAnswer::Kind kind, const ContainerResize& container, Bytes from,
                   Bytes to) const;
};

// ---- agent/resize_plan_seen.cc: what the watch and the engine say
void absorb_pod(Stepping& step);
void absorb_words(Stepping& step);

// ---- agent/resize_plan_outcome.cc
void absorb_outcomes(Stepping& step);
// A stored PATCH, whose reply came or whose values the watch shows.
void accepted(Stepping& step, const kube::Resize& resize, bool withdraws, MonotonicTime sent);
// Until when a request of this pod waits after its nth failure: doubled, with full jitter.
Nanoseconds backoff_of(const PodResize& state, int attempts, Nanoseconds first, Nanoseconds most);

// ---- agent/resize_plan_level.cc: what the files say
void verify(Stepping& step);
void keep_leases(Stepping& step);
void repair_slice(Stepping& step);

// ---- agent/resize_plan_ask.cc
void ask(Stepping& step);

// ---- agent/resize_plan_preflight.cc
void ask_preflight(Stepping& step, const kube::Pod& known);
void absorb_preflight(Stepping& step, const ResizeOutcome& outcome);

// ---- agent/resize_plan_bounds.cc
// How far the API server and the kubelet are known to stand behind the limit.
Bytes confirmed(const Stepping& step, const ContainerResize& container);
// Where a lease on it ends: what is in force without us.
Bytes ground(const Stepping& step, const ContainerResize& container);
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
// `limit` is what a write of `bytes` reads as: the kernel rounds down to whole pages.
bool reads_as(Limit limit, Bytes bytes);

}  // namespace plimsoll::agent
