// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/actuator.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "base/clock.h"

namespace plimsoll::agent {
namespace {

// Room that a limit keeps above usage when it is lowered while the program runs: it goes on
// charging between the reading and the write.
constexpr Bytes kLeastRoom{4 * kMiB};
constexpr double kRoomShare = 1.0 / 64;

bool is_budget(Reason reason) {
  return reason == Reason::kBudget || reason == Reason::kGroupBudget || reason == Reason::kPriority;
}

Record record_of(const Action& action, Record::Kind kind, MonotonicTime now) {
  return {.kind = kind,
          .slot = action.slot,
          .id = action.id,
          .at = now,
          .reason = action.reason,
          .change = MemoryChange{action.from, action.to}};
}

tl::unexpected<Error> queue_full() {
  return fail(Code::kUnavailable, "the reaction thread's queue is full");
}

}  // namespace

void Actuator::count_grants(const std::map<BudgetGroup, Limit>& groups, bool only_new) {
  const MemoryLimits& limits = reaction_.limits();
  if (!only_new) granted_before_ = {{kNoGroup, limits.granted()}};
  for (const auto& [group, limit] : groups) granted_before_.emplace(group, limits.granted(group));
}

void Actuator::apply(const Plan& plan, const Snapshot& snapshot, std::vector<Record>& records) {
  send_budgets(plan);
  // What events may do comes before what may block.
  for (const Arming& arming : plan.arming) arm(arming, snapshot.now, records);
  for (const Action& action : plan.wishes) wish(action, snapshot, records);
  for (const Action& action : plan.actions) {
    switch (action.kind) {
      case ActionKind::kGrow:
        reaction_.send(memory_command::Raise{.tenant = slots_.find(action.slot)->tenant(),
                                             .limit = action.to,
                                             .at = snapshot.now,
                                             .reason = action.reason,
                                             .promised = action.reason == Reason::kBelowChildren});
        break;
      case ActionKind::kReclaim:
        probe(action, snapshot.now, records);
        break;
      case ActionKind::kShrink:
        shrink(action, snapshot.now, records);
        break;
    }
  }
}

void Actuator::send_budgets(const Plan& plan) {
  const auto command_of = [&](BudgetGroup group, Bytes left) {
    return memory_command::Budget{group, left, granted_before_[group]};
  };
  reaction_.send(command_of(kNoGroup, plan.budget));
  std::erase_if(budgets_sent_, [&](const auto& sent) { return !plan.groups.contains(sent.first); });
  for (const auto& [group, budget] : plan.groups) {
    const memory_command::Budget command = command_of(group, budget.left);
    const auto sent = budgets_sent_.find(group);
    // The same budget, and nothing was given away since: that is what it has.
    if (sent != budgets_sent_.end() && sent->second == command &&
        reaction_.limits().granted(group) == command.granted_before) {
      continue;
    }
    if (reaction_.send(command)) budgets_sent_.insert_or_assign(group, command);
  }
}

void Actuator::arm(const Arming& arming, MonotonicTime now, std::vector<Record>& records) {
  TrackedCgroup& tracked = *slots_.find(arming.slot);
  memory_command::Arm command{tracked.tenant(), arming.armed};
  // The reaction thread compares limit and ceiling itself, and so it is armed as soon as the
  // limit is lowered, which this very plan may do.
  std::optional<Reason>& denial = command.armed.denial;
  if (denial == Reason::kCeiling) denial.reset();
  if (tracked.memory.armed == command.armed) return;
  const bool sent = reaction_.send(command);
  // A refusal that no event has met yet is said once.
  if (denial && denial != tracked.memory.told) {
    records.push_back({.kind = Record::Kind::kDenial,
                       .slot = arming.slot,
                       .id = arming.id,
                       .at = now,
                       .reason = *denial});
  }
  tracked.memory.told = denial;
  if (sent) tracked.memory.armed = command.armed;
}

void Actuator::wish(const Action& action, const Snapshot& snapshot, std::vector<Record>& records) {
  TrackedCgroup& tracked = *slots_.find(action.slot);
  if (action.kind == ActionKind::kGrow) {
    tracked.memory.wished = action.to;
    tracked.memory.wished_at = snapshot.now;
    reaction_.send(memory_command::Wish{{tracked.tenant(), action.to, snapshot.now}});
  }
  Record& record = records.emplace_back(record_of(action, Record::Kind::kWish, snapshot.now));
  for (const ContainerSnapshot& seen : snapshot.containers) {
    if (seen.slot == action.slot) record.facts = seen.facts;
  }
}

void Actuator::probe(const Action& action, MonotonicTime now, std::vector<Record>& records) {
  TrackedCgroup& tracked = *slots_.find(action.slot);
  const auto usage = tracked.usage_file.read();
  if (!usage || *usage <= action.to) return;
  const auto reclaimed = writer_.reclaim(tracked.group, *usage - action.to);
  Record record = record_of(action, Record::Kind::kReclaim, now);
  record.change = MemoryChange{*usage, reclaimed ? reclaimed->after : Bytes{}};
  if (!reclaimed) {
    if (reclaimed.error().code == Code::kUnsupported) tracked.can_reclaim = false;
    record.kind = Record::Kind::kFailure;
    record.error = reclaimed.error().message;
  }
  records.push_back(std::move(record));
}

// Lowering races with a raise of the reaction thread: a raise that came in between is written
// again, and what the kernel does in between (an OOM call inside the write) is held and answered
// like any other. False: it was raised, there is nothing to tell.
bool Actuator::write_lower(TrackedCgroup& tracked, Bytes from, Bytes to, Record& record) {
  const MemoryLimits::Lowering lowering(reaction_.limits(), tracked.slot);
  const std::optional<Limit> before = tracked.limit_file.read();
  if (!before || before->bytes != from.value) return false;  // it grew since the decision
  const auto change = writer_.set_memory_max(tracked.group, limit_of(to));
  if (lowering.raised()) {
    reaction_.send(memory_command::Rewrite{tracked.tenant()});
    return false;
  }
  if (!change) {
    record.kind = Record::Kind::kFailure;
    record.error = change.error().message;
    return true;
  }
  if (tracked.signals) tracked.signals->limit_changed({change->after.bytes});
  return true;
}

void Actuator::shrink(const Action& action, MonotonicTime now, std::vector<Record>& records) {
  Record record = record_of(action, Record::Kind::kShrink, now);
  if (write_lower(*slots_.find(action.slot), action.from, action.to, record)) {
    records.push_back(std::move(record));
  }
}

Result<Bytes> Actuator::lower(TrackedCgroup& tracked, Bytes to, Reason reason,
                              std::vector<Record>& records) {
  auto lowered = lower_one(tracked, to, reason, records);
  if (!lowered) return lowered;
  for (std::optional<Slot> up = tracked.spec.parent; up;) {
    TrackedCgroup* parent = slots_.find(*up);
    if (parent == nullptr) break;
    if (parent->spec.covers_children) (void)lower_one(*parent, covering(*parent), reason, records);
    up = parent->spec.parent;
  }
  return lowered;
}

// What a slice needs for its children's limits of now.
Bytes Actuator::covering(const TrackedCgroup& slice) const {
  Bytes sum = slice.spec.bounds.floor;
  slots_.each([&](const TrackedCgroup& child) {
    if (child.spec.parent != slice.slot) return;
    const std::optional<Limit> limit = child.limit_file.read();
    if (limit && !limit->is_max()) sum += Bytes{limit->bytes} - child.spec.bounds.floor;
  });
  return sum;
}

Result<Bytes> Actuator::lower_one(TrackedCgroup& tracked, Bytes to, Reason reason,
                                  std::vector<Record>& records) {
  const std::optional<Limit> limit = tracked.limit_file.read();
  if (!limit) return fail(Code::kGone, tracked.group.name_of("memory.max") + " cannot be read");
  const Bytes from{limit->bytes};
  if (from <= to) return from;
  const auto needed = [&]() -> std::optional<Bytes> {
    const std::optional<Bytes> usage = tracked.usage_file.read();
    if (!usage) return std::nullopt;
    return *usage + std::max(kLeastRoom, scaled_to_fit(*usage, kRoomShare));
  };
  std::optional<Bytes> least = needed();
  if (least && *least > to) {
    (void)writer_.reclaim(tracked.group, *least - to);
    least = needed();
  }
  if (!least) return fail(Code::kGone, tracked.group.name_of("memory.current"));
  const Bytes target = std::max(to, *least);
  if (target >= from) return from;
  Record record{.kind = Record::Kind::kShrink,
                .slot = tracked.slot,
                .id = tracked.id,
                .at = monotonic_now(),
                .reason = reason,
                .change = MemoryChange{from, target}};
  if (!write_lower(tracked, from, target, record)) {
    return fail(Code::kConflict, "the limit was raised meanwhile");
  }
  records.push_back(record);
  if (record.kind == Record::Kind::kFailure) return fail(Code::kUnavailable, record.error);
  return target;
}

Result<void> Actuator::raise(const TrackedCgroup& tracked, Bytes to, Reason reason) {
  if (to > direct_ceiling(tracked.spec.bounds)) {
    return fail(Code::kDenied, to_string(to) + " is above the direct ceiling of " +
                                   tracked.group.name_of("memory.max"));
  }
  const MonotonicTime now = monotonic_now();
  if (!reaction_.send(memory_command::Raise{tracked.tenant(), to, now, reason})) {
    return queue_full();
  }
  return {};
}

void Actuator::announce(TrackedCgroup& tracked, std::optional<Bytes> to) {
  const std::optional<Bytes> before = std::exchange(tracked.announced, to);
  if (!to || to <= before) return;
  // What is lost here, the next tick makes up for.
  reaction_.send(memory_command::Announce{{tracked.tenant(), *to, monotonic_now()}});
}

void Actuator::forget_wish(TrackedCgroup& tracked) {
  if (tracked.memory.wished == Bytes{}) return;
  tracked.memory.wished = {};
  reaction_.send(memory_command::Wish{{.tenant = tracked.tenant()}});
}

Result<void> Actuator::update(TrackedCgroup& tracked, const ContainerSpec& spec) {
  if (tracked.spec.parent != spec.parent) {
    if (!reaction_.send(memory_command::Parent{tracked.tenant(), spec.parent})) return queue_full();
  }
  tracked.spec = spec;
  if (!tracked.memory.armed) return {};
  Armed armed = *tracked.memory.armed;
  armed.bounds = narrowed(armed.bounds, spec.bounds);
  armed.bridge_within = spec.bridge_within;
  armed.look_ahead = spec.look_ahead;
  armed.group = spec.group;
  if (armed == *tracked.memory.armed) return {};
  if (!reaction_.send(memory_command::Arm{tracked.tenant(), armed})) return queue_full();
  tracked.memory.armed = armed;
  return {};
}

void Actuator::take_report(const Report& report, const MemoryPolicy& policy, TrackedCgroup& tracked,
                           std::vector<Record>& records) {
  Record record{.kind = Record::Kind::kGrant,
                .slot = tracked.slot,
                .id = tracked.id,
                .at = report.written_time,
                .layer = report.layer,
                .reason = report.reason,
                .facts = report.facts,
                .change = MemoryChange{report.from, report.to},
                .reaction = report.written_time - report.event_time};
  Standing<Bytes, Armed>& memory = tracked.memory;
  switch (report.kind) {
    case Report::Kind::kGrant:
      ++memory.grants;
      break;
    case Report::Kind::kWish:
      record.kind = Record::Kind::kWish;
      memory.wish(report.to, report.event_time);
      // It may have been disarmed, so that nobody is held for what we may not write.
      if (report.layer != Layer::kPredicted) memory.armed.reset();
      break;
    case Report::Kind::kDenial:
      record.kind = Record::Kind::kDenial;
      if (is_budget(report.reason)) {
        const Armed armed{.bounds = tracked.spec.bounds, .look_ahead = tracked.spec.look_ahead};
        memory.starved = std::max(
            memory.starved, wanted(policy, armed, report.facts, report.layer) - report.facts.limit);
      }
      memory.armed.reset();  // the reaction thread has disarmed it: say again what it may
      memory.told = report.reason;
      break;
    default:
      record.kind = Record::Kind::kFailure;
      memory.armed.reset();
      record.error = std::error_code(report.error, std::generic_category()).message();
  }
  records.push_back(std::move(record));
}

}  // namespace plimsoll::agent
