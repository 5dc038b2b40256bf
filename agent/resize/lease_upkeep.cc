// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/lease_upkeep.h"

#include "agent/resize/bounds.h"
#include "agent/resize/known.h"
#include "agent/resize/outcome.h"
#include "cgroup/value.h"

namespace plimsoll::agent {
namespace {

// Between two tries to lower a limit that did not go down.
constexpr Nanoseconds kLowerAgain = std::chrono::seconds(1);
// How often a lease that is to end is tried to be lowered by what is used less.
constexpr Nanoseconds kWithdrawAgain = std::chrono::seconds(5);
// How often the files are read while something is expected to change them.
constexpr Nanoseconds kReadOften = std::chrono::milliseconds(50);

bool may_write(const Step& step, const ContainerResize& container) {
  return allowed<Bytes>(step, container).write.value > 0;
}

void raise(Step& step, ContainerResize& container, Reason reason) {
  container.lease->written_at = step.now;
  step.act(RaiseLimit{.container = container.name,
                      .limit = container.lease->limit,
                      .slice = slice_limit(step, true),
                      .reason = reason});
}

bool is_visible(const ResizeUnverified& request, const std::string& container) {
  return std::find(request.visible.begin(), request.visible.end(), container) !=
         request.visible.end();
}

bool is_in_force(const Step& step, const kube::ResizeChange& change) {
  const ContainerResize* container = step.find(change.container);
  if (container == nullptr || !change.limits.memory) return true;
  const ResizeUnverified& request = *step.state.unverified;
  const ContainerReading* seen = step.reading(*container);
  // A limit that was raised meanwhile has been in force, or never will be: the next PATCH tells.
  const bool shows = is_visible(request, change.container) && seen != nullptr &&
                     cgroup::reads_as(seen->memory.limit, *change.limits.memory);
  // Where the file had the limit before, only the kubelet's word can tell.
  return shows || kubelet_says_done(step, request.generation,
                                    in_force<Bytes>(step, *container) == change.limits.memory);
}

// The slice has room for the limits that are to be in force; more of it hurts nobody.
bool slice_in_force(const Step& step) {
  if (!step.facts.reading || !step.facts.reading->slice) return true;
  const std::optional<Bytes> needed = kube::pod_memory_limit(known_pod(step));
  const Limit limit = step.facts.reading->slice->limit;
  return !needed || limit.bytes >= needed->value || cgroup::reads_as(limit, *needed);
}

void end_lease(Step& step, ContainerResize& container, Bytes to, std::string_view cause) {
  step.say(ResizeEvent::Kind::kLeaseEnded, container, container.lease->limit, to, cause);
  container.lease.reset();
}

void finish(Step& step) {
  const ResizeUnverified request = *std::move(step.state.unverified);
  step.state.unverified.reset();
  for_each_limit<Bytes>(
      step, request.changes, [&](const auto&, ContainerResize& container, Bytes to) {
        if (!request.withdraws) {  // that was said, and in force is what was before
          const Bytes from = container.asked ? container.asked->before : to;
          ResizeEvent applied = step.event(ResizeEvent::Kind::kApplied, container, from, to);
          if (container.asked) applied.reason = container.asked->reason;
          const bool measured =
              is_visible(request, container.name) && !request.overdue && step.facts.reading;
          if (measured) applied.patch_to_limit = step.facts.reading->at - request.sent;
          step.say(container.name, std::move(applied));
        }
        note_in_force(step, container, to);
        // The API stands behind it now.
        if (container.lease && container.lease->limit <= to) container.lease.reset();
      });
}

// The kubelet neither acts nor says why: what the API has stored is written here.
void write_overdue(Step& step) {
  ResizeUnverified& request = *step.state.unverified;
  request.overdue = true;
  for_each_limit<Bytes>(
      step, request.changes, [&](const auto&, ContainerResize& container, Bytes stored) {
        const ContainerReading* seen = step.reading(container);
        // Less of it, where the kubelet has refused more.
        const Bytes to = std::min(stored, allowed<Bytes>(step, container).write);
        if (seen == nullptr || seen->memory.limit.bytes >= to.value) return;  // nothing to raise
        if (cgroup::reads_as(seen->memory.limit, to) || !may_write(step, container)) return;
        if (to == stored) std::erase(request.visible, container.name);
        container.lease.reset();
        write_directly(step, container, Bytes{seen->memory.limit.bytes}, to, LeaseWhy::kNodeSilent);
      });
}

void reassert(Step& step, ContainerResize& container, const ContainerReading& seen) {
  Lease& lease = *container.lease;
  const Bytes found{seen.memory.limit.bytes};
  // What is allowed may be less than when the lease began; more than is there now is not taken.
  lease.limit = std::max(std::min(lease.limit, allowed<Bytes>(step, container).write), found);
  if (lease.limit == found) return;
  raise(step, container, Reason::kReasserted);
  std::string message = "memory.max was lowered while a lease held it";
  const kube::ResizedBy* who = kube::last_resized_by(*step.facts.pod);
  if (who != nullptr && step.now < step.state.watchful_until) {
    message += "; last resized by " + who->manager;
  }
  step.say(ResizeEvent::Kind::kReasserted, container, found, lease.limit, "limit_overwritten",
           message);
}

void withdraw_lease(Step& step, ContainerResize& container, const ContainerReading& seen) {
  Lease& lease = *container.lease;
  const Bytes bottom = std::max(ground(step, container), confirmed(step, container));
  // What the refusal left room for is kept while it is being asked for.
  const auto& refused = container.allowance.refused;
  const bool partly = refused && container.want && !step.yielding<Bytes>(container) &&
                      *container.want <= container.allowance.upto;
  const Bytes allowed = partly ? std::max(bottom, *container.want) : bottom;
  const Bytes to = std::max(allowed, safe_limit(step, seen.memory));
  // The file's word, for a lowering stops above the usage, wherever that was by then.
  const Bytes from{seen.memory.limit.is_max() ? lease.limit.value : seen.memory.limit.bytes};
  if (from <= allowed) {
    if (allowed > bottom) {
      lease.limit = allowed;
      lease.withdrawing = false;
    } else if (lease.limit > allowed) {
      end_lease(step, container, allowed, "withdrawn");  // by somebody else
    } else {
      container.lease.reset();
    }
    return;
  }
  // In steps that are worth a write, and not over and over.
  if (to >= from || (to > allowed && from - to < Bytes{kMiB})) return;
  const bool again = to >= lease.limit;
  if (again && step.now - lease.written_at < kLowerAgain) return;
  lease.limit = to;
  lease.written_at = step.now;
  step.act(LowerLimit{.container = container.name,
                      .limit = to,
                      .slice = slice_limit(step, false),
                      .reason = Reason::kWithdrawn});
  if (again) return;  // said before
  const bool taken_back = refused || step.yielding<Bytes>(container);
  step.say(taken_back ? ResizeEvent::Kind::kBridgeWithdrawn : ResizeEvent::Kind::kLeaseEnded,
           container, from, to, refused ? kube::to_string(refused->cause) : to_string(lease.why),
           refused ? std::string_view(refused->message) : "");
}

void renew_or_end(Step& step, ContainerResize& container, const ContainerReading& seen) {
  Lease& lease = *container.lease;
  const Bytes bottom = ground(step, container);
  const LeaseNeed need{
      .api_away = step.facts.api.away || step.state.unanswered,
      .usage_above_spec = safe_limit(step, seen.memory) > bottom,
      .wanted = step.policy(container) != nullptr,
      .request_open = (step.state.in_flight && !is_cpu(step.state.in_flight->resize)) ||
                      step.state.unverified.has_value()};
  if (renewable(lease.why, need)) {
    lease.until = step.now + step.config.fallback.lease;
    return;
  }
  lease.withdrawing = true;
  forget_wish<Bytes>(step, container);
}

void keep_lease(Step& step, ContainerResize& container) {
  const ContainerReading* seen = step.reading(container);
  if (!container.lease->withdrawing && container.lease->limit <= ground(step, container)) {
    // The API has stored that much, and the kubelet does not refuse it.
    if (!step.state.unverified) {
      container.lease.reset();
    } else if (step.now >= container.lease->until) {  // the kubelet has yet to follow
      container.lease->until = step.now + step.config.fallback.lease;
    }
    return;
  }
  if (seen == nullptr || step.facts.reading->at <= container.lease->written_at) return;
  const ContainerPolicy* policy = step.policy(container);
  const auto range = range_of<Bytes>(step, container);
  // Its ceiling may be a lower one by now.
  const bool above = !range || container.lease->limit > range->most;
  if (above || policy->leaving) container.lease->withdrawing = true;
  if (step.now >= container.lease->until) renew_or_end(step, container, *seen);
  if (container.lease->withdrawing) {
    withdraw_lease(step, container, *seen);
    return;
  }
  const Bytes limit = container.lease->limit;
  const bool lowered =
      seen->memory.limit.bytes < limit.value && !cgroup::reads_as(seen->memory.limit, limit);
  if (lowered && may_write(step, container)) reassert(step, container, *seen);
}

// What is found above the spec when a container is seen for the first time was written by the agent
// before this one, or by a person: from now on it is a lease like any other.
void adopt_level(Step& step, ContainerResize& container) {
  const ContainerReading* seen = step.reading(container);
  const ContainerPolicy* policy = step.policy(container);
  const bool leaving = policy != nullptr && policy->leaving;
  // Of one that leaves, whenever it is found.
  if (seen == nullptr || (container.level_known && !leaving) || !container.spec) return;
  const bool settled = step.state.phase == kube::ResizePhase::kNone && !step.state.unverified;
  if (!settled && !container.lease) {  // the kubelet may be about to write it
    step.wake_at(step.now + kLowerAgain);
    return;
  }
  container.level_known = true;
  if (policy == nullptr || policy->dry_run || policy->actuation == Actuation::kResize) return;
  const Bytes level{seen->memory.limit.bytes};
  if (container.lease || seen->memory.limit.is_max()) return;
  if (level <= *container.spec || (level > policy->ceiling && !leaving)) return;
  take_lease(step, container, level, lease_why(step, container), step.now);
  container.lease->withdrawing = leaving;
}

}  // namespace

void take_lease(Step& step, ContainerResize& container, Bytes limit, LeaseWhy why,
                MonotonicTime written_at) {
  container.lease = Lease{.limit = limit,
                          .why = why,
                          .since = container.lease ? container.lease->since : written_at,
                          .until = step.now + step.config.fallback.lease,
                          .written_at = written_at};
}

void write_directly(Step& step, ContainerResize& container, Bytes from, Bytes to, LeaseWhy why) {
  take_lease(step, container, to, why, step.now);
  raise(step, container, container.reason);
  step.say(ResizeEvent::Kind::kFallback, container, from, to, to_string(why));
}

void verify(Step& step) {
  if (step.now < step.state.watchful_until) step.wake_at(step.now + kReadOften);
  if (!step.state.unverified) return;
  ResizeUnverified& request = *step.state.unverified;
  const bool done = slice_in_force(step) &&
                    std::all_of(request.changes.begin(), request.changes.end(),
                                [&](const auto& change) { return is_in_force(step, change); });
  if (done) {
    finish(step);
    return;
  }
  const Nanoseconds patience =
      std::max(step.config.api.verify_after, scaled_time(step.facts.api.patch_to_limit, 2));
  const MonotonicTime due = request.sent + patience;
  if (step.now < due) {
    step.wake_at(std::min(due, step.now + kReadOften));
    return;
  }
  if (!request.overdue && !refused_by_node(step.state.phase) && step.facts.reading) {
    write_overdue(step);
  }
}

void keep_leases(Step& step) {
  for (ContainerResize& container : step.state.containers) {
    adopt_level(step, container);
    if (container.lease) keep_lease(step, container);
    if (!container.lease) continue;
    // Nothing else may ever come: it ends all the same, and what is used less by then goes.
    const Lease& lease = *container.lease;
    step.wake_at(lease.withdrawing ? step.now + kWithdrawAgain
                                   : std::max(lease.until, step.now + kLowerAgain));
  }
}

void repair_slice(Step& step) {
  const bool read = step.facts.reading && step.facts.reading->slice;
  const bool allowed = std::any_of(step.state.containers.begin(), step.state.containers.end(),
                                   [&](const auto& each) { return may_write(step, each); });
  // While a resize is on its way, of ours or another's, the slice may be first or last.
  const bool moving = step.state.unverified ? !step.state.unverified->overdue
                                            : memory_phase(step) != kube::ResizePhase::kNone;
  const std::optional<Bytes> needed =
      read && allowed && !moving ? slice_limit(step, true) : std::nullopt;
  if (!needed || step.facts.reading->slice->limit.bytes >= needed->value ||
      cgroup::reads_as(step.facts.reading->slice->limit, *needed)) {
    step.state.slice_low_since.reset();
    return;
  }
  if (!step.state.slice_low_since) {
    step.state.slice_low_since = step.now;
    step.wake_at(step.now + step.config.repair_after);
  }
  const bool leased = std::any_of(step.state.containers.begin(), step.state.containers.end(),
                                  [](const auto& each) { return each.lease.has_value(); });
  // Below a lease somebody has lowered it: at once.
  if (!leased && step.now - *step.state.slice_low_since < step.config.repair_after) return;
  step.state.slice_low_since.reset();
  for (const ResizeAction& action : step.out.actions) {
    if (std::holds_alternative<RaiseLimit>(action)) return;  // raises the slice as well
  }
  step.act(RepairSlice{*needed});
  ResizeEvent repaired;
  repaired.kind = ResizeEvent::Kind::kRepaired;
  repaired.change = MemoryChange{Bytes{step.facts.reading->slice->limit.bytes}, *needed};
  repaired.cause = "slice_below_containers";
  step.say("", std::move(repaired));
}

}  // namespace plimsoll::agent
