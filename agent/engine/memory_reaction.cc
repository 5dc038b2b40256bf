// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/memory_reaction.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/clock.h"
#include "bpf/record_time.h"

namespace plimsoll::agent {
namespace {

// A quarter of the age at which the kernel's programs stop to hold: two beats may be late.
constexpr int kBeatMs = 250;
// A tick of a thousand containers must not make an event wait.
constexpr int kCommandsInARow = 32;
// Charges that may not fail go this far over a limit.
constexpr Bytes kForced{4 * kMiB};

// Ignored where nobody asked for it, and nobody else here does.
constexpr int kInterrupt = SIGURG;

// epoll's user data: a slot, or one of these.
constexpr std::uint64_t kUrgent = UINT64_MAX;
constexpr std::uint64_t kCommand = UINT64_MAX - 1;

Layer layer_of(pl_u32 kind) {
  switch (kind) {
    case PL_AT_LIMIT:
      return Layer::kAtTheLimit;
    case PL_AT_DOOR:
      return Layer::kAtTheDoor;
    default:
      return Layer::kPredicted;
  }
}

Result<void> add_to(const Fd& epoll, int fd, std::uint32_t events, std::uint64_t data) {
  epoll_event event{.events = events, .data = {.u64 = data}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return errno_error(errno, "add to the reaction thread's epoll");
  }
  return {};
}

}  // namespace

struct MemoryReaction::Entry {
  const cgroup::LimitFile* limit_file = nullptr;
  FallbackSignals* signals = nullptr;
  std::uint32_t epoch = 0;
  std::optional<Slot> parent;
  std::uint32_t parent_epoch = 0;
  Armed armed;
  Bytes limit;              // as last read or written; UINT64_MAX: none
  Bytes written;            // the last raise; 0: none
  Bytes wished;             // a limit that somebody else is to write ...
  MonotonicTime wished_at;  // ... and when that was said last

  // Before every decision about it and every write: somebody else may have written it meanwhile,
  // and a raise must not lower that.
  Bytes read_limit() {
    if (const std::optional<Limit> is = limit_file->read()) limit = {is->bytes};
    return limit;
  }
  // The budget has paid for a limit up to this.
  Bytes promised(MonotonicTime time) const {
    return time - wished_at < kWishLife ? std::max(limit, wished) : limit;
  }
};

MemoryReaction::MemoryReaction(const MemoryPolicy& policy, bpf::MemoryPrograms* programs,
                               Wakeup commands, Wakeup reports)
    : policy_(policy),
      programs_(programs),
      report_wakeup_(std::move(reports)),
      mailbox_(std::move(commands), report_wakeup_),
      entries_(bpf::kMaxSlots),
      raises_(std::make_unique<std::atomic<std::uint64_t>[]>(bpf::kMaxSlots)) {}

Result<std::unique_ptr<MemoryReaction>> MemoryReaction::start(const MemoryPolicy& policy,
                                                              bpf::MemoryPrograms* programs,
                                                              bool own_thread) {
  auto commands = Wakeup::make();
  if (!commands) return tl::unexpected(commands.error());
  auto reports = Wakeup::make();
  if (!reports) return tl::unexpected(reports.error());
  std::unique_ptr<MemoryReaction> reaction(
      new MemoryReaction(policy, programs, std::move(*commands), std::move(*reports)));
  struct sigaction interrupt {};
  interrupt.sa_handler = [](int) {};
  interrupt.sa_flags = SA_RESTART;
  if (::sigaction(kInterrupt, &interrupt, nullptr) != 0) {
    return errno_error(errno, "take a signal for lowering");
  }
  reaction->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!reaction->epoll_) return errno_error(errno, "make the reaction thread's epoll");
  if (auto added = add_to(reaction->epoll_, reaction->mailbox_.fd(), EPOLLIN, kCommand); !added) {
    return tl::unexpected(added.error());
  }
  if (programs != nullptr) {
    if (auto added = add_to(reaction->epoll_, programs->urgent_fd(), EPOLLIN, kUrgent); !added) {
      return tl::unexpected(added.error());
    }
    reaction->deputy_epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
    if (!reaction->deputy_epoll_) return errno_error(errno, "make the deputy's epoll");
    auto stop = Wakeup::make();
    if (!stop) return tl::unexpected(stop.error());
    reaction->deputy_stop_ = std::move(*stop);
    // Edges: woken once per event, also while the other thread is at it.
    auto added = add_to(reaction->deputy_epoll_, programs->urgent_fd(), EPOLLIN | EPOLLET, kUrgent);
    if (added) {
      added = add_to(reaction->deputy_epoll_, reaction->deputy_stop_.fd(), EPOLLIN, kCommand);
    }
    if (!added) return tl::unexpected(added.error());
    programs->beat(monotonic_now());
  }
  if (!own_thread) return reaction;
  // std::thread takes no stack size; the default of 8 MiB would be locked as it is touched only,
  // so it costs address space and nothing else.
  reaction->thread_ = std::thread([self = reaction.get()] { self->run(); });
  reaction->quality_ = make_predictable(reaction->thread_, kMemoryPriority);
  if (programs == nullptr) return reaction;
  reaction->deputy_ = std::thread([self = reaction.get()] { self->run_deputy(); });
  (void)make_predictable(reaction->deputy_, kMemoryPriority);
  keep_apart(reaction->thread_, reaction->deputy_);
  return reaction;
}

MemoryReaction::~MemoryReaction() { stop(); }

void MemoryReaction::stop() {
  stopping_.store(true);
  mailbox_.wake();
  if (thread_.joinable()) thread_.join();
  deputy_stop_.ring();
  if (deputy_.joinable()) deputy_.join();
}

bool MemoryReaction::configure(const MemoryPolicy& policy) {
  if (!idle()) return false;
  next_policy_ = policy;
  return send({.kind = Command::Kind::kConfigure});
}

std::uint64_t MemoryReaction::raises(Slot slot) const { return raises_[slot].load(); }

MemoryReaction::Lowering::Lowering(MemoryReaction& reaction, Slot slot)
    : reaction_(reaction), slot_(slot), raises_(reaction.raises(slot)) {
  reaction_.lowering_thread_.store(::gettid());
  reaction_.lowered_.store(slot);
}

MemoryReaction::Lowering::~Lowering() { reaction_.lowered_.store(bpf::kMaxSlots); }

bool MemoryReaction::Lowering::raised() const { return reaction_.raises(slot_) != raises_; }

void MemoryReaction::run() {
  touch_stack();
  ::pthread_setname_np(::pthread_self(), "reaction");
  std::array<epoll_event, 64> ready{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int count =
        ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), kBeatMs);
    const MonotonicTime time = monotonic_now();
    if (programs_ != nullptr) programs_->beat(time);
    beat_.store(time.time_since_epoch().count(), std::memory_order_relaxed);
    // What is readable stays so until the deputy has let go.
    if (turn_.test_and_set(std::memory_order_acquire)) {
      let_others_run();
      continue;
    }
    mailbox_.clear();
    bool worked = take_turn();
    for (int i = 0; i < count; ++i) {
      const std::uint64_t data = ready[static_cast<std::size_t>(i)].data.u64;
      if (data == kCommand || data == kUrgent) continue;
      on_sign(static_cast<Slot>(data));
      worked = true;
    }
    turn_.clear(std::memory_order_release);
    // A record that is begun, by a task that was preempted and may be waiting for this CPU.
    if (count > 0 && !worked) let_others_run();
  }
}

void MemoryReaction::run_deputy() {
  touch_stack();
  ::pthread_setname_np(::pthread_self(), "deputy");
  epoll_event ready{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    ::epoll_wait(deputy_epoll_.get(), &ready, 1, -1);
    // The other thread is running, then, and sees this event before it sleeps.
    if (turn_.test_and_set(std::memory_order_acquire)) continue;
    take_turn();
    turn_.clear(std::memory_order_release);
  }
}

void MemoryReaction::obey_all() noexcept {
  beat_.store(monotonic_now().time_since_epoch().count(), std::memory_order_relaxed);
  mailbox_.clear();
  take_turn();
}

// Events go first: commands may write files. False: there was nothing.
bool MemoryReaction::take_turn() noexcept {
  bool worked = drain();
  for (int taken = 1; mailbox_.take([this](const Command& each) { obey(each); }); ++taken) {
    worked = true;
    if (taken % kCommandsInARow == 0) drain();
  }
  return drain() || worked;
}

bool MemoryReaction::drain() noexcept {
  return programs_ != nullptr && programs_->drain_urgent(on_event, this) > 0;
}

void MemoryReaction::obey(const Command& command) noexcept {
  Entry& entry = entries_[command.slot % entries_.size()];
  if (command.kind == Command::Kind::kBudget) {
    // What was given away since the slow loop looked comes off.
    budget_ = command.budget - (Bytes{granted_.load()} - command.granted_before);
    if (somebody_waits_ || budget_ < enough_) arm_all();
    return;
  }
  if (command.kind == Command::Kind::kGroupBudget) {
    const BudgetGroup group = command.armed.group % kMaxGroups;
    group_budget_[group] = command.budget - (granted(group) - command.granted_before);
    if (somebody_waits_ || group_budget_[group] < group_enough_[group]) arm_all();
    return;
  }
  if (command.kind == Command::Kind::kConfigure) {
    policy_ = next_policy_;
    arm_all();
    return;
  }
  if (command.kind == Command::Kind::kTrack) {
    entry = {.limit_file = command.limit_file,
             .signals = command.signals,
             .epoch = command.epoch,
             .parent = command.parent,
             .armed = command.armed};
    entry.read_limit();
    if (entry.parent) entry.parent_epoch = entries_[*entry.parent % entries_.size()].epoch;
    if (entry.signals != nullptr) {
      for (const auto& [fd, events] : entry.signals->descriptors()) {
        if (fd >= 0) (void)add_to(epoll_, fd, events, command.slot);
      }
    }
    return;
  }
  if (entry.epoch != command.epoch || entry.limit_file == nullptr) {
    // Asked again, because the answer was lost.
    if (command.kind == Command::Kind::kUntrack) {
      mailbox_.report(
          {.kind = Report::Kind::kUntracked, .slot = command.slot, .epoch = command.epoch});
    }
    return;
  }
  switch (command.kind) {
    case Command::Kind::kUntrack:
      if (entry.signals != nullptr) {
        for (const auto& [fd, events] : entry.signals->descriptors()) {
          if (fd >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
        }
      }
      disarm(command.slot);
      entry = {};
      mailbox_.report(
          {.kind = Report::Kind::kUntracked, .slot = command.slot, .epoch = command.epoch});
      return;
    case Command::Kind::kArm:
      entry.armed = command.armed;
      arm(command.slot);
      return;
    case Command::Kind::kParent:
      entry.parent = command.parent;
      if (entry.parent) entry.parent_epoch = entries_[*entry.parent % entries_.size()].epoch;
      return;
    case Command::Kind::kWish:
      entry.wished = command.limit;
      entry.wished_at = command.at;
      return;
    case Command::Kind::kRaise: {
      const MemoryFacts facts{.limit = entry.read_limit()};
      if (command.limit <= entry.limit) {
        raise_parents(entry, {}, entry.limit);
        return;
      }
      const int error = raise(entry, command.limit,
                              command.promised ? command.limit : entry.promised(command.at));
      if (error == 0) rearm(command.slot);
      mailbox_.report({.kind = error == 0 ? Report::Kind::kGrant : Report::Kind::kFailure,
                       .slot = command.slot,
                       .epoch = entry.epoch,
                       .layer = Layer::kSlowLoop,
                       .reason = command.reason,
                       .facts = facts,
                       .from = facts.limit,
                       .to = command.limit,
                       .error = error,
                       .event_time = command.at,
                       .written_time = monotonic_now()});
      return;
    }
    case Command::Kind::kAnnounce:
      announce(command);
      return;
    case Command::Kind::kRewrite:
      if (entry.read_limit() < entry.written && !is_being_written(entry)) {
        (void)entry.limit_file->write(entry.written.value);
      }
      return;
    case Command::Kind::kTrack:
    case Command::Kind::kBudget:
    case Command::Kind::kGroupBudget:
    case Command::Kind::kConfigure:
      return;
  }
}

void MemoryReaction::on_event(void* reaction, const pl_memory_event& event) noexcept {
  auto& self = *static_cast<MemoryReaction*>(reaction);
  Entry& entry = self.entries_[event.slot % self.entries_.size()];
  // An event of a cgroup that was here before.
  if (entry.limit_file == nullptr || entry.epoch != event.epoch) return;
  const MemoryFacts facts{.limit = entry.read_limit(),
                          .usage = {event.usage_bytes},
                          .reclaimable = {event.reclaimable_bytes},
                          .rate_per_second = {event.rate_bytes_per_s}};
  self.react(event.slot, facts, layer_of(event.kind), bpf::time_of(event.time_ns));
}

void MemoryReaction::on_sign(Slot slot) noexcept {
  Entry& entry = entries_[slot % entries_.size()];
  if (entry.limit_file == nullptr || entry.signals == nullptr || is_being_written(entry)) return;
  const MonotonicTime seen = monotonic_now();
  const std::optional<FallbackSignals::Sign> sign = entry.signals->read(seen, entry.read_limit());
  if (sign) {
    react(slot, sign->facts, sign->layer, seen);
  } else {
    // The cgroup is gone: its files would be readable until it is untracked.
    for (const auto& [fd, events] : entry.signals->descriptors()) {
      if (fd >= 0) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, fd, nullptr);
    }
  }
}

// A need like any other, but that it is known: nobody is at the limit, and nobody is disarmed.
void MemoryReaction::announce(const Command& command) noexcept {
  Entry& entry = entries_[command.slot];
  const MemoryFacts facts{.limit = entry.read_limit()};
  const Verdict verdict = grant_up_to(policy_, entry.armed, facts, command.limit,
                                      budgets_of(entry, command.at), Reason::kAnnounced);
  Report answer{.slot = command.slot,
                .epoch = entry.epoch,
                .layer = Layer::kPredicted,
                .reason = verdict.reason,
                .facts = facts,
                .from = facts.limit,
                .event_time = command.at};
  if (verdict.limit) {
    answer.error = raise(entry, *verdict.limit, entry.promised(command.at));
    answer.kind = answer.error == 0 ? Report::Kind::kGrant : Report::Kind::kFailure;
    answer.to = *verdict.limit;
  } else if (is_denial(verdict.reason)) {
    answer.kind = Report::Kind::kDenial;
  }
  answer.written_time = monotonic_now();
  if (verdict.limit || is_denial(verdict.reason)) mailbox_.report(answer);
  if (verdict.wish) {
    answer.from = entry.limit;
    answer.to = *verdict.wish;
    (void)wish(command.slot, answer);
  }
  rearm(command.slot);
}

void MemoryReaction::react(Slot slot, const MemoryFacts& facts, Layer layer,
                           MonotonicTime event_time) noexcept {
  Entry& entry = entries_[slot % entries_.size()];
  const Verdict verdict =
      grow_on_event(policy_, entry.armed, facts, layer, budgets_of(entry, event_time));
  Report answer{.slot = slot,
                .epoch = entry.epoch,
                .layer = layer,
                .reason = verdict.reason,
                .facts = facts,
                .from = facts.limit,
                .event_time = event_time};
  if (!verdict.limit) {
    if (verdict.wish) {
      answer.to = *verdict.wish;
      if (wish(slot, answer)) rearm(slot);
      // Whoever is at the limit is not held for what somebody else may write: until the next tick.
      if (layer != Layer::kPredicted) disarm(slot);
    } else if (is_denial(verdict.reason)) {
      // Not held any more, from this line on; at the ceiling the kernel sees to that itself.
      if (facts.limit < entry.armed.bounds.ceiling) disarm(slot);
      answer.kind = Report::Kind::kDenial;
      answer.written_time = monotonic_now();
      mailbox_.report(answer);
    }
    if (programs_ != nullptr) programs_->answer(slot, false);
    return;
  }
  answer.error = raise(entry, *verdict.limit, entry.promised(event_time));
  answer.written_time = monotonic_now();
  const bool written = answer.error == 0;
  if (!written && answer.error != EBUSY) disarm(slot);
  if (programs_ != nullptr) programs_->answer(slot, written);
  // After the answer: where the budget is spent, that is a walk over all slots.
  if (written) rearm(slot);
  answer.kind = written ? Report::Kind::kGrant : Report::Kind::kFailure;
  answer.to = *verdict.limit;
  mailbox_.report(answer);
  if (verdict.wish) {
    answer.from = entry.limit;
    answer.to = *verdict.wish;
    if (wish(slot, answer)) rearm(slot);
  }
}

// Tells the slow loop what somebody else has to write, unless it has just been told.
bool MemoryReaction::wish(Slot slot, const Report& wished) noexcept {
  Entry& entry = entries_[slot % entries_.size()];
  const Bytes promised = entry.promised(wished.event_time);
  if (wished.to <= promised && wished.event_time - entry.wished_at < kWishAgain) return false;
  Report told = wished;
  told.kind = Report::Kind::kWish;
  told.error = 0;
  told.written_time = monotonic_now();
  mailbox_.report(told);
  entry.wished = std::max(wished.to, promised);
  entry.wished_at = wished.event_time;
  charge(entry, wished.to - promised);
  return true;
}

// What may be given to this one: what was promised to it is its own.
Budgets MemoryReaction::budgets_of(const Entry& entry, MonotonicTime time) const noexcept {
  const Bytes own = entry.promised(time) - entry.limit;
  if (entry.armed.group == kNoGroup) return {budget_ + own};
  return {budget_ + own, group_budget_[entry.armed.group % kMaxGroups] + own};
}

void MemoryReaction::charge(const Entry& entry, Bytes bytes) noexcept {
  budget_ -= bytes;
  granted_.fetch_add(bytes.value, std::memory_order_release);
  const BudgetGroup group = entry.armed.group % kMaxGroups;
  if (group == kNoGroup) return;
  group_budget_[group] -= bytes;
  granted_in_group_[group].fetch_add(bytes.value, std::memory_order_release);
}

// 0 or the errno of the cgroup's own write. The budget pays for what is above `promised`.
int MemoryReaction::raise(Entry& entry, Bytes to, Bytes promised) noexcept {
  if (to <= entry.limit) return 0;
  if (is_being_written(entry)) return EBUSY;
  raise_parents(entry, to - entry.limit, to);
  const Bytes paid = std::max(promised, entry.limit);
  const int error = write_limit(entry, to);
  // Once, however many levels were raised: what a parent got contains what its child got.
  if (error == 0) charge(entry, to - paid);
  return error;
}

// The topmost first, each by as much as the cgroup gets, and to no less: a child's limit above its
// parent's would be a promise that the kernel does not keep, and a parent's may have been left
// behind (kubernetes/kubernetes#138760).
void MemoryReaction::raise_parents(const Entry& entry, Bytes increase, Bytes to) noexcept {
  if (!entry.parent) return;
  Entry& parent = entries_[*entry.parent % entries_.size()];
  // Its slot may be somebody else's by now.
  if (parent.limit_file == nullptr || parent.epoch != entry.parent_epoch) return;
  if (Limit{parent.read_limit().value}.is_max()) {
    raise_parents(parent, increase, to);
    return;
  }
  const Bytes most = std::max(parent.limit, direct_ceiling(parent.armed.bounds));
  const Bytes own = std::min(std::max(parent.limit + increase, to), most);
  raise_parents(parent, increase, own);
  // A parent that cannot be raised binds, and its own event will say so.
  if (own > parent.limit) (void)write_limit(parent, own);
}

Slot MemoryReaction::slot_of(const Entry& entry) const noexcept {
  return static_cast<Slot>(&entry - entries_.data());
}

// Whether somebody else is in a write of the limit: raised now, it might never end, see
// bpf/memory.bpf.c. Without programs it is known by what it works on, more in use than the limit
// allows; the slow loop's own Lowering is ended by a signal.
bool MemoryReaction::is_being_written(const Entry& entry) const noexcept {
  const Slot slot = slot_of(entry);
  if (programs_ != nullptr) return programs_->is_being_written(slot, monotonic_now());
  if (entry.signals == nullptr || lowered_.load() == slot) return false;
  const std::optional<Limit> limit = entry.limit_file->read();
  const std::optional<Bytes> usage = entry.signals->usage();
  return limit && usage && *usage > Bytes{limit->bytes} + kForced;
}

// 0, the errno of the write, or EBUSY: somebody else is writing it.
int MemoryReaction::write_limit(Entry& entry, Bytes to) noexcept {
  if (is_being_written(entry)) return EBUSY;
  const int error = entry.limit_file->write(to.value);
  if (error != 0) return error;
  const Slot slot = slot_of(entry);
  raises_[slot].fetch_add(1);
  if (lowered_.load() == slot) ::tgkill(::getpid(), lowering_thread_.load(), kInterrupt);
  entry.limit = entry.written = to;
  if (entry.signals != nullptr) entry.signals->limit_changed(to);
  return 0;
}

// Armed is what may still grow: nobody is held for what cannot be granted. At its ceiling it is
// not, until somebody lowers the limit, which the kernel sees before we do.
void MemoryReaction::arm(Slot slot) noexcept {
  const Entry& entry = entries_[slot];
  if (entry.armed.denial) {
    disarm(slot);
    return;
  }
  const BudgetGroup group = entry.armed.group % kMaxGroups;
  const Bytes enough = entry.armed.kept + policy_.round_to;
  const Bytes group_enough = entry.armed.kept_in_group + policy_.round_to;
  const bool paid =
      budget_ >= enough && (group == kNoGroup || group_budget_[group] >= group_enough);
  if (paid) {
    if (programs_ != nullptr) programs_->arm(slot, entry.armed.bounds.ceiling);
    enough_ = std::max(enough_, enough);
    group_enough_[group] = std::max(group_enough_[group], group_enough);
  } else {
    disarm(slot);
    somebody_waits_ = true;
  }
}

void MemoryReaction::arm_all() noexcept {
  enough_ = {};
  group_enough_ = {};
  somebody_waits_ = false;
  for (Slot slot = 0; slot < entries_.size(); ++slot) {
    if (entries_[slot].limit_file != nullptr) arm(slot);
  }
}

// After its limit or the budgets have changed.
void MemoryReaction::rearm(Slot slot) noexcept {
  const BudgetGroup group = entries_[slot].armed.group % kMaxGroups;
  const bool group_spent = group != kNoGroup && group_budget_[group] < group_enough_[group];
  if (budget_ < enough_ || group_spent) {
    arm_all();
  } else {
    arm(slot);
  }
}

void MemoryReaction::disarm(Slot slot) noexcept {
  if (programs_ != nullptr) programs_->arm(slot, {});
}
}  // namespace plimsoll::agent
