// SPDX-License-Identifier: Apache-2.0
//
// A request on its way: sent, stored, refused by the cluster, not carried out by the kubelet and
// taken back. The same for memory and CPU, which share the one request in flight and nothing else:
// no failure of one makes the other wait.
#pragma once

#include <optional>
#include <vector>

#include "agent/resize/lane.h"

namespace plimsoll::agent {

template <class Amount>
void send(Step& step, std::vector<kube::ResizeChange> changes, SendResize::Urgency urgency,
          bool withdraws = false);
// Of changes that are fine by themselves: all of them where they are fine together, else the first.
// False: there are none.
template <class Amount>
bool send_together(Step& step, const kube::Pod& known, std::vector<kube::ResizeChange> changes);
// `slot`: where it is remembered until its outcome comes.
void submit(Step& step, SendResize request, bool withdraws, std::optional<ResizeInFlight>& slot);
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

// An outcome of something else is left alone.
void absorb_outcome(Step& step, const ResizeOutcome& outcome);

// Whether a refusal decides about limits. Else it is noted of the pod or of what the API server can
// do, or says only that there is no answer yet.
bool decides(Step& step, const kube::Refusal& refusal);
// A refusal of several containers together may be about one of them: each is asked for by itself.
void ask_alone(Step& step);

// What the API server's answer says is stored, or would be: an admission webhook may have changed
// what was asked for.
template <class Amount>
Amount stored_in(const kube::Pod* answer, const kube::ResizeChange& change, Amount asked) {
  const kube::Container* seen =
      answer == nullptr ? nullptr : kube::find_container(*answer, change.container);
  return seen == nullptr ? asked : of<Amount>(seen->resources.limits).value_or(asked);
}

// A change of a request, and what of it fits in the room that its refusal named.
template <class Amount>
struct Fitted {
  Lane<Amount> lane;
  Amount from;
  Amount to;
  Amount fits;
};
template <class Amount>
std::vector<Fitted<Amount>> fitted(Step& step, const Room<Amount>& room,
                                   const std::vector<kube::ResizeChange>& changes);

}  // namespace plimsoll::agent
