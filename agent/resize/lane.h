// SPDX-License-Identifier: Apache-2.0
//
// One limit of one container in a step, of memory or of CPU: what may become of it, how far, and
// what a refusal changes. The same for both but for what its .cc says. For the .cc files of the
// plan only; made where it is needed, and good for one step.
#pragma once

#include <optional>
#include <string_view>
#include <type_traits>

#include "agent/resize/step.h"

namespace plimsoll::agent {

// How far it may go at all: the author's limit, or another actor's; and the most of its policy.
template <class Amount>
struct Range {
  Amount floor;
  Amount most;
};

// How far it may go for now, by what has been said of it: written to the cgroup (0, and of CPU the
// spec: not at all), asked for in a PATCH that stores, and wished for by the engine.
template <class Amount>
struct Allowed {
  Amount write;
  Amount ask;
  Amount wish;
};

template <class Amount>
struct Lane {
  using Own = std::conditional_t<kIsMemory<Amount>, MemoryRequest, CpuRequest>;
  static constexpr bool kMemory = kIsMemory<Amount>;

  Step& step;
  ContainerResize& container;
  Own& own;
  const ContainerPolicy* policy;  // null: neither managed nor on its way out

  Lane(Step& step_in, ContainerResize& container_in)
      : step(step_in),
        container(container_in),
        own(of<Amount>(container_in)),
        policy(step_in.policy(container_in)) {}

  Amount spec() const { return own.spec.value_or(Amount{}); }
  std::optional<Amount> in_force() const { return step.template in_force<Amount>(container); }
  // nullopt: it is left alone.
  std::optional<Range<Amount>> range() const;
  Allowed<Amount> allowed() const;
  EngineBounds<Amount> bounds() const;
  // How far the API server and the kubelet are known to stand behind it.
  Amount confirmed() const;

  // It is fought over, and left to the other one for now.
  bool yielding() const { return step.now < own.yield_until; }
  // Neither the pod nor the container has a reason against a resize through the API ...
  bool resizable() const { return step.resizable() && own.resizable == kube::Resizability::kYes; }
  // ... or a dry run can at least ask how far it would go: that restarts nobody.
  bool may_try() const {
    return own.spec && step.resizable() &&
           (own.resizable == kube::Resizability::kYes ||
            own.resizable == kube::Resizability::kRestart);
  }
  bool through_api() const {
    return policy != nullptr && !policy->dry_run && policy->actuation != Actuation::kCgroup &&
           own.spec && resizable();
  }
  // The API server is asked beforehand how far it may go.
  bool wants_dry_run() const;

  // What the engine waits for will not come now.
  void forget_wish() const;
  // Nobody is the worse for a limit that is higher than it need be.
  void note_lowering_refused() const;
  // Not asked for again for a while: for `wait`, or longer than after the refusal before.
  void hold_back(Refused<Amount> refused, std::optional<Nanoseconds> wait = std::nullopt) const;
  // ... and more than `upto` is not allowed. What was written ahead of it is taken back: of memory
  // here, of CPU by the engine, which the bounds of this step tell.
  void note_refused(Amount upto, SaidBy by, Refused<Amount> refused,
                    std::optional<Nanoseconds> wait = std::nullopt) const;
  // The kubelet has carried it out, whatever it had said before.
  void note_in_force(Amount limit) const;

  // With the reason of the engine's last word.
  ResizeEvent event(ResizeEvent::Kind kind, Amount from, Amount to) const;
  void say(ResizeEvent::Kind kind, Amount from, Amount to, std::string_view cause = {},
           std::string_view message = {}, int status = 0) const;
  void say_refused(ResizeEvent::Kind kind, Amount to, const kube::Refusal& refusal,
                   int status = 0) const {
    say(kind, spec(), to, kube::to_string(refusal.cause), refusal.message, status);
  }

 private:
  bool is_written() const;
  bool only_files() const;
  bool is_held() const;
  bool needs_no_word() const;
  Amount writable(Amount most, Amount base) const;
};

// How long a refusal is respected that comes after one that was for `last`.
Nanoseconds next_refused_backoff(const Step& step, Nanoseconds last);
// Until when a request of this pod waits after its nth failure: doubled, and half of it is
// jitter.
Nanoseconds backoff_of(const PodResize& state, int attempts, Nanoseconds first, Nanoseconds most);

// Calls `each` with every change that is about such a limit, its lane, and what it is to be.
template <class Amount, class Changes, class Each>
void for_each_limit(Step& step, Changes& changes, const Each& each) {
  for (auto& change : changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !of<Amount>(change.limits)) continue;
    each(change, Lane<Amount>(step, *container), *of<Amount>(change.limits));
  }
}

// The change to `limit`; nullopt: it would change nothing.
inline std::optional<kube::ResizeChange> change_to(const kube::Pod& pod, std::string_view container,
                                                   Bytes limit) {
  return kube::memory_change(pod, container, limit);
}
inline std::optional<kube::ResizeChange> change_to(const kube::Pod& pod, std::string_view container,
                                                   MilliCpu limit) {
  return kube::cpu_change(pod, container, limit);
}

}  // namespace plimsoll::agent
