// SPDX-License-Identifier: Apache-2.0
//
// The members of Snapshot, Plan and History and of what they are made of, with their JSON names.
// Used by agent/record/snapshot_json.cc only.
#pragma once

#include <concepts>
#include <type_traits>

#include "agent/policy/decide.h"
#include "agent/policy/history.h"
#include "agent/policy/snapshot.h"

namespace plimsoll::agent {

template <typename T, typename U>
concept Like = std::same_as<std::remove_const_t<T>, U>;

// Each struct's members with their JSON names, once for both directions: `field` is a Writer or a
// Reader. A third argument is the default where it is not the type's own.
void fields(auto& field, Like<MemoryFacts> auto& facts) {
  field("limit_bytes", facts.limit);
  field("usage_bytes", facts.usage);
  field("reclaimable_bytes", facts.reclaimable);
  field("rate_bytes_per_second", facts.rate_per_second);
}

void fields(auto& field, Like<Bounds<Bytes>> auto& bounds) {
  field("floor_bytes", bounds.floor);
  field("ceiling_bytes", bounds.ceiling);
  field("direct_ceiling_bytes", bounds.direct_ceiling);
  field("direct_floor_bytes", bounds.direct_floor);
}

void fields(auto& field, Like<Bounds<MilliCpu>> auto& bounds) {
  field("floor_millicpu", bounds.floor);
  field("ceiling_millicpu", bounds.ceiling);
  field("direct_ceiling_millicpu", bounds.direct_ceiling);
  field("direct_floor_millicpu", bounds.direct_floor);
}

void fields(auto& field, Like<CpuSnapshot> auto& cpu) {
  fields(field, cpu.bounds);
  field("promised_millicpu", cpu.promised);
  field("limit_millicpu", cpu.limit);
  field("burst_ns", cpu.burst);
  field("use_millicpu", cpu.use);
  field("peak_millicpu", cpu.peak);
  field("throttled", cpu.throttled);
  field("raises", cpu.raises);
  field("starved_millicpu", cpu.starved);
  field("wished_millicpu", cpu.wished);
}

void fields(auto& field, Like<NodeCpuSnapshot> auto& cpu) {
  field("capacity_millicpu", cpu.capacity);
  field("use_millicpu", cpu.use);
  field("pressure_ratio", cpu.pressure);
}

void fields(auto& field, Like<ContainerSnapshot> auto& container) {
  field("slot", container.slot);
  field("id", container.id);
  fields(field, container.bounds);
  field("facts", container.facts);
  field("peak_bytes", container.peak);
  field("refaults", container.refaults);
  field("activations", container.activations);
  field("stall_ratio", container.stall_ratio);
  field("oom_kills", container.oom_kills);
  field("grants", container.grants);
  field("can_reclaim", container.can_reclaim, true);
  field("parent", container.parent);
  field("bridge_within_ns", container.bridge_within);
  field("look_ahead_ns", container.look_ahead);
  field("covers_children", container.covers_children);
  field("group", container.group);
  field("priority", container.rank.priority);
  field("qos", container.rank.qos);
  field("wished_bytes", container.wished);
  field("starved_bytes", container.starved);
  field("announced_bytes", container.announced);
  field("cpu", container.cpu);
}

void fields(auto& field, Like<NodeSnapshot> auto& node) {
  field("total_bytes", node.total);
  field("available_bytes", node.available);
  field("allocatable_bytes", node.allocatable);
  field("cpu", node.cpu);
}

void fields(auto& field, Like<Snapshot> auto& snapshot) {
  field("now_ns", snapshot.now);
  field("node", snapshot.node);
  field("lost_events", snapshot.lost_events);
  field("containers", snapshot.containers);
  field("group_limits_bytes", snapshot.groups);
}

void fields(auto& field, Like<Action> auto& action) {
  field("kind", action.kind);
  field("slot", action.slot);
  field("id", action.id);
  field("from_bytes", action.from);
  field("to_bytes", action.to);
  field("reason", action.reason);
}

void fields(auto& field, Like<Armed> auto& armed) {
  fields(field, armed.bounds);
  field("denial", armed.denial);
  field("settled_bytes", armed.settled);
  field("bridge_within_ns", armed.bridge_within);
  field("look_ahead_ns", armed.look_ahead);
  field("group", armed.group);
  field("kept_bytes", armed.kept);
  field("kept_in_group_bytes", armed.kept_in_group);
}

void fields(auto& field, Like<Arming> auto& arming) {
  field("slot", arming.slot);
  field("id", arming.id);
  field("armed", arming.armed);
}

void fields(auto& field, Like<GroupBudget> auto& budget) {
  field("granted_bytes", budget.granted);
  field("left_bytes", budget.left);
}

void fields(auto& field, Like<CpuAction> auto& action) {
  field("slot", action.slot);
  field("id", action.id);
  field("from_millicpu", action.from);
  field("to_millicpu", action.to);
  field("reason", action.reason, Reason::kLeaseEnded);
}

void fields(auto& field, Like<CpuArmed> auto& armed) {
  fields(field, armed.bounds);
  field("denial", armed.denial);
  field("burst_ns", armed.burst);
  field("average_millicpu", armed.average);
  field("kept_millicpu", armed.kept);
  field("follows", armed.follows);
}

void fields(auto& field, Like<CpuArming> auto& arming) {
  field("slot", arming.slot);
  field("id", arming.id);
  field("armed", arming.armed);
}

void fields(auto& field, Like<CpuPlan> auto& plan) {
  field("lowers", plan.lowers);
  field("wishes", plan.wishes);
  field("arming", plan.arming);
  field("budget_millicpu", plan.budget);
}

void fields(auto& field, Like<Plan> auto& plan) {
  field("actions", plan.actions);
  field("wishes", plan.wishes);
  field("arming", plan.arming);
  field("budget_bytes", plan.budget);
  field("groups", plan.groups);
  field("cpu", plan.cpu);
}

void fields(auto& field, Like<Climb> auto& climb) {
  field("since_ns", climb.since);
  field("grants", climb.grants);
  field("peak_bytes", climb.peak);
  field("mark_bytes", climb.mark);
  field("marked_at_ns", climb.marked_at);
  field("refaulted_bytes", climb.refaulted);
}

void fields(auto& field, Like<Probe> auto& probe) {
  field("usage_before_bytes", probe.usage_before);
  field("refaults_before", probe.refaults_before);
  field("tries", probe.tries, 1U);
}

void fields(auto& field, Like<Wished> auto& wished) {
  field("to_bytes", wished.to);
  field("peak_bytes", wished.peak);
  field("at_ns", wished.at);
}

void fields(auto& field, Like<PeakWindow::Bucket> auto& bucket) {
  field("begin_ns", bucket.begin);
  field("peak_bytes", bucket.peak);
}

void fields(auto& field, Like<ContainerHistory> auto& past) {
  field("limit_bytes", past.limit);
  field("working_bytes", past.working);
  field("oom_kills", past.oom_kills);
  field("refaults", past.refaults);
  field("quiet_since_ns", past.quiet_since);
  field("peaks", past.peaks);
  field("backoff", past.backoff, 1.0);
  field("shrunk_at_ns", past.shrunk_at);
  field("calm_since_ns", past.calm_since);
  field("settled_bytes", past.settled);
  field("cache_kept", past.cache_kept);
  field("probe", past.probe);
  field("wished", past.wished);
  field("asked_bytes", past.asked);
  field("asked_at_ns", past.asked_at);
  field("activated_bytes", past.activated);
  field("climb", past.climb);
  field("leaking", past.leaking);
  field("announced", past.announced);
}

void fields(auto& field, Like<CpuPeaks::Bucket> auto& bucket) {
  field("begin_ns", bucket.begin);
  field("peak_millicpu", bucket.peak);
}

void fields(auto& field, Like<CpuHistory> auto& past) {
  field("quiet_since_ns", past.quiet_since);
  field("limit_millicpu", past.limit);
  field("peaks", past.peaks);
}

void fields(auto& field, Like<History> auto& history) {
  field("now_ns", history.now);
  field("lost_at_ns", history.lost_at);
  field("containers", history.containers);
  field("cpus", history.cpus);
}

}  // namespace plimsoll::agent
