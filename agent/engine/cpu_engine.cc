// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/cpu_engine.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "agent/engine/engine.h"
#include "base/file.h"
#include "bpf/memory_programs.h"
#include "cgroup/node_cpu.h"
#include "cgroup/pressure.h"

namespace plimsoll::agent {

struct CpuEngine::Entry {
  CpuTracked tracked;
  CgroupId id{};
  CpuSpec spec;
  bool leaving = false;  // untracked; waits for the CPU thread to let go

  std::optional<CpuArmed> armed;       // as last sent
  std::optional<cgroup::CpuMax> seen;  // cpu.max as of the last tick
  std::optional<Reason> told;          // the denial that a record has told of
  MilliCpu kept;                       // as last asked for; 0: nothing is kept
  Reason kept_for = Reason::kStarting;
  MilliCpu wished;
  MonotonicTime wished_at;
  MilliCpu starved;          // by the budget, since the last tick
  std::uint32_t raises = 0;  // since the last tick
  // Totals as of the last tick.
  std::optional<MonotonicTime> at;
  Nanoseconds used{};
  std::uint64_t throttled = 0;
};

CpuEngine::CpuEngine() : entries_(bpf::kMaxSlots) {}

CpuEngine::~CpuEngine() {
  // The thread first: it uses the files and the programs.
  reaction_.reset();
}

bool CpuEngine::is_free(Slot slot) const { return entries_[slot] == nullptr; }

Result<std::unique_ptr<CpuEngine>> CpuEngine::start(const CpuPolicy& policy, bool use_programs,
                                                    const Wakeup& reports) {
  std::unique_ptr<CpuEngine> engine(new CpuEngine());
  if (use_programs) {
    auto programs = bpf::CpuPrograms::load();
    if (programs) {
      engine->programs_ = std::make_unique<bpf::CpuPrograms>(std::move(*programs));
    } else {
      engine->refusal_ = programs.error().message;
    }
  }
  auto reaction = CpuReaction::start(policy, engine->programs_.get(), reports);
  if (!reaction) return tl::unexpected(reaction.error());
  engine->reaction_ = std::move(*reaction);
  return engine;
}

CpuEngine::Entry* CpuEngine::find(Slot slot) const {
  Entry* entry = slot < entries_.size() ? entries_[slot].get() : nullptr;
  return entry == nullptr || entry->leaving ? nullptr : entry;
}

Result<void> CpuEngine::track(Slot slot, std::uint32_t epoch, const cgroup::Group& group,
                              const CpuSpec& spec, std::optional<Slot> parent) {
  auto files = cgroup::CpuFiles::open(group);
  if (!files) return tl::unexpected(files.error());
  const auto max = files->read_max();
  if (!max) return fail(Code::kGone, group.name_of("cpu.max") + " cannot be read");
  const microseconds burst = files->read_burst().value_or(microseconds{});
  if (programs_) {
    const auto tracked = programs_->track(slot, epoch, group.fd().get(), {});
    if (!tracked) return tl::unexpected(tracked.error());
  }
  Entry* above = parent ? find(*parent) : nullptr;
  std::unique_ptr<Entry> entry(new Entry{
      .tracked = {.files = std::move(*files),
                  .slot = slot,
                  .epoch = epoch,
                  .parent = above == nullptr ? nullptr : &above->tracked,
                  .original = *max,
                  .armed = {.bounds = {.floor = spec.bounds.floor}, .denial = Reason::kNotArmed},
                  .max = *max,
                  .burst = burst},
      .id = group.id(),
      .spec = spec});
  if (const auto stat = entry->tracked.files.read_stat()) {
    entry->throttled = stat->throttled.value_or(0);
  }
  if (!reaction_->send({.kind = CpuCommand::Kind::kTrack, .tracked = &entry->tracked})) {
    if (programs_) programs_->untrack(slot);
    return fail(Code::kUnavailable, "the CPU thread's queue is full");
  }
  entries_[slot] = std::move(entry);
  return {};
}

void CpuEngine::untrack(Slot slot) {
  Entry* entry = find(slot);
  if (entry == nullptr) return;
  entry->leaving =
      reaction_->send({.kind = CpuCommand::Kind::kUntrack, .tracked = &entry->tracked});
}

Result<void> CpuEngine::update(Slot slot, const CpuSpec& spec, std::optional<Slot> parent) {
  Entry* entry = find(slot);
  if (entry == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  entry->spec = spec;
  Entry* above = parent ? find(*parent) : nullptr;
  bool sent = reaction_->send({.kind = CpuCommand::Kind::kParent,
                               .tracked = &entry->tracked,
                               .parent = above == nullptr ? nullptr : &above->tracked});
  // Narrower bounds hold at once.
  if (sent && entry->armed) {
    CpuArmed armed = *entry->armed;
    armed.bounds = narrowed(armed.bounds, spec.bounds);
    sent = reaction_->send(
        {.kind = CpuCommand::Kind::kArm, .tracked = &entry->tracked, .armed = armed});
    if (sent) entry->armed = armed;
  }
  if (!sent) return fail(Code::kUnavailable, "the CPU thread's queue is full");
  return {};
}

Result<void> CpuEngine::raise(Slot slot, MilliCpu to, Reason reason) {
  Entry* entry = find(slot);
  if (entry == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  const CpuSpec& spec = entry->spec;
  if (to > direct_ceiling(spec.bounds)) {
    return fail(Code::kDenied, to_string(to) + " CPUs are above the direct ceiling");
  }
  const bool sent = reaction_->send({.kind = CpuCommand::Kind::kRaise,
                                     .tracked = &entry->tracked,
                                     .limit = to,
                                     .reason = reason});
  if (!sent) return fail(Code::kUnavailable, "the CPU thread's queue is full");
  return {};
}

Result<void> CpuEngine::lower(Slot slot, MilliCpu to, Reason reason) {
  Entry* entry = find(slot);
  if (entry == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  const bool sent =
      reaction_->send({.kind = CpuCommand::Kind::kObserve, .tracked = &entry->tracked}) &&
      reaction_->send({.kind = CpuCommand::Kind::kLower,
                       .tracked = &entry->tracked,
                       .limit = to,
                       .reason = reason});
  if (!sent) return fail(Code::kUnavailable, "the CPU thread's queue is full");
  return {};
}

// More than the node has is of no use to anybody.
MilliCpu CpuEngine::within_node(MilliCpu to) const {
  return node_cpus_ == MilliCpu{} ? to : std::min(to, node_cpus_);
}

Result<void> CpuEngine::raise_ahead(Slot slot, MilliCpu to, Reason reason) {
  Entry* entry = find(slot);
  if (entry == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  to = within_node(to);
  const bool sent = reaction_->send({.kind = CpuCommand::Kind::kAhead,
                                     .tracked = &entry->tracked,
                                     .limit = to,
                                     .reason = reason});
  if (!sent) return fail(Code::kUnavailable, "the CPU thread's queue is full");
  return {};
}

Result<void> CpuEngine::keep(Slot slot, MilliCpu to, Reason reason) {
  Entry* entry = find(slot);
  if (entry == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  to = within_node(to);
  if (entry->kept == to) return {};
  const bool sent = reaction_->send(
      {.kind = CpuCommand::Kind::kKeep, .tracked = &entry->tracked, .limit = to, .reason = reason});
  if (!sent) return fail(Code::kUnavailable, "the CPU thread's queue is full");
  entry->kept = to;
  entry->kept_for = reason;
  return {};
}

void CpuEngine::forget_wish(Slot slot) {
  Entry* entry = find(slot);
  if (entry == nullptr || entry->wished == MilliCpu{}) return;
  entry->wished = {};
  reaction_->send({.kind = CpuCommand::Kind::kForget, .tracked = &entry->tracked});
}

void CpuEngine::reconfigure(const CpuPolicy& policy) {
  // Those that the CPU thread has copied.
  while (!policies_.empty() && reaction_->idle()) policies_.pop_front();
  policies_.push_back(policy);
  reaction_->send({.kind = CpuCommand::Kind::kConfigure, .policy = &policies_.back()});
}

std::uint64_t CpuEngine::lost() const {
  std::uint64_t lost = reaction_->reports_lost();
  if (programs_) lost += programs_->counters().events_dropped + programs_->malformed();
  return lost;
}

void CpuEngine::observe_node(Snapshot& snapshot) {
  const auto node = cgroup::read_node_cpu();
  if (!node) return;
  node_cpus_ = MilliCpu{std::uint64_t{node->cpus} * 1000};
  // Nothing where PSI is off.
  const auto pressure = read_file("/proc/pressure/cpu").and_then(cgroup::parse_pressure);
  const Nanoseconds waited = pressure ? pressure->some.total : Nanoseconds{};
  if (node_at_ && snapshot.now > *node_at_) {
    const Nanoseconds elapsed = snapshot.now - *node_at_;
    snapshot.node.cpu = {
        .capacity = std::min(node_cpus_, allocatable_.value_or(node_cpus_)),
        .use = std::min(use_of(node->busy - node_busy_, elapsed), node_cpus_),
        .pressure =
            std::clamp(std::chrono::duration<double>(waited - node_waited_) / elapsed, 0.0, 1.0)};
  } else {
    // The first tick: what it uses is not known yet.
    snapshot.node.cpu = {.capacity = std::min(node_cpus_, allocatable_.value_or(node_cpus_))};
  }
  node_at_ = snapshot.now;
  node_busy_ = node->busy;
  node_waited_ = waited;
}

CpuSnapshot CpuEngine::observe_one(Entry& entry, MonotonicTime now) {
  const CpuTracked& tracked = entry.tracked;
  const auto max = tracked.files.read_max();
  const auto burst = tracked.files.read_burst();
  CpuSnapshot seen{.bounds = entry.spec.bounds,
                   .promised = entry.spec.promised,
                   .raises = std::exchange(entry.raises, 0),
                   .starved = std::exchange(entry.starved, {})};
  if (max) {
    seen.limit = cgroup::cpus_of(*max);
    // Never above the floor's quota: somebody else may bring the limit down to that, and the kernel
    // takes no quota below the burst.
    if (burst && max->quota) {
      seen.burst =
          std::min(*cgroup::cpu_max_of(entry.spec.bounds.floor, max->period).quota, *max->quota);
    }
    if (entry.seen && entry.seen != max) {
      reaction_->send({.kind = CpuCommand::Kind::kObserve, .tracked = &entry.tracked});
    }
    entry.seen = max;
  }
  if (entry.wished <= seen.limit.value_or(MilliCpu{}) || now - entry.wished_at >= kWishLife) {
    entry.wished = {};
  }
  seen.wished = entry.wished;

  Nanoseconds used{};
  std::uint64_t throttled = entry.throttled;
  if (programs_) {
    const bpf::CpuSample sample = programs_->read_sample(tracked.slot);
    used = sample.used;
    throttled = sample.periods_throttled;
    if (max) seen.peak = use_of(sample.peak, max->period);
  } else if (const auto stat = tracked.files.read_stat()) {
    used = stat->usage;
    throttled = stat->throttled.value_or(0);
    if (throttled > entry.throttled) {
      reaction_->send({.kind = CpuCommand::Kind::kWatch, .tracked = &entry.tracked});
    }
  }
  if (entry.at && now > *entry.at) {
    seen.use = use_of(used - entry.used, now - *entry.at);
    seen.throttled = throttled - std::min(throttled, entry.throttled);
    throttled_periods_ += seen.throttled;
  }
  entry.at = now;
  entry.used = used;
  entry.throttled = throttled;
  return seen;
}

void CpuEngine::observe(Snapshot& snapshot) {
  granted_before_ = reaction_->granted();
  observe_node(snapshot);
  if (programs_) (void)programs_->sweep();
  for (ContainerSnapshot& container : snapshot.containers) {
    if (Entry* entry = find(container.slot)) container.cpu = observe_one(*entry, snapshot.now);
  }
}

void CpuEngine::apply(const CpuPlan& plan, MonotonicTime now, std::vector<Record>& records) {
  for (const CpuArming& arming : plan.arming) {
    Entry& entry = *entries_[arming.slot];
    if (entry.armed == arming.armed) continue;
    const bool sent = reaction_->send(
        {.kind = CpuCommand::Kind::kArm, .tracked = &entry.tracked, .armed = arming.armed});
    if (sent) entry.armed = arming.armed;
    if (!arming.armed.denial) entry.told.reset();
  }
  for (const CpuAction& action : plan.lowers) {
    reaction_->send({.kind = CpuCommand::Kind::kLower,
                     .tracked = &entries_[action.slot]->tracked,
                     .limit = action.to,
                     .reason = action.reason});
  }
  for (const CpuAction& action : plan.wishes) {
    records.push_back(
        {.kind = Record::Kind::kWish,
         .slot = action.slot,
         .id = action.id,
         .at = now,
         .reason = action.reason,
         .cpu = CpuChange{.facts = {.limit = action.from}, .from = action.from, .to = action.to}});
  }
  // With it events are answered again.
  reaction_->send({.kind = CpuCommand::Kind::kBudget,
                   .budget = plan.budget,
                   .granted_before = granted_before_});
  // What was denied, or what somebody else has undone.
  for (const std::unique_ptr<Entry>& entry : entries_) {
    if (entry == nullptr || entry->leaving || !entry->seen) continue;
    if (entry->kept <= cgroup::cpus_of(*entry->seen).value_or(entry->kept)) continue;
    reaction_->send({.kind = CpuCommand::Kind::kKeep,
                     .tracked = &entry->tracked,
                     .limit = entry->kept,
                     .reason = entry->kept_for});
  }
}

void CpuEngine::take_reports(std::vector<Record>& records) {
  while (const std::optional<CpuReport> report = reaction_->receive()) {
    const Slot slot = report->tracked->slot;
    Entry& entry = *entries_[slot];
    if (report->kind == CpuReport::Kind::kUntracked) {
      if (programs_) programs_->untrack(slot);
      entries_[slot].reset();
      continue;
    }
    Record record{.kind = Record::Kind::kGrant,
                  .slot = slot,
                  .id = entry.id,
                  .at = report->written_time,
                  .layer = report->layer,
                  .reason = report->reason,
                  .reaction = report->written_time - report->event_time,
                  .cpu = CpuChange{.facts = report->facts,
                                   .from = report->from,
                                   .to = report->to,
                                   .burst = report->burst}};
    switch (report->kind) {
      case CpuReport::Kind::kGrant:
        ++entry.raises;
        entry.told.reset();
        break;
      case CpuReport::Kind::kLowered:
        record.kind = Record::Kind::kShrink;
        break;
      case CpuReport::Kind::kWish:
        record.kind = Record::Kind::kWish;
        entry.wished = std::max(report->to, entry.wished);
        entry.wished_at = report->event_time;
        break;
      case CpuReport::Kind::kDenial:
        record.kind = Record::Kind::kDenial;
        if (report->reason == Reason::kBudget || report->reason == Reason::kPriority) {
          entry.starved = std::max(entry.starved, report->to - report->from);
        }
        // Tried again at every tick, and told once.
        if (std::exchange(entry.told, report->reason) == report->reason) continue;
        break;
      default:
        record.kind = Record::Kind::kFailure;
        record.error = std::error_code(report->error, std::generic_category()).message();
    }
    records.push_back(std::move(record));
  }
}

}  // namespace plimsoll::agent
