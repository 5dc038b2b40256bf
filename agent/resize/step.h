// SPDX-License-Identifier: Apache-2.0
//
// One step in the making, as the parts of step() hand it on: what it starts from, and what has come
// of it so far. For the .cc files of the plan only; plan.cc has the order of the parts.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "agent/resize/actions.h"

namespace plimsoll::agent {

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

  // That limit is fought over, and left to the other one for now.
  template <class Amount>
  bool yielding(const ContainerResize& container) const {
    return now < request_of<Amount>(container).yield_until;
  }
  // The API server is not asked about this pod, or cannot resize it.
  bool unsupported() const { return state.unsupported && now < state.unsupported->retry_at; }

  template <class Action>
  void act(Action action) {
    out.actions.emplace_back(std::move(action));
  }
  void wake_at(MonotonicTime when) { out.wake = out.wake ? std::min(*out.wake, when) : when; }

  // With the reason of the engine's last word.
  ResizeEvent event(ResizeEvent::Kind kind, const ContainerResize& container, Bytes from,
                    Bytes to) const;
  ResizeEvent event(ResizeEvent::Kind kind, const ContainerResize& container, MilliCpu from,
                    MilliCpu to) const;
  void say(std::string container, ResizeEvent event);
  template <class Amount>
  void say(ResizeEvent::Kind kind, const ContainerResize& container, Amount from, Amount to,
           std::string_view cause = {}, std::string_view message = {}, int status = 0) {
    ResizeEvent said = event(kind, container, from, to);
    said.cause = cause;
    said.message = message;
    if (status != 0) said.status = status;
    say(container.name, std::move(said));
  }
};

}  // namespace plimsoll::agent
