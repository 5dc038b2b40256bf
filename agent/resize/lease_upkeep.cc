// SPDX-License-Identifier: Apache-2.0
#include "agent/resize/lease_upkeep.h"

#include "cgroup/value.h"

namespace plimsoll::agent {
namespace {

using Kind = ResizeEvent::Kind;

// Between two tries to lower a limit that did not go down.
constexpr Nanoseconds kLowerAgain = std::chrono::seconds(1);
// How often a lease that is to end is tried to be lowered by what is used less.
constexpr Nanoseconds kWithdrawAgain = std::chrono::seconds(5);
// How often the files are read while something is expected to change them.
constexpr Nanoseconds kReadOften = std::chrono::milliseconds(50);

bool may_write(const Lane<Bytes>& lane) { return lane.allowed().write.value > 0; }

void raise(const Lane<Bytes>& lane, Reason reason) {
  Lease& lease = *lane.own.lease;
  lease.written_at = lane.step.now;
  lane.step.act(RaiseLimit{.container = lane.container.name,
                           .limit = lease.limit,
                           .slice = lane.step.slice_limit(true),
                           .reason = reason});
}

bool is_visible(const ResizeUnverified& request, const std::string& container) {
  return std::find(request.visible.begin(), request.visible.end(), container) !=
         request.visible.end();
}

template <class Amount>
bool is_in_force(const Step& step, const ResizeUnverified& request,
                 const kube::ResizeChange& change) {
  const ContainerResize* container = step.find(change.container);
  const std::optional<Amount>& limit = of<Amount>(change.limits);
  if (container == nullptr || !limit) return true;
  if constexpr (kIsMemory<Amount>) {
    // Where the file had the limit before, as it always has that of a CPU, only the kubelet's word
    // can tell. One that was raised meanwhile has been in force, or never will be: the next PATCH
    // tells.
    const ContainerReading* seen = step.reading(*container);
    const bool shows = is_visible(request, change.container) && seen != nullptr &&
                       cgroup::reads_as(seen->memory.limit, *limit);
    if (shows) return true;
  }
  return step.is_done(request.generation, step.in_force<Amount>(*container) == limit);
}

// The slice has room for the limits that are to be in force; more of it hurts nobody.
bool slice_in_force(const Step& step) {
  if (!step.facts.reading || !step.facts.reading->slice) return true;
  const std::optional<Bytes> needed = kube::pod_memory_limit(step.known_pod());
  const Limit limit = step.facts.reading->slice->limit;
  return !needed || limit.bytes >= needed->value || cgroup::reads_as(limit, *needed);
}

template <class Amount>
bool all_in_force(const Step& step, const ResizeUnverified& request) {
  return (!kIsMemory<Amount> || slice_in_force(step)) &&
         std::all_of(request.changes.begin(), request.changes.end(), [&](const auto& change) {
           return is_in_force<Amount>(step, request, change);
         });
}

template <class Amount>
void finish(Step& step) {
  const ResizeUnverified request = *std::exchange(of<Amount>(step.state).unverified, std::nullopt);
  for_each_limit<Amount>(
      step, request.changes, [&](const auto&, const Lane<Amount>& lane, Amount to) {
        auto& own = lane.own;
        ResizeEvent applied = lane.event(Kind::kApplied, own.asked ? own.asked->before : to, to);
        if constexpr (kIsMemory<Amount>) {
          if (own.asked) applied.reason = own.asked->reason;
          const bool measured =
              is_visible(request, lane.container.name) && !request.overdue && step.facts.reading;
          if (measured) applied.patch_to_limit = step.facts.reading->at - request.sent;
        }
        // One that is taken back was said to be, and in force is what was before.
        if (!request.withdraws) step.say(lane.container.name, std::move(applied));
        lane.note_in_force(to);
        if constexpr (kIsMemory<Amount>) {
          // The API stands behind it now.
          if (own.lease && own.lease->limit <= to) own.lease.reset();
        }
      });
}

// The kubelet neither acts nor says why: what the API has stored is written here.
void write_overdue(Step& step, ResizeUnverified& request) {
  request.overdue = true;
  for_each_limit<Bytes>(
      step, request.changes, [&](const auto&, const Lane<Bytes>& lane, Bytes stored) {
        const ContainerReading* seen = step.reading(lane.container);
        // Less of it, where the kubelet has refused more.
        const Bytes to = std::min(stored, lane.allowed().write);
        if (seen == nullptr || seen->memory.limit.bytes >= to.value) return;  // nothing to raise
        if (cgroup::reads_as(seen->memory.limit, to) || !may_write(lane)) return;
        if (to == stored) std::erase(request.visible, lane.container.name);
        lane.own.lease.reset();
        write_directly(lane, Bytes{seen->memory.limit.bytes}, to, LeaseWhy::kNodeSilent);
      });
}

void reassert(const Lane<Bytes>& lane, Bytes found) {
  const Step& step = lane.step;
  Lease& lease = *lane.own.lease;
  // What is allowed may be less than when the lease began; more than is there now is not taken.
  lease.limit = std::max(std::min(lease.limit, lane.allowed().write), found);
  if (lease.limit == found) return;
  raise(lane, Reason::kReasserted);
  std::string message = "memory.max was lowered while a lease held it";
  const kube::ResizedBy* who = kube::last_resized_by(*step.facts.pod);
  if (who != nullptr && step.now < step.state.watchful_until) {
    message += "; last resized by " + who->manager;
  }
  lane.say(Kind::kReasserted, found, lease.limit, "limit_overwritten", message);
}

void withdraw_lease(const Lane<Bytes>& lane, const CgroupReading& seen) {
  Step& step = lane.step;
  MemoryRequest& own = lane.own;
  Lease& lease = *own.lease;
  const Bytes bottom = std::max(step.ground(lane.container), lane.confirmed());
  // What the refusal left room for is kept while it is being asked for.
  const auto& refused = own.allowance.refused;
  const bool partly = refused && own.want && !lane.yielding() && *own.want <= own.allowance.upto;
  const Bytes allowed = partly ? std::max(bottom, *own.want) : bottom;
  const Bytes to = std::max(allowed, step.safe_limit(seen));
  // The file's word, for a lowering stops above the usage, wherever that was by then.
  const Bytes from{seen.limit.is_max() ? lease.limit.value : seen.limit.bytes};
  if (from <= allowed) {
    if (allowed > bottom) {
      lease.limit = allowed;
      lease.withdrawing = false;
    } else if (lease.limit > allowed) {
      end_lease(lane, allowed, "withdrawn");  // by somebody else
    } else {
      own.lease.reset();
    }
    return;
  }
  // In steps that are worth a write, and not over and over.
  if (to >= from || (to > allowed && from - to < Bytes{kMiB})) return;
  const bool again = to >= lease.limit;
  if (again && step.now - lease.written_at < kLowerAgain) return;
  lease.limit = to;
  lease.written_at = step.now;
  step.act(LowerLimit{.container = lane.container.name,
                      .limit = to,
                      .slice = step.slice_limit(false),
                      .reason = Reason::kWithdrawn});
  if (again) return;  // said before
  lane.say(refused || lane.yielding() ? Kind::kBridgeWithdrawn : Kind::kLeaseEnded, from, to,
           refused ? kube::to_string(refused->cause) : to_string(lease.why),
           refused ? std::string_view(refused->message) : "");
}

void renew_or_end(const Lane<Bytes>& lane, const CgroupReading& seen) {
  const Step& step = lane.step;
  const PodResize& state = step.state;
  Lease& lease = *lane.own.lease;
  const LeaseNeed need{.api_away = step.facts.api.away || state.unanswered,
                       .usage_above_spec = step.safe_limit(seen) > step.ground(lane.container),
                       .wanted = lane.policy != nullptr,
                       .request_open = (state.in_flight && !is_cpu(state.in_flight->resize)) ||
                                       state.memory.unverified.has_value()};
  if (renewable(lease.why, need)) {
    lease.until = step.now + step.config.fallback.lease;
    return;
  }
  lease.withdrawing = true;
  lane.forget_wish();
}

void keep_lease(const Lane<Bytes>& lane) {
  const Step& step = lane.step;
  Lease& lease = *lane.own.lease;
  if (!lease.withdrawing && lease.limit <= step.ground(lane.container)) {
    // The API has stored that much, and the kubelet does not refuse it.
    if (!step.state.memory.unverified) {
      lane.own.lease.reset();
    } else if (step.now >= lease.until) {  // the kubelet has yet to follow
      lease.until = step.now + step.config.fallback.lease;
    }
    return;
  }
  const ContainerReading* seen = step.reading(lane.container);
  if (seen == nullptr || step.facts.reading->at <= lease.written_at) return;
  const auto range = lane.range();
  // Its ceiling may be a lower one by now.
  const bool above = !range || lease.limit > range->most;
  if (above || lane.policy->leaving) lease.withdrawing = true;
  if (step.now >= lease.until) renew_or_end(lane, seen->memory);
  if (lease.withdrawing) return withdraw_lease(lane, seen->memory);
  const Bytes found{seen->memory.limit.bytes};
  const bool lowered = found < lease.limit && !cgroup::reads_as(seen->memory.limit, lease.limit);
  if (lowered && may_write(lane)) reassert(lane, found);
}

// What is found above the spec when a container is seen for the first time was written by the agent
// before this one, or by a person: from now on it is a lease like any other.
void adopt_level(const Lane<Bytes>& lane) {
  Step& step = lane.step;
  MemoryRequest& own = lane.own;
  const ContainerReading* seen = step.reading(lane.container);
  const bool leaving = lane.policy != nullptr && lane.policy->leaving;
  // Of one that leaves, whenever it is found.
  if (seen == nullptr || (own.level_known && !leaving) || !own.spec) return;
  const bool settled =
      step.state.phase == kube::ResizePhase::kNone && !step.state.memory.unverified;
  if (!settled && !own.lease) {  // the kubelet may be about to write it
    step.wake_at(step.now + kLowerAgain);
    return;
  }
  own.level_known = true;
  if (lane.policy == nullptr || lane.policy->dry_run) return;
  if (lane.policy->actuation == Actuation::kResize) return;
  const Bytes level{seen->memory.limit.bytes};
  if (own.lease || seen->memory.limit.is_max()) return;
  if (level <= *own.spec || (level > lane.policy->ceiling && !leaving)) return;
  take_lease(lane, level, lease_why(lane), step.now);
  own.lease->withdrawing = leaving;
}

}  // namespace

LeaseWhy lease_why(const Lane<Bytes>& lane) {
  const bool files = lane.policy != nullptr && lane.policy->actuation == Actuation::kCgroup;
  if (files) return LeaseWhy::kPolicy;
  if (!lane.resizable()) return LeaseWhy::kNoApi;
  if (lane.own.allowance.refused && lane.step.config.fallback.on_refusal) {
    return LeaseWhy::kOverride;
  }
  return lane.step.facts.api.away ? LeaseWhy::kApiAway : LeaseWhy::kBridge;
}

void take_lease(const Lane<Bytes>& lane, Bytes limit, LeaseWhy why, MonotonicTime written_at) {
  lane.own.lease = Lease{.limit = limit,
                         .why = why,
                         .until = lane.step.now + lane.step.config.fallback.lease,
                         .written_at = written_at};
}

void end_lease(const Lane<Bytes>& lane, Bytes to, std::string_view cause) {
  lane.say(Kind::kLeaseEnded, lane.own.lease->limit, to, cause);
  lane.own.lease.reset();
}

void write_directly(const Lane<Bytes>& lane, Bytes from, Bytes to, LeaseWhy why) {
  take_lease(lane, to, why, lane.step.now);
  raise(lane, lane.own.reason);
  lane.say(Kind::kFallback, from, to, to_string(why));
}

void verify(Step& step) {
  PodResize& state = step.state;
  if (step.now < state.watchful_until) step.wake_at(step.now + kReadOften);
  if (state.memory.unverified) {
    ResizeUnverified& request = *state.memory.unverified;
    const Nanoseconds patience =
        std::max(step.config.api.verify_after, scaled_time(step.facts.api.patch_to_limit, 2));
    const MonotonicTime due = request.sent + patience;
    if (all_in_force<Bytes>(step, request)) {
      finish<Bytes>(step);
    } else if (step.now < due) {
      step.wake_at(std::min(due, step.now + kReadOften));
    } else if (!request.overdue && !step.refused_by_node() && step.facts.reading) {
      write_overdue(step, request);
    }
  }
  if (state.cpu.unverified && all_in_force<MilliCpu>(step, *state.cpu.unverified)) {
    finish<MilliCpu>(step);
  }
}

void keep_leases(Step& step) {
  for (ContainerResize& container : step.state.containers) {
    const Lane<Bytes> lane(step, container);
    const std::optional<Lease>& lease = lane.own.lease;
    adopt_level(lane);
    if (lease) keep_lease(lane);
    if (!lease) continue;
    // Nothing else may ever come: it ends all the same, and what is used less by then goes.
    step.wake_at(lease->withdrawing ? step.now + kWithdrawAgain
                                    : std::max(lease->until, step.now + kLowerAgain));
  }
}

void repair_slice(Step& step) {
  const auto& containers = step.state.containers;
  const bool read = step.facts.reading && step.facts.reading->slice;
  const bool allowed =
      std::any_of(step.state.containers.begin(), step.state.containers.end(),
                  [&](ContainerResize& each) { return may_write(Lane<Bytes>(step, each)); });
  // While a resize is on its way, of ours or another's, the slice may be first or last.
  const std::optional<ResizeUnverified>& open = step.state.memory.unverified;
  const bool moving = open ? !open->overdue : step.memory_phase() != kube::ResizePhase::kNone;
  const std::optional<Bytes> needed =
      read && allowed && !moving ? step.slice_limit(true) : std::nullopt;
  std::optional<MonotonicTime>& since = step.state.slice_low_since;
  if (!needed || step.facts.reading->slice->limit.bytes >= needed->value ||
      cgroup::reads_as(step.facts.reading->slice->limit, *needed)) {
    since.reset();
    return;
  }
  if (!since) {
    since = step.now;
    step.wake_at(step.now + step.config.repair_after);
  }
  const bool leased = std::any_of(containers.begin(), containers.end(),
                                  [](const auto& each) { return each.memory.lease.has_value(); });
  // Below a lease somebody has lowered it: at once.
  if (!leased && step.now - *since < step.config.repair_after) return;
  since.reset();
  for (const ResizeAction& action : step.out.actions) {
    if (std::holds_alternative<RaiseLimit>(action)) return;  // raises the slice as well
  }
  step.act(RepairSlice{*needed});
  const Bytes found{step.facts.reading->slice->limit.bytes};
  step.say("", {.kind = Kind::kRepaired,
                .change = MemoryChange{found, *needed},
                .cause = "slice_below_containers"});
}

}  // namespace plimsoll::agent
