// SPDX-License-Identifier: Apache-2.0
//
// The last arrow of a tick: a plan is handed to the reaction thread and written, and what came of
// it is told as records.
#include <algorithm>
#include <system_error>
#include <utility>

#include "agent/engine/tracked_cgroup.h"
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

}  // namespace

void Engine::apply(MonotonicTime now, std::vector<Record>& records) {
  if (cpu_) cpu_->apply(plan_.cpu, now, records);
  send_budgets();
  // What events may do comes before what may block.
  for (const Arming& arming : plan_.arming) arm(arming, now, records);
  for (const Action& action : plan_.wishes) wish(action, now, records);
  for (const Action& action : plan_.actions) {
    switch (action.kind) {
      case ActionKind::kGrow:
        reaction_->send({.kind = Command::Kind::kRaise,
                         .slot = action.slot,
                         .epoch = tracked_[action.slot]->epoch,
                         .limit = action.to,
                         .at = now,
                         .reason = action.reason,
                         .promised = action.reason == Reason::kBelowChildren});
        break;
      case ActionKind::kReclaim:
        probe(action, now, records);
        break;
      case ActionKind::kShrink:
        shrink(action, now, records);
        break;
    }
  }
}

void Engine::send_budgets() {
  reaction_->send(
      {.kind = Command::Kind::kBudget, .budget = plan_.budget, .granted_before = granted_before_});
  std::erase_if(group_budgets_sent_,
                [&](const auto& sent) { return !plan_.groups.contains(sent.first); });
  for (const auto& [group, budget] : plan_.groups) {
    const Command command{.kind = Command::Kind::kGroupBudget,
                          .armed = {.group = group},
                          .budget = budget.left,
                          .granted_before = group_granted_before_[group]};
    const auto sent = group_budgets_sent_.find(group);
    // The same budget, and nothing was given away since: that is what it has.
    if (sent != group_budgets_sent_.end() && sent->second.budget == command.budget &&
        sent->second.granted_before == command.granted_before &&
        reaction_->granted(group) == command.granted_before) {
      continue;
    }
    if (reaction_->send(command)) group_budgets_sent_.insert_or_assign(group, command);
  }
}

void Engine::arm(const Arming& arming, MonotonicTime now, std::vector<Record>& records) {
  Tracked& tracked = *tracked_[arming.slot];
  Armed armed = arming.armed;
  // The reaction thread compares limit and ceiling itself, and so it is armed as soon as the
  // limit is lowered, which this very plan may do.
  if (armed.denial == Reason::kCeiling) armed.denial.reset();
  if (tracked.armed == armed) return;
  const bool sent = reaction_->send(
      {.kind = Command::Kind::kArm, .slot = arming.slot, .epoch = tracked.epoch, .armed = armed});
  // A refusal that no event has met yet is said once.
  const std::optional<Reason> denial = armed.denial;
  if (denial && denial != tracked.told) {
    records.push_back({.kind = Record::Kind::kDenial,
                       .slot = arming.slot,
                       .id = arming.id,
                       .at = now,
                       .reason = *denial});
  }
  tracked.told = denial;
  if (sent) tracked.armed = armed;
}

void Engine::wish(const Action& action, MonotonicTime now, std::vector<Record>& records) {
  Tracked& tracked = *tracked_[action.slot];
  if (action.kind == ActionKind::kGrow) {
    tracked.wished = action.to;
    tracked.wished_at = now;
    reaction_->send({.kind = Command::Kind::kWish,
                     .slot = action.slot,
                     .epoch = tracked.epoch,
                     .limit = action.to,
                     .at = now});
  }
  const auto seen = std::find_if(
      snapshot_.containers.begin(), snapshot_.containers.end(),
      [&](const ContainerSnapshot& container) { return container.slot == action.slot; });
  records.push_back({.kind = Record::Kind::kWish,
                     .slot = action.slot,
                     .id = action.id,
                     .at = now,
                     .reason = action.reason,
                     .facts = seen == snapshot_.containers.end() ? MemoryFacts{} : seen->facts,
                     .from = action.from,
                     .to = action.to});
}

void Engine::probe(const Action& action, MonotonicTime now, std::vector<Record>& records) {
  Tracked& tracked = *tracked_[action.slot];
  const auto usage = tracked.usage_file.read();
  if (!usage || *usage <= action.to) return;
  const auto reclaimed = writer_.reclaim(tracked.group, *usage - action.to);
  Record record{.kind = Record::Kind::kReclaim,
                .slot = action.slot,
                .id = action.id,
                .at = now,
                .reason = action.reason,
                .from = *usage};
  if (reclaimed) {
    record.to = reclaimed->after;
  } else {
    if (reclaimed.error().code == Code::kUnsupported) tracked.can_reclaim = false;
    record.kind = Record::Kind::kFailure;
    record.error = reclaimed.error().message;
  }
  records.push_back(std::move(record));
}

// Lowering races with a raise of the reaction thread: a raise that came in between is written
// again, and what the kernel does in between (an OOM call inside the write) is held and answered
// like any other. False: it was raised, there is nothing to tell.
bool Engine::write_lower(Slot slot, Bytes from, Bytes to, Record& record) {
  Tracked& tracked = *tracked_[slot];
  const MemoryReaction::Lowering lowering(*reaction_, slot);
  const std::optional<Limit> before = tracked.limit_file.read();
  if (!before || before->bytes != from.value) return false;  // it grew since the decision
  const auto change = writer_.set_memory_max(tracked.group, limit_of(to));
  if (lowering.raised()) {
    reaction_->send({.kind = Command::Kind::kRewrite, .slot = slot, .epoch = tracked.epoch});
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

void Engine::shrink(const Action& action, MonotonicTime now, std::vector<Record>& records) {
  Record record{.kind = Record::Kind::kShrink,
                .slot = action.slot,
                .id = action.id,
                .at = now,
                .reason = action.reason,
                .from = action.from,
                .to = action.to};
  if (write_lower(action.slot, action.from, action.to, record)) {
    records.push_back(std::move(record));
  }
}

Result<Bytes> Engine::lower(Slot slot, Bytes to, Reason reason) {
  auto lowered = lower_one(slot, to, reason);
  if (!lowered) return lowered;
  std::optional<Slot> up = tracked_[slot]->spec.parent;
  for (const Tracked* parent = nullptr; up; up = parent->spec.parent) {
    parent = find(*up);
    if (parent == nullptr) break;
    if (parent->spec.covers_children) (void)lower_one(*up, covering(*up), reason);
  }
  return lowered;
}

// What a slice needs for its children's limits of now.
Bytes Engine::covering(Slot slot) const {
  Bytes sum = tracked_[slot]->spec.bounds.floor;
  for (const auto& child : tracked_) {
    if (child == nullptr || child->leaving || child->spec.parent != slot) continue;
    const std::optional<Limit> limit = child->limit_file.read();
    if (limit && !limit->is_max()) sum += Bytes{limit->bytes} - child->spec.bounds.floor;
  }
  return sum;
}

Result<Bytes> Engine::lower_one(Slot slot, Bytes to, Reason reason) {
  Tracked* tracked = find(slot);
  if (tracked == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  const std::optional<Limit> limit = tracked->limit_file.read();
  if (!limit) return fail(Code::kGone, tracked->group.name_of("memory.max") + " cannot be read");
  const Bytes from{limit->bytes};
  if (from <= to) return from;
  const auto needed = [&]() -> std::optional<Bytes> {
    const std::optional<Bytes> usage = tracked->usage_file.read();
    if (!usage) return std::nullopt;
    return *usage + std::max(kLeastRoom, scaled_to_fit(*usage, kRoomShare));
  };
  std::optional<Bytes> least = needed();
  if (least && *least > to) {
    (void)writer_.reclaim(tracked->group, *least - to);
    least = needed();
  }
  if (!least) return fail(Code::kGone, tracked->group.name_of("memory.current"));
  const Bytes target = std::max(to, *least);
  if (target >= from) return from;
  Record record{.kind = Record::Kind::kShrink,
                .slot = slot,
                .id = tracked->id,
                .at = monotonic_now(),
                .reason = reason,
                .from = from,
                .to = target};
  if (!write_lower(slot, from, target, record)) {
    return fail(Code::kConflict, "the limit was raised meanwhile");
  }
  records_.push_back(record);
  if (record.kind == Record::Kind::kFailure) return fail(Code::kUnavailable, record.error);
  return target;
}

Result<void> Engine::raise(Slot slot, Bytes to, Reason reason) {
  const Tracked* tracked = find(slot);
  if (tracked == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  const ContainerSpec& spec = tracked->spec;
  if (to > direct_ceiling(spec.bounds)) {
    return fail(Code::kDenied, to_string(to) + " is above the direct ceiling of " +
                                   tracked->group.name_of("memory.max"));
  }
  const bool sent = reaction_->send({.kind = Command::Kind::kRaise,
                                     .slot = slot,
                                     .epoch = tracked->epoch,
                                     .limit = to,
                                     .at = monotonic_now(),
                                     .reason = reason});
  if (!sent) return fail(Code::kUnavailable, "the reaction thread's queue is full");
  return {};
}

Result<void> Engine::announce(Slot slot, std::optional<Bytes> to) {
  Tracked* tracked = find(slot);
  if (tracked == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  const std::optional<Bytes> before = std::exchange(tracked->announced, to);
  if (!to || to <= before) return {};
  // What is lost here, the next tick makes up for.
  reaction_->send({.kind = Command::Kind::kAnnounce,
                   .slot = slot,
                   .epoch = tracked->epoch,
                   .limit = *to,
                   .at = monotonic_now()});
  return {};
}

void Engine::forget_wish(Slot slot) {
  Tracked* tracked = find(slot);
  if (tracked == nullptr || tracked->wished == Bytes{}) return;
  tracked->wished = {};
  reaction_->send({.kind = Command::Kind::kWish, .slot = slot, .epoch = tracked->epoch});
}

void Engine::take_report(const Report& report, Tracked& tracked, std::vector<Record>& records) {
  Record record{.kind = Record::Kind::kGrant,
                .slot = report.slot,
                .id = tracked.id,
                .at = report.written_time,
                .layer = report.layer,
                .reason = report.reason,
                .facts = report.facts,
                .from = report.from,
                .to = report.to,
                .reaction = report.written_time - report.event_time};
  switch (report.kind) {
    case Report::Kind::kGrant:
      ++tracked.grants;
      break;
    case Report::Kind::kWish:
      record.kind = Record::Kind::kWish;
      tracked.wished = std::max(report.to, tracked.wished);
      tracked.wished_at = report.event_time;
      // It may have been disarmed, so that nobody is held for what we may not write.
      if (report.layer != Layer::kPredicted) tracked.armed.reset();
      break;
    case Report::Kind::kDenial:
      record.kind = Record::Kind::kDenial;
      if (is_budget(report.reason)) {
        const Armed armed{.bounds = tracked.spec.bounds, .look_ahead = tracked.spec.look_ahead};
        tracked.starved = std::max(
            tracked.starved,
            wanted(config_.policy.memory, armed, report.facts, report.layer) - report.facts.limit);
      }
      tracked.armed.reset();  // the reaction thread has disarmed it: say again what it may
      tracked.told = report.reason;
      break;
    default:
      record.kind = Record::Kind::kFailure;
      tracked.armed.reset();
      record.error = std::error_code(report.error, std::generic_category()).message();
  }
  records.push_back(std::move(record));
}

void Engine::take_reports(std::vector<Record>& records) {
  records.insert(records.end(), records_.begin(), records_.end());
  records_.clear();
  while (const std::optional<Report> report = reaction_->receive()) {
    if (report->kind == Report::Kind::kConfigured) {
      policies_.pop_front();
      continue;
    }
    Tracked* tracked = tracked_[report->slot].get();
    if (tracked == nullptr || tracked->epoch != report->epoch) continue;
    if (report->kind == Report::Kind::kUntracked) {
      finish_untrack(report->slot);
    } else {
      take_report(*report, *tracked, records);
    }
  }
  if (cpu_) cpu_->take_reports(records);
  if (programs_) {
    programs_->drain_telemetry(
        [](void* context, const bpf::MemoryEvent& event) {
          static_cast<std::vector<Record>*>(context)->push_back(
              {.kind = Record::Kind::kOomKill,
               .slot = event.slot,
               .id = event.id,
               .at = event.time,
               .facts = {.limit = event.limit, .usage = event.usage}});
        },
        &records);
  }
}

}  // namespace plimsoll::agent
