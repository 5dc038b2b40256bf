// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/memory_limits.h"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <variant>

#include "base/clock.h"
#include "bpf/record_time.h"

namespace plimsoll::agent {
namespace {

// Charges that may not fail go this far over a limit.
constexpr Bytes kForced{4 * kMiB};

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

}  // namespace

struct MemoryLimits::Entry {
  Tenant tenant;
  const cgroup::LimitFile* limit_file = nullptr;  // null: nothing is tracked here
  FallbackSignals* signals = nullptr;
  std::optional<Tenant> parent;
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

MemoryLimits::MemoryLimits(const MemoryPolicy& policy, bpf::MemoryPrograms* programs,
                           MemoryMailbox& mailbox, const Fd& epoll)
    : policy_(policy),
      programs_(programs),
      mailbox_(mailbox),
      epoll_(epoll),
      entries_(std::make_unique<Entry[]>(bpf::kMaxSlots)),
      raises_(std::make_unique<std::atomic<std::uint64_t>[]>(bpf::kMaxSlots)) {}

MemoryLimits::~MemoryLimits() = default;

MemoryLimits::Lowering::Lowering(MemoryLimits& limits, Slot slot)
    : limits_(limits), slot_(slot), raises_(limits.raises(slot)) {
  limits_.lowering_thread_.store(::gettid());
  limits_.lowered_.store(slot);
}

MemoryLimits::Lowering::~Lowering() { limits_.lowered_.store(bpf::kMaxSlots); }

MemoryLimits::Entry& MemoryLimits::at(Slot slot) const noexcept {
  return entries_[slot % bpf::kMaxSlots];
}

MemoryLimits::Entry* MemoryLimits::find(const Tenant& tenant) const noexcept {
  Entry& entry = at(tenant.slot);
  return entry.limit_file == nullptr || entry.tenant.epoch != tenant.epoch ? nullptr : &entry;
}

struct MemoryLimits::Obey {
  MemoryLimits& self;

  std::optional<Tenant> parent_of(std::optional<Slot> slot) const noexcept {
    if (!slot) return std::nullopt;
    return Tenant{*slot, self.at(*slot).tenant.epoch};
  }

  // About one cgroup, and nothing where that has gone.
  void operator()(const auto& command) const noexcept {
    if (Entry* entry = self.find(command.tenant)) obey(command, *entry);
  }

  void operator()(const memory_command::Track& track) const noexcept {
    Entry& entry = self.at(track.tenant.slot);
    entry = {.tenant = track.tenant,
             .limit_file = track.limit_file,
             .signals = track.signals,
             .parent = parent_of(track.parent),
             .armed = track.armed};
    entry.read_limit();
    if (entry.signals != nullptr) entry.signals->watch(self.epoll_, track.tenant.slot);
  }

  void operator()(const memory_command::Untrack& untrack) const noexcept {
    if (Entry* entry = self.find(untrack)) {
      if (entry->signals != nullptr) entry->signals->unwatch(self.epoll_);
      self.disarm(*entry);
      *entry = {};
    }
    // Also where it is gone: asked again, because the answer was lost.
    self.mailbox_.report({.kind = Report::Kind::kUntracked, .tenant = untrack});
  }

  void operator()(const memory_command::Rewrite& rewrite) const noexcept {
    Entry* entry = self.find(rewrite);
    if (entry == nullptr || entry->read_limit() >= entry->written) return;
    if (!self.is_being_written(*entry)) (void)entry->limit_file->write(entry->written.value);
  }

  void obey(const memory_command::Arm& arm, Entry& entry) const noexcept {
    entry.armed = arm.armed;
    self.arm(entry);
  }

  void obey(const memory_command::Raise& raise, Entry& entry) const noexcept {
    const MemoryFacts facts{.limit = entry.read_limit()};
    if (raise.limit <= entry.limit) return self.raise_parents(entry, {}, entry.limit);
    const int error =
        self.raise(entry, raise.limit, raise.promised ? raise.limit : entry.promised(raise.at));
    if (error == 0) self.rearm(entry);
    self.mailbox_.report({.kind = error == 0 ? Report::Kind::kGrant : Report::Kind::kFailure,
                          .tenant = raise.tenant,
                          .layer = Layer::kSlowLoop,
                          .reason = raise.reason,
                          .facts = facts,
                          .from = facts.limit,
                          .to = raise.limit,
                          .error = error,
                          .event_time = raise.at,
                          .written_time = monotonic_now()});
  }

  // A need like any other, but that it is known: nobody is at the limit, and nobody is disarmed.
  void obey(const memory_command::Announce& announce, Entry& entry) const noexcept {
    const MemoryFacts facts{.limit = entry.read_limit()};
    const Verdict verdict = grant_up_to(self.policy_, entry.armed, facts, announce.limit,
                                        self.budgets_of(entry, announce.at), Reason::kAnnounced);
    Report answer{.tenant = announce.tenant,
                  .layer = Layer::kPredicted,
                  .reason = verdict.reason,
                  .facts = facts,
                  .from = facts.limit,
                  .event_time = announce.at};
    if (verdict.limit) {
      answer.error = self.raise(entry, *verdict.limit, entry.promised(announce.at));
      answer.kind = answer.error == 0 ? Report::Kind::kGrant : Report::Kind::kFailure;
      answer.to = *verdict.limit;
    } else if (is_denial(verdict.reason)) {
      answer.kind = Report::Kind::kDenial;
    }
    answer.written_time = monotonic_now();
    if (verdict.limit || is_denial(verdict.reason)) self.mailbox_.report(answer);
    if (verdict.wish) {
      answer.from = entry.limit;
      answer.to = *verdict.wish;
      (void)self.wish(entry, answer);
    }
    self.rearm(entry);
  }

  void obey(const memory_command::Parent& parent, Entry& entry) const noexcept {
    entry.parent = parent_of(parent.parent);
  }

  void obey(const memory_command::Wish& wish, Entry& entry) const noexcept {
    entry.wished = wish.limit;
    entry.wished_at = wish.at;
  }

  void operator()(const memory_command::Budget& budget) const noexcept {
    if (self.ledger_.set(budget.group, budget.left, budget.granted_before)) self.arm_all();
  }

  void operator()(const memory_command::Configure& configure) const noexcept {
    self.policy_ = *configure.policy;
    self.arm_all();
  }
};

void MemoryLimits::obey(const MemoryCommand& command) noexcept { std::visit(Obey{*this}, command); }

bool MemoryLimits::drain() noexcept {
  const auto answer = [](void* limits, const pl_memory_event& event) noexcept {
    auto& self = *static_cast<MemoryLimits*>(limits);
    Entry* entry = self.find({event.slot, event.epoch});
    if (entry == nullptr) return;  // an event of a cgroup that was here before
    const MemoryFacts facts{.limit = entry->read_limit(),
                            .usage = {event.usage_bytes},
                            .reclaimable = {event.reclaimable_bytes},
                            .rate_per_second = {event.rate_bytes_per_s}};
    self.react(*entry, facts, layer_of(event.kind), bpf::time_of(event.time_ns));
  };
  return programs_ != nullptr && programs_->drain_urgent(answer, this) > 0;
}

void MemoryLimits::on_sign(Slot slot) noexcept {
  Entry& entry = at(slot);
  if (entry.limit_file == nullptr || entry.signals == nullptr || is_being_written(entry)) return;
  const MonotonicTime seen = monotonic_now();
  if (const auto sign = entry.signals->read(seen, entry.read_limit())) {
    react(entry, sign->facts, sign->layer, seen);
  } else {
    // The cgroup is gone: its files would be readable until it is untracked.
    entry.signals->unwatch(epoll_);
  }
}

void MemoryLimits::react(Entry& entry, const MemoryFacts& facts, Layer layer,
                         MonotonicTime time) noexcept {
  const Slot slot = entry.tenant.slot;
  const Verdict verdict =
      grow_on_event(policy_, entry.armed, facts, layer, budgets_of(entry, time));
  Report answer{.tenant = entry.tenant,
                .layer = layer,
                .reason = verdict.reason,
                .facts = facts,
                .from = facts.limit,
                .event_time = time};
  if (!verdict.limit) {
    if (verdict.wish) {
      answer.to = *verdict.wish;
      if (wish(entry, answer)) rearm(entry);
      // Whoever is at the limit is not held for what somebody else may write: until the next tick.
      if (layer != Layer::kPredicted) disarm(entry);
    } else if (is_denial(verdict.reason)) {
      // Not held any more, from this line on; at the ceiling the kernel sees to that itself.
      if (facts.limit < entry.armed.bounds.ceiling) disarm(entry);
      answer.kind = Report::Kind::kDenial;
      answer.written_time = monotonic_now();
      mailbox_.report(answer);
    }
    if (programs_ != nullptr) programs_->answer(slot, false);
    return;
  }
  answer.error = raise(entry, *verdict.limit, entry.promised(time));
  answer.written_time = monotonic_now();
  const bool written = answer.error == 0;
  if (!written && answer.error != EBUSY) disarm(entry);
  if (programs_ != nullptr) programs_->answer(slot, written);
  // After the answer: where the budget is spent, that is a walk over all slots.
  if (written) rearm(entry);
  answer.kind = written ? Report::Kind::kGrant : Report::Kind::kFailure;
  answer.to = *verdict.limit;
  mailbox_.report(answer);
  if (verdict.wish) {
    answer.from = entry.limit;
    answer.to = *verdict.wish;
    if (wish(entry, answer)) rearm(entry);
  }
}

// Tells the slow loop what somebody else has to write, unless it has just been told.
bool MemoryLimits::wish(Entry& entry, const Report& wished) noexcept {
  const Bytes promised = entry.promised(wished.event_time);
  if (wished.to <= promised && wished.event_time - entry.wished_at < kWishAgain) return false;
  Report told = wished;
  told.kind = Report::Kind::kWish;
  told.error = 0;
  told.written_time = monotonic_now();
  mailbox_.report(told);
  entry.wished = std::max(wished.to, promised);
  entry.wished_at = wished.event_time;
  ledger_.charge(entry.armed.group, wished.to - promised);
  return true;
}

// What may be given to this one: what was promised to it is its own.
Budgets MemoryLimits::budgets_of(const Entry& entry, MonotonicTime time) const noexcept {
  return ledger_.left(entry.armed.group, entry.promised(time) - entry.limit);
}

// 0 or the errno of the cgroup's own write. The budget pays for what is above `promised`.
int MemoryLimits::raise(Entry& entry, Bytes to, Bytes promised) noexcept {
  if (to <= entry.limit) return 0;
  if (is_being_written(entry)) return EBUSY;
  raise_parents(entry, to - entry.limit, to);
  const Bytes paid = std::max(promised, entry.limit);
  const int error = write(entry, to);
  // Once, however many levels were raised: what a parent got contains what its child got.
  if (error == 0) ledger_.charge(entry.armed.group, to - paid);
  return error;
}

// The topmost first, each by as much as the cgroup gets, and to no less: a child's limit above its
// parent's would be a promise that the kernel does not keep, and a parent's may have been left
// behind (kubernetes/kubernetes#138760).
void MemoryLimits::raise_parents(const Entry& entry, Bytes increase, Bytes to) noexcept {
  // Its slot may be somebody else's by now.
  Entry* parent = entry.parent ? find(*entry.parent) : nullptr;
  if (parent == nullptr) return;
  if (Limit{parent->read_limit().value}.is_max()) return raise_parents(*parent, increase, to);
  const Bytes most = std::max(parent->limit, direct_ceiling(parent->armed.bounds));
  const Bytes own = std::min(std::max(parent->limit + increase, to), most);
  raise_parents(*parent, increase, own);
  // A parent that cannot be raised binds, and its own event will say so.
  if (own > parent->limit) (void)write(*parent, own);
}

// Whether somebody else is in a write of the limit: raised now, it might never end, see
// bpf/memory.bpf.c. Without programs it is known by what it works on, more in use than the limit
// allows; the slow loop's own Lowering is ended by a signal.
bool MemoryLimits::is_being_written(const Entry& entry) const noexcept {
  const Slot slot = entry.tenant.slot;
  if (programs_ != nullptr) return programs_->is_being_written(slot, monotonic_now());
  if (entry.signals == nullptr || lowered_.load() == slot) return false;
  const std::optional<Limit> limit = entry.limit_file->read();
  const std::optional<Bytes> usage = entry.signals->usage();
  return limit && usage && *usage > Bytes{limit->bytes} + kForced;
}

// 0, the errno of the write, or EBUSY: somebody else is writing it.
int MemoryLimits::write(Entry& entry, Bytes to) noexcept {
  if (is_being_written(entry)) return EBUSY;
  const int error = entry.limit_file->write(to.value);
  if (error != 0) return error;
  const Slot slot = entry.tenant.slot;
  raises_[slot].fetch_add(1);
  if (lowered_.load() == slot) ::tgkill(::getpid(), lowering_thread_.load(), Lowering::kSignal);
  entry.limit = entry.written = to;
  if (entry.signals != nullptr) entry.signals->limit_changed(to);
  return 0;
}

// Armed is what may still grow: nobody is held for what cannot be granted. At its ceiling it is
// not, until somebody lowers the limit, which the kernel sees before we do.
void MemoryLimits::arm(const Entry& entry) noexcept {
  if (entry.armed.denial || !ledger_.admits(entry.armed, policy_.round_to)) {
    disarm(entry);
  } else if (programs_ != nullptr) {
    programs_->arm(entry.tenant.slot, entry.armed.bounds.ceiling);
  }
}

void MemoryLimits::arm_all() noexcept {
  ledger_.judge_anew();
  for (Slot slot = 0; slot < bpf::kMaxSlots; ++slot) {
    if (entries_[slot].limit_file != nullptr) arm(entries_[slot]);
  }
}

// After its limit or the budgets have changed.
void MemoryLimits::rearm(const Entry& entry) noexcept {
  ledger_.is_short(entry.armed.group) ? arm_all() : arm(entry);
}

void MemoryLimits::disarm(const Entry& entry) noexcept {
  if (programs_ != nullptr) programs_->arm(entry.tenant.slot, {});
}

}  // namespace plimsoll::agent
