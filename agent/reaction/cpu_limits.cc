// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/cpu_limits.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <variant>

#include "base/clock.h"
#include "bpf/memory_programs.h"
#include "bpf/record_time.h"

namespace plimsoll::agent {
namespace {

int write(CpuTracked& tracked, MilliCpu to) noexcept {
  // What was found is put back to the microsecond.
  const bool back = cgroup::cpus_of(tracked.original) == to;
  const cgroup::CpuMax max = back ? tracked.original : cgroup::cpu_max_of(to, tracked.max.period);
  if (tracked.burst > max.quota.value_or(tracked.burst)) {
    if (tracked.files.write_burst(*max.quota) == 0) tracked.burst = *max.quota;
  }
  const int error = tracked.files.write_max(max);
  if (error != 0) return error;
  tracked.max = max;
  tracked.written = tracked.limit();
  tracked.written_at = monotonic_now();
  return 0;
}

// Its pod's as well, which binds otherwise.
int give_burst(CpuTracked& tracked, microseconds burst) noexcept {
  CpuTracked* parent = tracked.parent;
  if (parent != nullptr) parent->read_limit();
  if (parent != nullptr && parent->has_limit() && parent->burst < burst &&
      parent->files.write_burst(burst) == 0) {
    parent->burst = burst;
    parent->written_at = monotonic_now();
  }
  const int error = tracked.files.write_burst(burst);
  if (error != 0) return error;
  tracked.burst = burst;
  tracked.written_at = monotonic_now();
  tracked.hold.burst_at = tracked.written_at;
  return 0;
}

bool answers_at_once(const CpuPolicy& policy, const CpuTracked& tracked,
                     MonotonicTime time) noexcept {
  return agent::answers_at_once(
      policy, tracked.armed,
      {.limit = tracked.limit(), .period = tracked.max.period, .burst = tracked.burst},
      tracked.hold, time);
}

}  // namespace

CpuLimits::CpuLimits(const CpuPolicy& policy, bpf::CpuPrograms* programs, CpuMailbox& mailbox,
                     CpuMeter& meter)
    : policy_(policy),
      programs_(programs),
      mailbox_(mailbox),
      meter_(meter),
      by_slot_(bpf::kMaxSlots) {}

struct CpuLimits::Obey {
  CpuLimits& self;
  MonotonicTime time;

  void operator()(const cpu_command::Track& track) const noexcept {
    self.by_slot_[track.tracked->slot % self.by_slot_.size()] = track.tracked;
    if (track.tracked->parent != nullptr) ++track.tracked->parent->children;
  }

  void operator()(const cpu_command::Untrack& untrack) const noexcept {
    CpuTracked& tracked = *untrack.tracked;
    self.disarm(tracked);
    if (tracked.parent != nullptr) --tracked.parent->children;
    for (CpuTracked* other : self.by_slot_) {
      if (other != nullptr && other->parent == &tracked) other->parent = nullptr;
    }
    self.meter_.leave(tracked);
    self.by_slot_[tracked.slot % self.by_slot_.size()] = nullptr;
    self.report({.kind = CpuReport::Kind::kUntracked, .tracked = &tracked});
  }

  void operator()(const cpu_command::Arm& arm) const noexcept {
    CpuTracked& tracked = *arm.tracked;
    tracked.armed = arm.armed;
    self.arm(tracked);
    // What we wrote and may not write any more: somebody has refused it, or resizes the pod
    // himself.
    const std::optional<MilliCpu>& most = tracked.armed.bounds.direct_ceiling;
    tracked.read_limit();
    if (most && tracked.has_limit() && tracked.limit() == tracked.written) {
      self.lower(tracked, std::max(*most, self.floor_of(tracked)), Reason::kWithdrawn, time);
    }
    watch_if_raised(tracked);  // by whoever was here before us
  }

  void operator()(const cpu_command::Parent& parent) const noexcept {
    CpuTracked& tracked = *parent.tracked;
    if (tracked.parent != nullptr) --tracked.parent->children;
    tracked.parent = parent.parent;
    if (tracked.parent != nullptr) ++tracked.parent->children;
  }

  void operator()(const cpu_command::Observe& observe) const noexcept {
    observe.tracked->read_limit();
    watch_if_raised(*observe.tracked);
    self.arm(*observe.tracked);
  }

  void operator()(const cpu_command::Raise& raise) const noexcept {
    CpuTracked& tracked = *raise.tracked;
    tracked.read_limit();
    const MilliCpu from = tracked.limit();
    if (!tracked.has_limit() || raise.limit <= from) return;
    const int error = self.raise(tracked, raise.limit, time);
    self.report({.kind = error == 0 ? CpuReport::Kind::kGrant : CpuReport::Kind::kFailure,
                 .tracked = &tracked,
                 .layer = Layer::kSlowLoop,
                 .reason = raise.reason,
                 .facts = {.limit = from, .burst = tracked.burst},
                 .from = from,
                 .to = raise.limit,
                 .error = error,
                 .event_time = time});
  }

  void operator()(const cpu_command::Lower& lower) const noexcept {
    CpuTracked& tracked = *lower.tracked;
    tracked.read_limit();
    if (!tracked.has_limit()) return;
    self.lower(tracked, std::max(lower.limit, self.floor_of(tracked)), lower.reason, time);
  }

  void operator()(const cpu_command::Ahead& ahead) const noexcept {
    CpuTracked& tracked = *ahead.tracked;
    if (tracked.armed.denial) return;
    tracked.read_limit();
    const MilliCpu room = self.available_to(tracked, time) - tracked.armed.kept;
    self.raise_ahead(tracked, std::min(ahead.limit, tracked.limit() + room), ahead.reason, time);
  }

  void operator()(const cpu_command::Keep& keep) const noexcept {
    CpuTracked& tracked = *keep.tracked;
    tracked.kept = keep.limit;
    tracked.read_limit();
    if (keep.limit > MilliCpu{}) {
      // Denied, it is tried again at ticks. On busy CPUs it shares with the others, by weight.
      const Reason denial = tracked.armed.denial.value_or(Reason::kNodeBusy);
      if (denial == Reason::kNodeBusy) self.raise_ahead(tracked, keep.limit, keep.reason, time);
    } else {
      // What it used so far says nothing of what it will need.
      tracked.hold = {.since = time};
      self.lower(tracked, self.floor_of(tracked), keep.reason, time);
    }
  }

  void operator()(const cpu_command::Watch& watch) const noexcept {
    self.meter_.watch(*watch.tracked, time);
  }

  void operator()(const cpu_command::Forget& forget) const noexcept { forget.tracked->wished = {}; }

  // Once per tick.
  void operator()(const cpu_command::Budget& budget) const noexcept {
    // What was given away since the slow loop looked comes off, what came back is there again.
    self.budget_ = static_cast<std::int64_t>(budget.left.value) -
                   (self.granted_.load() - budget.granted_before);
    arm_all();
  }

  void operator()(const cpu_command::Configure& configure) const noexcept {
    self.policy_ = *configure.policy;
    arm_all();
  }

 private:
  void watch_if_raised(CpuTracked& tracked) const noexcept {
    if (tracked.limit() > tracked.armed.least()) self.meter_.watch(tracked, time);
  }
  // Denials are tried again, and what is remembered may have grown old.
  void arm_all() const noexcept {
    for (const CpuTracked* tracked : self.by_slot_) {
      if (tracked != nullptr) self.arm(*tracked);
    }
  }
};

void CpuLimits::obey(const CpuCommand& command) noexcept {
  std::visit(Obey{*this, monotonic_now()}, command);
}

bool CpuLimits::drain() noexcept {
  const auto answer = [](void* limits, const pl_cpu_event& event) noexcept {
    auto& self = *static_cast<CpuLimits*>(limits);
    CpuTracked* tracked = self.by_slot_[event.slot % self.by_slot_.size()];
    // Of a cgroup that was here before, or answered already.
    if (tracked == nullptr || tracked->epoch != event.epoch) return;
    const MonotonicTime time = bpf::time_of(event.time_ns);
    if (time < tracked->written_at) {
      self.programs_->answer(event.slot);
      return;
    }
    const auto whole = [](pl_u64 nanoseconds) {
      return std::chrono::duration_cast<microseconds>(bpf::duration_of(nanoseconds));
    };
    // Somebody else may have written it.
    tracked->max = {.quota = whole(event.quota_ns), .period = whole(event.period_ns)};
    tracked->burst = whole(event.burst_ns);
    const MonotonicTime refilled = std::max(bpf::time_of(event.refilled_ns), tracked->written_at);
    self.on_throttle(*tracked,
                     {.limit = tracked->limit(),
                      .use = use_of(bpf::duration_of(event.used_ns), time - refilled),
                      .remembered = remembered_of(self.policy_, tracked->hold, time),
                      .burst = tracked->burst,
                      .throttled = event.throttled,
                      .runnable = event.runnable},
                     time);
    self.programs_->answer(event.slot);
  };
  return programs_ != nullptr && programs_->drain(answer, this) > 0;
}

void CpuLimits::look() noexcept {
  const MonotonicTime time = monotonic_now();
  for (CpuTracked* tracked : by_slot_) {
    if (tracked != nullptr && tracked->measured.is_watched) look(*tracked, time);
  }
}

void CpuLimits::look(CpuTracked& tracked, MonotonicTime time) noexcept {
  const std::optional<CpuMeter::Use> last = meter_.measure(tracked, policy_.window, time);
  if (!last) return;
  tracked.read_limit();
  if (last->throttled && tracked.has_limit() &&
      *last->throttled > tolerated_periods(policy_, answers_at_once(policy_, tracked, time))) {
    on_throttle(tracked,
                {.limit = tracked.limit(),
                 .use = last->use,
                 .remembered = remembered_of(policy_, tracked.hold, time),
                 .burst = tracked.burst,
                 .throttled = *last->throttled},
                time);
  }
  const MilliCpu floor = std::max(floor_of(tracked), tracked.kept);
  const auto to = give_back_cpu(policy_, floor, tracked.limit(), last->use, time, tracked.hold);
  if (to) lower(tracked, *to, Reason::kLeaseEnded, time);
  if (tracked.limit() <= floor && meter_.is_calm(tracked)) meter_.leave(tracked);
}

// A pod can run out of its quota before its container does, by what else runs in it: then that
// container is short.
void CpuLimits::on_throttle(CpuTracked& tracked, CpuFacts facts, MonotonicTime time) noexcept {
  if (!tracked.armed.follows) {
    (void)react(tracked, facts, time);
    return;
  }
  CpuTracked* child = busiest_child(tracked);
  if (child != nullptr) {
    child->read_limit();
    facts.limit = child->limit();
    facts.burst = child->burst;
    facts.remembered = remembered_of(policy_, child->hold, time);
  }
  if (child == nullptr || !react(*child, facts, time)) disarm(tracked);
}

// The one that used most of its limit until the last tick.
CpuTracked* CpuLimits::busiest_child(const CpuTracked& tracked) const noexcept {
  CpuTracked* busiest = nullptr;
  double most = -1;
  for (CpuTracked* child : by_slot_) {
    if (child == nullptr || child->parent != &tracked || child->limit() == MilliCpu{}) continue;
    const double share =
        static_cast<double>(child->armed.average.value) / static_cast<double>(child->limit().value);
    if (share > most) busiest = child;
    most = std::max(most, share);
  }
  return busiest;
}

// True: something was written.
bool CpuLimits::react(CpuTracked& tracked, const CpuFacts& facts, MonotonicTime time) noexcept {
  const CpuVerdict verdict =
      grow_on_throttle(policy_, tracked.armed, facts, available_to(tracked, time));
  CpuReport answer{.tracked = &tracked,
                   .reason = verdict.reason,
                   .facts = facts,
                   .from = facts.limit,
                   .to = verdict.limit.value_or(facts.limit),
                   .event_time = time};
  if (verdict.burst) {
    answer.burst = *verdict.burst;
    answer.error = give_burst(tracked, *verdict.burst);
    if (answer.error != 0) tracked.armed.burst = {};  // not again, until the next tick
  } else if (verdict.limit) {
    answer.error = raise(tracked, *verdict.limit, time);
  }
  if (verdict.burst || verdict.limit) {
    answer.kind = answer.error == 0 ? CpuReport::Kind::kGrant : CpuReport::Kind::kFailure;
    report(answer);
    arm(tracked);
    if (answer.error != 0 && verdict.limit) disarm(tracked);
  }
  if (verdict.wish) {
    answer.from = tracked.limit();
    answer.to = *verdict.wish;
    wish(tracked, answer);
  }
  if (is_denial(verdict.reason)) {
    answer.kind = CpuReport::Kind::kDenial;
    report(answer);
  }
  // What only somebody else may write, or nobody: not told of again before the next tick.
  if (!verdict.burst && !verdict.limit) disarm(tracked);
  return (verdict.burst || verdict.limit) && answer.error == 0;
}

void CpuLimits::wish(CpuTracked& tracked, CpuReport told) noexcept {
  const MilliCpu promised = tracked.promised(told.event_time);
  if (told.to <= promised && told.event_time - tracked.wished_at < kWishAgain) return;
  told.kind = CpuReport::Kind::kWish;
  told.error = 0;
  report(told);
  charge(promised, std::max(told.to, promised));
  tracked.wished = std::max(told.to, promised);
  tracked.wished_at = told.event_time;
}

void CpuLimits::charge(MilliCpu from, MilliCpu to) noexcept {
  const std::int64_t given =
      static_cast<std::int64_t>(to.value) - static_cast<std::int64_t>(from.value);
  budget_ -= given;
  granted_.fetch_add(given, std::memory_order_release);
}

// What is left of the budget, and what was promised to this one.
MilliCpu CpuLimits::available_to(const CpuTracked& tracked, MonotonicTime time) const noexcept {
  const MilliCpu left{static_cast<std::uint64_t>(std::max<std::int64_t>(budget_, 0))};
  return left + (tracked.promised(time) - tracked.limit());
}

int CpuLimits::raise(CpuTracked& tracked, MilliCpu to, MonotonicTime time) noexcept {
  const MilliCpu from = tracked.limit();
  raise_parents(tracked, to - from, to, time);
  const MilliCpu paid = std::max(tracked.promised(time), from);
  const int error = write(tracked, to);
  if (error != 0) return error;
  charge(paid, std::max(paid, to));
  note_raise(policy_, tracked.written_at, tracked.hold);
  meter_.watch(tracked, tracked.written_at);
  return 0;
}

void CpuLimits::raise_ahead(CpuTracked& tracked, MilliCpu to, Reason reason,
                            MonotonicTime time) noexcept {
  const MilliCpu from = tracked.limit();
  if (!tracked.has_limit() || to <= from) return;
  const MilliCpu wanted = round_down(to, policy_.round_to);
  const MilliCpu direct = std::min(wanted, tracked.armed.bounds.direct_ceiling.value_or(wanted));
  CpuReport told{.tracked = &tracked,
                 .layer = Layer::kSlowLoop,
                 .reason = reason,
                 .facts = {.limit = from, .burst = tracked.burst},
                 .from = from,
                 .to = direct,
                 .event_time = time};
  if (direct > from) {
    told.error = raise(tracked, direct, time);
    told.kind = told.error == 0 ? CpuReport::Kind::kGrant : CpuReport::Kind::kFailure;
    report(told);
    // It is not in use yet.
    tracked.hold.backoff = policy_.hold_backoff_max;
    arm(tracked);
  }
  if (wanted > std::max(direct, from)) {
    told.from = tracked.limit();
    told.to = wanted;
    wish(tracked, told);
  }
}

// The topmost first, each by as much as the cgroup gets, and to no less.
void CpuLimits::raise_parents(const CpuTracked& tracked, MilliCpu increase, MilliCpu to,
                              MonotonicTime time) noexcept {
  if (tracked.parent == nullptr) return;
  CpuTracked& parent = *tracked.parent;
  parent.read_limit();
  if (!parent.has_limit()) return raise_parents(parent, increase, to, time);
  const MilliCpu limit = parent.limit();
  const MilliCpu most = std::max(limit, direct_ceiling(parent.armed.bounds));
  const MilliCpu own = std::min(std::max(limit + increase, to), most);
  raise_parents(parent, increase, own, time);
  // One that cannot be raised binds, and its own event will say so.
  if (own <= limit || write(parent, own) != 0) return;
  note_raise(policy_, parent.written_at, parent.hold);
  meter_.watch(parent, parent.written_at);
}

// A parent is not lowered below what its children have.
MilliCpu CpuLimits::floor_of(const CpuTracked& tracked) const noexcept {
  MilliCpu floor = tracked.armed.least();
  if (tracked.children == 0) return floor;
  for (const CpuTracked* child : by_slot_) {
    if (child != nullptr && child->parent == &tracked && child->has_limit()) {
      floor += child->limit() - child->armed.least();
    }
  }
  return floor;
}

void CpuLimits::lower(CpuTracked& tracked, MilliCpu to, Reason reason,
                      MonotonicTime time) noexcept {
  const MilliCpu from = tracked.limit();
  if (to >= from) return;
  const int error = write(tracked, to);
  // A pod was not charged for what its container got.
  if (error == 0 && !tracked.armed.follows) charge(from, to);
  report({.kind = error == 0 ? CpuReport::Kind::kLowered : CpuReport::Kind::kFailure,
          .tracked = &tracked,
          .layer = Layer::kSlowLoop,
          .reason = reason,
          .facts = {.limit = from, .burst = tracked.burst},
          .from = from,
          .to = to,
          .error = error,
          .event_time = time});
  arm(tracked);
  CpuTracked* parent = tracked.parent;
  if (error == 0 && parent != nullptr && parent->armed.follows && parent->has_limit()) {
    parent->read_limit();
    lower(*parent, floor_of(*parent), reason, time);
  }
}

// What may still grow is told of; how soon, too.
void CpuLimits::arm(const CpuTracked& tracked) noexcept {
  if (programs_ == nullptr) return;
  const MilliCpu limit = tracked.limit();
  const bool burst = is_burst_next(tracked.armed, limit, tracked.burst);
  const bool at_once = answers_at_once(policy_, tracked, monotonic_now());
  programs_->set_tolerance(
      tracked.slot, {.window = policy_.window, .periods = tolerated_periods(policy_, at_once)});
  programs_->arm(tracked.slot, tracked.has_limit() && !tracked.armed.denial &&
                                   (limit < tracked.armed.bounds.ceiling || burst));
}

void CpuLimits::disarm(const CpuTracked& tracked) noexcept {
  if (programs_ != nullptr) programs_->arm(tracked.slot, false);
}

void CpuLimits::report(CpuReport report) noexcept {
  report.written_time = monotonic_now();
  mailbox_.report(report);
}

}  // namespace plimsoll::agent
