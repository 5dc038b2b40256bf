// SPDX-License-Identifier: Apache-2.0
//
// A request on its way: sent, stored, refused by the cluster, not carried out by the kubelet and
// taken back. The same for memory and CPU, which share the one request in flight and nothing else:
// no failure of one makes the other wait.
#pragma once

#include <optional>
#include <vector>

#include "agent/resize/known.h"

namespace plimsoll::agent {

template <class Amount>
void send(Step& step, std::vector<kube::ResizeChange> changes, SendResize::Urgency urgency,
          bool withdraws);
// A stored PATCH, whose reply came or whose values the watch shows (then there is no reply).
template <class Amount>
void accepted(Step& step, std::vector<kube::ResizeChange> changes, bool withdraws,
              MonotonicTime sent, const kube::Pod* reply);
// Our own check says that the API would refuse.
template <class Amount>
void refuse_here(Step& step, const kube::ResizeChange& change, kube::Resizability why);
// What the kubelet has not taken for withdraw_after is taken back: it reserves room in the
// scheduler's eyes, and may make a VPA evict the pod. True: a PATCH was sent.
template <class Amount>
bool withdraw(Step& step, const kube::Pod& known);
template <class Amount>
void say_refused(Step& step, const kube::ResizeChange& change, const ResizeOutcome& outcome,
                 ResizeEvent::Kind kind);

// An outcome of something else is left alone.
void absorb_outcome(Step& step, const ResizeOutcome& outcome);

// The kubelet has carried it out, whatever it had said before.
template <class Amount>
void note_in_force(Step& step, ContainerResize& container, Amount limit);
// The API server has said that it cannot resize this pod.
void note_unsupported(Step& step, kube::Cause cause);
// A refusal of several containers together may be about one of them: each is asked for by itself.
void ask_alone(Step& step);

// What the engine waits for will not come now.
template <class Amount>
void forget_wish(Step& step, ContainerResize& container) {
  request_of<Amount>(container).want.reset();
  step.act(ForgetWish{.container = container.name,
                      .resource = kIsMemory<Amount> ? Resource::kMemory : Resource::kCpu});
}

// Until when a request of this pod waits after its nth failure: doubled, and half of it is jitter.
Nanoseconds backoff_of(const PodResize& state, int attempts, Nanoseconds first, Nanoseconds most);
// How long a refusal is respected that comes after one that was for `last`.
Nanoseconds next_refused_backoff(const Step& step, Nanoseconds last);

// A change of a request, and what of it fits in the room that its refusal named.
template <class Amount>
struct Fitted {
  const kube::ResizeChange* change = nullptr;
  ContainerResize* container = nullptr;
  Amount from;
  Amount to;
  Amount fits;
};
template <class Amount>
std::vector<Fitted<Amount>> fitted(const Step& step, const Room<Amount>& room,
                                   const std::vector<kube::ResizeChange>& changes);

}  // namespace plimsoll::agent
