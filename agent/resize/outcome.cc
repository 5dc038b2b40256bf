// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/plan_internal.h"

namespace plimsoll::agent {
namespace {

using kube::Cause;

std::uint64_t mixed(std::uint64_t x) {  // the finalizer of splitmix64
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::uint64_t hashed(std::string_view text) {  // FNV-1a
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return hash;
}

void say_refused(Stepping& step, const kube::ResizeChange& change, const ResizeOutcome& outcome,
                 ResizeEvent::Kind kind) {
  const ContainerResize* container = step.find(change.container);
  if (container == nullptr) return;
  const Bytes from = container->spec.value_or(Bytes{});
  ResizeEvent answer = step.answer(kind, *container, from, change.limits.memory.value_or(from));
  if (outcome.status != 0) answer.status = outcome.status;
  answer.cause = kube::to_string(outcome.refusal->cause);
  answer.message = outcome.refusal->message;
  step.say(container->name, std::move(answer));
}

// It is still to be taken back: the kubelet's refusal stands. What was written goes meanwhile.
void put_off_withdrawal(Stepping& step) {
  if (!step.state.unverified) return;
  ResizeUnverified& open = *step.state.unverified;
  open.withdraw_backoff = next_refused_backoff(step, open.withdraw_backoff);
  open.withdraw_retry_at = step.now + open.withdraw_backoff;
}

// The cluster has decided: what was asked for, and more, is not asked for again for a while, and
// what was written ahead of it is taken back.
void respect(Stepping& step, const ResizeInFlight& request, const kube::Refusal& refusal) {
  if (request.withdraws) put_off_withdrawal(step);
  std::vector<RoomClaim> claims;
  std::vector<ContainerResize*> containers;
  Bytes total;
  for (const ContainerResize& each : step.state.containers) {
    total += each.spec.value_or(Bytes{});
  }
  for (const kube::ResizeChange& change : request.resize.changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.memory) continue;
    const kube::Container* seen = step.in_pod(*container);
    claims.push_back({.from = container->spec.value_or(Bytes{}),
                      .to = *change.limits.memory,
                      .request = seen == nullptr ? std::nullopt : seen->resources.requests.memory});
    containers.push_back(container);
  }
  const std::vector<Bytes> allowed = fit(room_of(refusal), claims, total, Bytes{kMiB});
  const bool room_known = room_of(refusal).known();
  for (std::size_t i = 0; i < containers.size(); ++i) {
    ContainerResize& container = *containers[i];
    if (claims[i].to < claims[i].from) {  // a shrink
      container.shrink_retry_at = step.now + step.config.api.refused_backoff_max;
      container.want.reset();
      step.act(ForgetWish{container.name});
      continue;
    }
    const Nanoseconds before = container.refused ? container.refused->backoff : Nanoseconds{};
    const Nanoseconds wait = next_refused_backoff(step, before);
    container.refused = RefusedValue{.value = claims[i].to,
                                     .allowed = room_known ? allowed[i] : claims[i].from,
                                     .cause = refusal.cause,
                                     .by_kubelet = false,
                                     .message = refusal.message,
                                     .retry_at = step.now + wait,
                                     .backoff = wait};
    if (container.refused->allowed <= claims[i].from) {
      container.want.reset();
      step.act(ForgetWish{container.name});
    } else {
      container.want = container.refused->allowed;
    }
    if (!container.lease) continue;
    if (step.config.fallback.on_refusal) {
      container.lease->why = LeaseWhy::kOverride;
    } else {
      container.lease->withdrawing = container.lease->limit > container.refused->allowed;
    }
  }
}

void refused(Stepping& step, const ResizeInFlight& request, const ResizeOutcome& outcome) {
  const kube::Refusal& refusal = *outcome.refusal;
  const auto say_all = [&](ResizeEvent::Kind kind) {
    for (const kube::ResizeChange& change : request.resize.changes) {
      say_refused(step, change, outcome, kind);
    }
  };
  if (refusal.outcome_unknown) step.state.unknown = request.resize.changes;
  step.state.unanswered = refusal.code == Code::kUnavailable;
  switch (refusal.code) {
    case Code::kGone:
      step.state.gone = true;
      return;
    case Code::kConflict:
      // Absolute values: the same again, soon at first.
      ++step.state.attempts;
      step.state.retry_at =
          step.now + backoff_of(step.state, step.state.attempts, std::chrono::milliseconds(50),
                                std::chrono::seconds(5));
      step.wake_at(step.state.retry_at);
      return;
    case Code::kUnavailable: {
      ++step.state.attempts;
      Nanoseconds wait = backoff_of(step.state, step.state.attempts, std::chrono::milliseconds(400),
                                    std::chrono::seconds(5));
      wait = std::max(wait, refusal.retry_after.value_or(Nanoseconds{}));
      step.state.retry_at = step.now + wait;
      step.wake_at(step.state.retry_at);
      say_all(ResizeEvent::Kind::kUnavailable);
      return;
    }
    case Code::kUnsupported:
      if (refusal.cause == Cause::kMemoryDecrease) {
        step.state.no_decrease = true;
        respect(step, request, refusal);
      } else {
        note_unsupported(step, refusal.cause);
      }
      say_all(ResizeEvent::Kind::kRefused);
      return;
    case Code::kDenied:
    case Code::kMalformed:  // a fault of ours: not repeated either
      respect(step, request, refusal);
      say_all(ResizeEvent::Kind::kRefused);
      return;
  }
}

}  // namespace

void note_unsupported(Stepping& step, Cause cause) {
  step.state.unsupported = cause;
  for (ContainerResize& container : step.state.containers) {
    if (container.lease) container.lease->why = LeaseWhy::kNoApi;
  }
}

void learn_from_reply(Stepping& step, const kube::Resize& resize, const kube::Pod& reply) {
  for (const kube::ResizeChange& change : resize.changes) {
    ContainerResize* container = step.find(change.container);
    const kube::Container* stored = kube::find_container(reply, change.container);
    if (container == nullptr || stored == nullptr || !change.limits.memory) continue;
    if (stored->resources.limits.memory) container->spec = stored->resources.limits.memory;
  }
  if (reply.generation) step.state.generation = reply.generation;
  step.state.reply_at = step.now;
}

Nanoseconds backoff_of(const PodResize& state, int attempts, Nanoseconds first, Nanoseconds most) {
  const int doublings = std::clamp(attempts - 1, 0, 20);
  const Nanoseconds bound = std::min(most, Nanoseconds(first.count() << doublings));
  const std::uint64_t random =
      mixed(hashed(state.id.uid) + static_cast<std::uint64_t>(attempts) + state.next_id);
  const double share = static_cast<double>(random >> 11) * 0x1p-53;  // [0, 1)
  return scaled_time(bound, share);
}

void accepted(Stepping& step, const kube::Resize& resize, bool withdraws, MonotonicTime sent) {
  ResizeUnverified unverified{.changes = resize.changes,
                              .visible = {},
                              .generation = step.state.generation,
                              .withdraws = withdraws,
                              .overdue = false,
                              .sent = sent};
  for (const kube::ResizeChange& change : resize.changes) {
    ContainerResize* container = step.find(change.container);
    if (container == nullptr || !change.limits.memory) continue;
    const Bytes to = *change.limits.memory;
    if (container->want == to) container->want.reset();
    if (container->refused && !withdraws && to >= container->refused->value) {
      container->refused.reset();
    }
    if (!withdraws && container->preflight.ceiling) {
      container->preflight.allowed = std::max(container->preflight.allowed, to);
    }
    if (!container->lease || container->lease->limit != to) {
      unverified.visible.push_back(container->name);
    }
    if (container->lease && !withdraws && !container->lease->withdrawing) {
      container->lease->why = LeaseWhy::kBridge;
    }
  }
  step.state.unverified = std::move(unverified);
  step.state.attempts = 0;
  step.state.unanswered = false;
  step.state.retry_at = step.now;
  // The phase that was seen is of the resize before it.
  step.state.phase = kube::ResizePhase::kNone;
  step.state.phase_since = step.now;
}

void absorb_outcomes(Stepping& step) {
  for (const ResizeOutcome& outcome : step.facts.outcomes) {
    if (step.state.preflight && step.state.preflight->id == outcome.id) {
      absorb_preflight(step, outcome);
      continue;
    }
    if (!step.state.in_flight || step.state.in_flight->id != outcome.id) continue;
    const ResizeInFlight request = *std::move(step.state.in_flight);
    step.state.in_flight.reset();
    if (is_cpu(request.resize)) {
      absorb_cpu_outcome(step, request, outcome);
      continue;
    }
    if (outcome.refusal) {
      refused(step, request, outcome);
      continue;
    }
    step.state.unknown.clear();
    for (const kube::ResizeChange& change : request.resize.changes) {
      const ContainerResize* container = step.find(change.container);
      if (container == nullptr || !change.limits.memory) continue;
      ResizeEvent answer = step.answer(
          request.withdraws ? ResizeEvent::Kind::kWithdrawn : ResizeEvent::Kind::kAccepted,
          *container, container->spec.value_or(Bytes{}), *change.limits.memory);
      answer.status = outcome.status;
      step.say(container->name, std::move(answer));
    }
    if (outcome.pod) learn_from_reply(step, request.resize, *outcome.pod);
    accepted(step, request.resize, request.withdraws, request.sent);
  }
}

}  // namespace plimsoll::agent
