// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/cpu_reaction.h"

#include <pthread.h>
#include <sys/epoll.h>

#include <array>
#include <cerrno>
#include <utility>

#include "agent/engine/realtime.h"
#include "base/clock.h"
#include "bpf/memory_programs.h"
#include "bpf/record_time.h"

namespace plimsoll::agent {
namespace {

Result<void> add_to(const Fd& epoll, int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return errno_error(errno, "add to the CPU thread's epoll");
  }
  return {};
}

}  // namespace

CpuReaction::CpuReaction(const CpuPolicy& policy, bpf::CpuPrograms* programs, Wakeup commands,
                         const Wakeup& reports, Timer timer)
    : policy_(policy),
      programs_(programs),
      mailbox_(std::move(commands), reports),
      meter_(programs, std::move(timer)),
      by_slot_(bpf::kMaxSlots) {}

Result<std::unique_ptr<CpuReaction>> CpuReaction::start(const CpuPolicy& policy,
                                                        bpf::CpuPrograms* programs,
                                                        const Wakeup& reports, bool own_thread) {
  auto commands = Wakeup::make();
  if (!commands) return tl::unexpected(commands.error());
  auto timer = Timer::make();
  if (!timer) return tl::unexpected(timer.error());
  std::unique_ptr<CpuReaction> reaction(
      new CpuReaction(policy, programs, std::move(*commands), reports, std::move(*timer)));
  reaction->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!reaction->epoll_) return errno_error(errno, "make the CPU thread's epoll");
  auto added = add_to(reaction->epoll_, reaction->mailbox_.fd());
  if (added) added = add_to(reaction->epoll_, reaction->meter_.fd());
  if (added && programs != nullptr) added = add_to(reaction->epoll_, programs->event_fd());
  if (!added) return tl::unexpected(added.error());
  if (!own_thread) return reaction;
  reaction->thread_ = std::thread([self = reaction.get()] { self->run(); });
  // Where that is not allowed, the reaction thread's warning says so.
  (void)make_predictable(reaction->thread_, kCpuPriority);
  return reaction;
}

CpuReaction::~CpuReaction() { stop(); }

void CpuReaction::stop() {
  stopping_.store(true);
  mailbox_.wake();
  if (thread_.joinable()) thread_.join();
}

bool CpuReaction::configure(const CpuPolicy& policy) {
  if (!idle()) return false;
  next_policy_ = policy;
  return send({.kind = CpuCommand::Kind::kConfigure});
}

void CpuReaction::run() {
  ::pthread_setname_np(::pthread_self(), "cpu");
  std::array<epoll_event, 4> ready{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), -1);
    const bool worked =
        turn(std::any_of(ready.begin(), ready.begin() + std::max(count, 0),
                         [this](const epoll_event& each) { return each.data.fd == meter_.fd(); }));
    // As MemoryReaction::run().
    if (count > 0 && !worked) let_others_run();
  }
}

bool CpuReaction::turn(bool is_time) noexcept {
  mailbox_.clear();
  bool worked = is_time;
  while (mailbox_.take([this](const CpuCommand& each) { obey(each); })) worked = true;
  if (programs_ != nullptr && programs_->drain(on_event, this) > 0) worked = true;
  if (!is_time) return worked;
  meter_.clear();
  const MonotonicTime time = monotonic_now();
  for (CpuTracked* tracked : by_slot_) {
    if (tracked != nullptr && tracked->measured.is_watched) look(*tracked, time);
  }
  return worked;
}

void CpuReaction::obey(const CpuCommand& command) noexcept {
  if (command.kind == CpuCommand::Kind::kBudget) {
    // What was given away since the slow loop looked comes off, what came back is there again.
    budget_ = static_cast<std::int64_t>(command.budget.value) -
              (granted_.load() - command.granted_before);
    refresh();
    return;
  }
  if (command.kind == CpuCommand::Kind::kConfigure) {
    policy_ = next_policy_;
    refresh();
    return;
  }
  CpuTracked& tracked = *command.tracked;
  const MonotonicTime time = monotonic_now();
  switch (command.kind) {
    case CpuCommand::Kind::kTrack:
      by_slot_[tracked.slot % by_slot_.size()] = &tracked;
      if (tracked.parent != nullptr) ++tracked.parent->children;
      return;
    case CpuCommand::Kind::kUntrack:
      disarm(tracked);
      if (tracked.parent != nullptr) --tracked.parent->children;
      for (CpuTracked* other : by_slot_) {
        if (other != nullptr && other->parent == &tracked) other->parent = nullptr;
      }
      meter_.leave(tracked);
      by_slot_[tracked.slot % by_slot_.size()] = nullptr;
      report({.kind = CpuReport::Kind::kUntracked, .tracked = &tracked});
      return;
    case CpuCommand::Kind::kArm:
      tracked.armed = command.armed;
      arm(tracked);
      withdraw(tracked, time);
      // Raised by whoever was here before us.
      if (tracked.limit() > tracked.armed.least()) meter_.watch(tracked, time);
      return;
    case CpuCommand::Kind::kParent:
      if (tracked.parent != nullptr) --tracked.parent->children;
      tracked.parent = command.parent;
      if (tracked.parent != nullptr) ++tracked.parent->children;
      return;
    case CpuCommand::Kind::kObserve:
      tracked.read_limit();
      if (tracked.limit() > tracked.armed.least()) meter_.watch(tracked, time);
      arm(tracked);
      return;
    case CpuCommand::Kind::kRaise: {
      tracked.read_limit();
      const MilliCpu from = tracked.limit();
      if (!tracked.has_limit() || command.limit <= from) return;
      const int error = raise(tracked, command.limit, time);
      report({.kind = error == 0 ? CpuReport::Kind::kGrant : CpuReport::Kind::kFailure,
              .tracked = &tracked,
              .layer = Layer::kSlowLoop,
              .reason = command.reason,
              .facts = {.limit = from, .burst = tracked.burst},
              .from = from,
              .to = command.limit,
              .error = error,
              .event_time = time});
      return;
    }
    case CpuCommand::Kind::kLower:
      tracked.read_limit();
      if (tracked.has_limit() && command.limit < tracked.limit()) {
        lower(tracked, std::max(command.limit, floor_of(tracked)), command.reason, time);
      }
      return;
    case CpuCommand::Kind::kAhead:
      if (!tracked.armed.denial) {
        tracked.read_limit();
        const MilliCpu room = available_to(tracked, time) - tracked.armed.kept;
        raise_ahead(tracked, std::min(command.limit, tracked.limit() + room), command.reason, time);
      }
      return;
    case CpuCommand::Kind::kKeep:
      tracked.kept = command.limit;
      tracked.read_limit();
      if (command.limit > MilliCpu{}) {
        // Denied, it is tried again at ticks. On busy CPUs it shares with the others, by weight.
        const Reason denial = tracked.armed.denial.value_or(Reason::kNodeBusy);
        if (denial == Reason::kNodeBusy) {
          raise_ahead(tracked, command.limit, command.reason, time);
        }
      } else {
        // What it used so far says nothing of what it will need.
        tracked.hold = {.since = time};
        lower(tracked, floor_of(tracked), command.reason, time);
      }
      return;
    case CpuCommand::Kind::kWatch:
      meter_.watch(tracked, time);
      return;
    case CpuCommand::Kind::kForget:
      tracked.wished = {};
      return;
    case CpuCommand::Kind::kBudget:
    case CpuCommand::Kind::kConfigure:
      return;
  }
}

// At what was raised, about once per CFS period: what is not used is given back, and without BPF
// what is throttled is answered.
void CpuReaction::look(CpuTracked& tracked, MonotonicTime time) noexcept {
  const std::optional<CpuMeter::Use> last = meter_.measure(tracked, policy_.window, time);
  if (!last) return;
  tracked.read_limit();
  if (last->throttled && tracked.has_limit() &&
      *last->throttled > tolerated_periods(policy_, answers_at_once(tracked, time))) {
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

void CpuReaction::on_event(void* reaction, const pl_cpu_event& event) noexcept {
  auto& self = *static_cast<CpuReaction*>(reaction);
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
}

// A pod can run out of its quota before its container does, by what else runs in it: then that
// container is short.
void CpuReaction::on_throttle(CpuTracked& tracked, CpuFacts facts, MonotonicTime time) noexcept {
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
CpuTracked* CpuReaction::busiest_child(const CpuTracked& tracked) const noexcept {
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

// Its pod's as well, which binds otherwise.
int CpuReaction::give_burst(CpuTracked& tracked, microseconds burst) noexcept {
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

// True: something was written.
bool CpuReaction::react(CpuTracked& tracked, const CpuFacts& facts, MonotonicTime time) noexcept {
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

void CpuReaction::wish(CpuTracked& tracked, CpuReport told) noexcept {
  const MilliCpu promised = tracked.promised(told.event_time);
  if (told.to <= promised && told.event_time - tracked.wished_at < kWishAgain) return;
  told.kind = CpuReport::Kind::kWish;
  told.error = 0;
  report(told);
  charge(promised, std::max(told.to, promised));
  tracked.wished = std::max(told.to, promised);
  tracked.wished_at = told.event_time;
}

void CpuReaction::charge(MilliCpu from, MilliCpu to) noexcept {
  const std::int64_t given =
      static_cast<std::int64_t>(to.value) - static_cast<std::int64_t>(from.value);
  budget_ -= given;
  granted_.fetch_add(given, std::memory_order_release);
}

// What is left of the budget, and what was promised to this one.
MilliCpu CpuReaction::available_to(const CpuTracked& tracked, MonotonicTime time) const noexcept {
  const MilliCpu left{static_cast<std::uint64_t>(std::max<std::int64_t>(budget_, 0))};
  return left + (tracked.promised(time) - tracked.limit());
}

int CpuReaction::raise(CpuTracked& tracked, MilliCpu to, MonotonicTime time) noexcept {
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

void CpuReaction::raise_ahead(CpuTracked& tracked, MilliCpu to, Reason reason,
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
void CpuReaction::raise_parents(const CpuTracked& tracked, MilliCpu increase, MilliCpu to,
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
MilliCpu CpuReaction::floor_of(const CpuTracked& tracked) const noexcept {
  MilliCpu floor = tracked.armed.least();
  if (tracked.children == 0) return floor;
  for (const CpuTracked* child : by_slot_) {
    if (child != nullptr && child->parent == &tracked && child->has_limit()) {
      floor += child->limit() - child->armed.least();
    }
  }
  return floor;
}

// What we wrote and may not write any more: somebody has refused it, or resizes the pod himself.
void CpuReaction::withdraw(CpuTracked& tracked, MonotonicTime time) noexcept {
  const std::optional<MilliCpu>& most = tracked.armed.bounds.direct_ceiling;
  tracked.read_limit();
  if (!most || !tracked.has_limit() || tracked.limit() != tracked.written) return;
  lower(tracked, std::max(*most, floor_of(tracked)), Reason::kWithdrawn, time);
}

void CpuReaction::lower(CpuTracked& tracked, MilliCpu to, Reason reason,
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

int CpuReaction::write(CpuTracked& tracked, MilliCpu to) noexcept {
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

bool CpuReaction::answers_at_once(const CpuTracked& tracked, MonotonicTime time) const noexcept {
  return agent::answers_at_once(
      policy_, tracked.armed,
      {.limit = tracked.limit(), .period = tracked.max.period, .burst = tracked.burst},
      tracked.hold, time);
}

// What may still grow is told of; how soon, too.
void CpuReaction::arm(CpuTracked& tracked) noexcept {
  if (programs_ == nullptr) return;
  const MilliCpu limit = tracked.limit();
  const bool burst = is_burst_next(tracked.armed, limit, tracked.burst);
  const bool at_once = answers_at_once(tracked, monotonic_now());
  programs_->set_tolerance(
      tracked.slot, {.window = policy_.window, .periods = tolerated_periods(policy_, at_once)});
  programs_->arm(tracked.slot, tracked.has_limit() && !tracked.armed.denial &&
                                   (limit < tracked.armed.bounds.ceiling || burst));
}

void CpuReaction::disarm(CpuTracked& tracked) noexcept {
  if (programs_ != nullptr) programs_->arm(tracked.slot, false);
}

// Once per tick: denials are tried again, and what is remembered may have grown old.
void CpuReaction::refresh() noexcept {
  for (CpuTracked* tracked : by_slot_) {
    if (tracked != nullptr) arm(*tracked);
  }
}

void CpuReaction::report(CpuReport report) noexcept {
  report.written_time = monotonic_now();
  mailbox_.report(report);
}

}  // namespace plimsoll::agent
