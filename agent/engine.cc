// SPDX-License-Identifier: Apache-2.0
#include "agent/engine.h"

#include <poll.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <system_error>
#include <utility>

#include "agent/fallback_signals.h"
#include "cgroup/limit_file.h"
#include "cgroup/meminfo.h"

namespace plimsoll::agent {

struct Engine::Tracked {
  cgroup::Group group;
  cgroup::LimitFile limit_file;
  ContainerSpec spec;
  std::uint32_t epoch = 0;
  CgroupId id{};
  bool can_reclaim = true;
  std::optional<FallbackSignals> signals;  // tiers B and C
  cgroup::UsageFile usage_file;

  std::optional<Armed> armed;     // as last sent; absent: to be sent again
  std::optional<Bytes> observed;  // the limit as last sent
  std::optional<Reason> told;     // the denial that a record has told of
  std::uint32_t grants = 0;       // since the last tick
  std::uint64_t reclaims = 0;     // as of the last tick
  std::uint64_t oom_kills = 0;
  bool gone = false;
  bool leaving = false;  // untracked; waits for the reaction thread to let go

  // The files that are read only when something happens; totals and when they were read.
  std::optional<MonotonicTime> files_at;
  std::uint64_t refaults = 0;
  std::uint64_t activations = 0;
  Nanoseconds stalled{};
};

std::string_view to_string(Record::Kind kind) {
  switch (kind) {
    case Record::Kind::kGrant:
      return "grant";
    case Record::Kind::kShrink:
      return "shrink";
    case Record::Kind::kReclaim:
      return "reclaim";
    case Record::Kind::kDenial:
      return "denial";
    case Record::Kind::kFailure:
      return "failure";
    case Record::Kind::kOomKill:
      return "oom_kill";
    case Record::Kind::kWish:
      return "wish";
  }
  return "unknown";
}

Engine::Engine(const Config& config) : config_(config), tracked_(bpf::kMaxSlots) {}

// Tried, not guessed: a program that loads and attaches is the only proof.
Result<void> Engine::load_programs() {
  for (const bpf::Tier tier : {bpf::Tier::kA, bpf::Tier::kB}) {
    if (config_.tier && *config_.tier != tier) continue;
    auto programs = bpf::MemoryPrograms::load(tier, config_.hold);
    if (programs) {
      programs_ = std::make_unique<bpf::MemoryPrograms>(std::move(*programs));
      tier_ = tier;
      return {};
    }
    if (config_.tier) return tl::unexpected(programs.error());
    tier_refusals_ +=
        "tier " + std::string(bpf::to_string(tier)) + ": " + programs.error().message + "\n";
  }
  return {};
}

Result<std::unique_ptr<Engine>> Engine::start(const Config& config) {
  std::unique_ptr<Engine> engine(new Engine(config));
  if (auto loaded = engine->load_programs(); !loaded) return tl::unexpected(loaded.error());
  auto reaction = Reaction::start(config.policy.memory, engine->programs_.get());
  if (!reaction) return tl::unexpected(reaction.error());
  engine->reaction_ = std::move(*reaction);
  return engine;
}

Engine::~Engine() {
  // The thread first: it uses the files and the programs.
  reaction_.reset();
  programs_.reset();
}

Result<Slot> Engine::track(cgroup::Group group, const ContainerSpec& spec) {
  const auto free = std::find(tracked_.begin(), tracked_.end(), nullptr);
  if (free == tracked_.end()) return fail(Code::kDenied, "more cgroups than there are slots");
  const Slot slot = static_cast<Slot>(free - tracked_.begin());

  auto limit_file = cgroup::LimitFile::open_max(group);
  if (!limit_file) return tl::unexpected(limit_file.error());
  auto usage_file = cgroup::UsageFile::open(group);
  if (!usage_file) return tl::unexpected(usage_file.error());
  const std::optional<Limit> limit = limit_file->read();
  if (!limit) return fail(Code::kGone, group.name_of("memory.max") + " cannot be read");
  auto tracked = std::unique_ptr<Tracked>(new Tracked{.group = std::move(group),
                                                      .limit_file = std::move(*limit_file),
                                                      .spec = spec,
                                                      .epoch = next_epoch_++,
                                                      .usage_file = std::move(*usage_file)});
  tracked->id = tracked->group.id();
  if (const auto events = tracked->group.read_memory_events()) {
    tracked->oom_kills = events->oom_kill;
  }
  if (programs_) {
    const auto id = programs_->track(
        slot, tracked->epoch, tracked->group.fd().get(),
        {.watermark = config_.policy.memory.watermark, .horizon = config_.policy.memory.horizon});
    if (!id) return tl::unexpected(id.error());
  }
  if (tier_ != bpf::Tier::kA) {
    auto signals = FallbackSignals::open(tracked->group, *limit);
    if (!signals) return tl::unexpected(signals.error());
    tracked->signals.emplace(std::move(*signals));
  }
  const bool sent = reaction_->send(
      {.kind = Command::Kind::kTrack,
       .slot = slot,
       .epoch = tracked->epoch,
       .limit_file = &tracked->limit_file,
       .signals = tracked->signals ? &*tracked->signals : nullptr,
       .parent = spec.parent,
       .armed = {.floor = spec.floor, .ceiling = spec.ceiling, .denial = Reason::kNotArmed},
       .limit = {limit->bytes}});
  if (!sent) {
    if (programs_) programs_->untrack(slot);
    return fail(Code::kUnavailable, "the reaction thread's queue is full");
  }
  *free = std::move(tracked);
  return slot;
}

void Engine::untrack(Slot slot) {
  Tracked* tracked = slot < tracked_.size() ? tracked_[slot].get() : nullptr;
  if (tracked == nullptr || tracked->leaving) return;
  tracked->leaving =
      reaction_->send({.kind = Command::Kind::kUntrack, .slot = slot, .epoch = tracked->epoch});
}

std::size_t Engine::slots_in_use() const {
  return tracked_.size() -
         static_cast<std::size_t>(std::count(tracked_.begin(), tracked_.end(), nullptr));
}

// The reaction thread has let go of the slot: its files may be closed.
void Engine::finish_untrack(Slot slot) {
  if (programs_) programs_->untrack(slot);
  tracked_[slot].reset();
}

Snapshot Engine::observe(MonotonicTime now) {
  Snapshot snapshot{.now = now};
  if (const auto meminfo = cgroup::read_meminfo()) {
    snapshot.node = {.total = meminfo->total, .available = meminfo->available};
  }
  std::uint64_t lost = reaction_->reports_lost();
  if (programs_) {
    (void)programs_->sweep();
    lost += programs_->counters().events_dropped + programs_->malformed();
  }
  snapshot.lost_events = lost - lost_total_;
  lost_total_ = lost;
  for (Slot slot = 0; slot < tracked_.size(); ++slot) {
    Tracked* tracked = tracked_[slot].get();
    if (tracked == nullptr || tracked->leaving) continue;
    if (auto seen = observe_one(slot, *tracked, now)) {
      snapshot.containers.push_back(*seen);
    } else {
      tracked->gone = true;
      untrack(slot);
    }
  }
  return snapshot;
}

std::optional<ContainerSnapshot> Engine::observe_one(Slot slot, Tracked& tracked,
                                                     MonotonicTime now) {
  const std::optional<Limit> limit = tracked.limit_file.read();
  if (!limit) return std::nullopt;
  ContainerSnapshot seen{.slot = slot,
                         .id = tracked.id,
                         .floor = tracked.spec.floor,
                         .ceiling = tracked.spec.ceiling,
                         .facts = {.limit = {limit->bytes}},
                         .oom_kills = tracked.oom_kills,
                         .grants = std::exchange(tracked.grants, 0),
                         .can_reclaim = tracked.can_reclaim,
                         .parent = tracked.spec.parent};
  bool busy = seen.facts.limit > tracked.spec.floor || !programs_;
  if (programs_) {
    const bpf::Sight sight = programs_->read_sight(slot);
    seen.facts.usage = sight.usage;
    seen.facts.reclaimable = sight.reclaimable;
    seen.facts.rate_per_second = sight.rate_per_second;
    seen.peak = sight.peak;
    busy = busy || sight.reclaims != tracked.reclaims;
    tracked.reclaims = sight.reclaims;
  }
  if (busy) {
    observe_files(tracked, seen, now);
  } else {
    tracked.files_at.reset();
  }
  return seen;
}

// memory.stat, memory.pressure and memory.events cost the kernel a flush of all per-CPU counters,
// so they are read only for a cgroup that has grown or is at its limit.
void Engine::observe_files(Tracked& tracked, ContainerSnapshot& seen, MonotonicTime now) {
  const auto stat = tracked.group.read_memory_stat();
  const auto pressure = tracked.group.read_memory_pressure();
  if (const auto events = tracked.group.read_memory_events()) {
    seen.oom_kills = tracked.oom_kills = events->oom_kill;
  }
  if (!programs_) {
    if (const auto usage = tracked.usage_file.read()) seen.facts.usage = *usage;
    if (stat) seen.facts.reclaimable = stat->inactive_file + stat->active_file;
  }
  if (!stat) return;
  const std::uint64_t refaults =
      stat->workingset_refault_anon.value_or(0) + stat->workingset_refault_file.value_or(0);
  const std::uint64_t activations =
      stat->workingset_activate_anon.value_or(0) + stat->workingset_activate_file.value_or(0);
  const Nanoseconds stalled = pressure ? pressure->some.total : Nanoseconds{};
  if (tracked.files_at && now > *tracked.files_at) {
    const double elapsed = std::chrono::duration<double>(now - *tracked.files_at).count();
    seen.refaults = refaults - std::min(refaults, tracked.refaults);
    seen.activations = activations - std::min(activations, tracked.activations);
    if (pressure) {
      seen.stall_ratio = std::clamp(
          std::chrono::duration<double>(stalled - tracked.stalled).count() / elapsed, 0.0, 1.0);
    }
  }
  tracked.files_at = now;
  tracked.refaults = refaults;
  tracked.activations = activations;
  tracked.stalled = stalled;
}

std::vector<Record> Engine::tick(MonotonicTime now) {
  std::vector<Record> records;
  take_reports(records);
  // A report that was lost may have been the end of a slot: asked again, it is said again.
  for (Slot slot = 0; slot < tracked_.size(); ++slot) {
    if (tracked_[slot] == nullptr || !tracked_[slot]->leaving) continue;
    reaction_->send(
        {.kind = Command::Kind::kUntrack, .slot = slot, .epoch = tracked_[slot]->epoch});
  }
  const Bytes granted_before = reaction_->granted();
  const Snapshot snapshot = observe(now);
  for (const ContainerSnapshot& seen : snapshot.containers) {
    Tracked& tracked = *tracked_[seen.slot];
    if (tracked.observed == seen.facts.limit) continue;
    const bool sent = reaction_->send({.kind = Command::Kind::kObserve,
                                       .slot = seen.slot,
                                       .epoch = tracked.epoch,
                                       .limit = seen.facts.limit,
                                       .at = now});
    if (sent) tracked.observed = seen.facts.limit;
  }
  Decision decision = decide(snapshot, config_.policy, std::move(history_));
  history_ = std::move(decision.history);
  apply(decision.plan, granted_before, now, records);
  return records;
}

std::vector<Record> Engine::collect() {
  std::vector<Record> records;
  take_reports(records);
  return records;
}

void Engine::apply(const Plan& plan, Bytes granted_before, MonotonicTime now,
                   std::vector<Record>& records) {
  reaction_->send(
      {.kind = Command::Kind::kBudget, .budget = plan.budget, .granted_before = granted_before});
  // What events may do comes before what may block.
  for (const Arming& arming : plan.arming) {
    Tracked& tracked = *tracked_[arming.slot];
    Armed armed = arming.armed;
    // The reaction thread compares limit and ceiling itself, and so it is armed as soon as the
    // limit is lowered, which this very plan may do.
    if (armed.denial == Reason::kCeiling) armed.denial.reset();
    if (tracked.armed == armed) continue;
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
  for (const Action& action : plan.actions) {
    switch (action.kind) {
      case ActionKind::kGrow:
        reaction_->send({.kind = Command::Kind::kRaise,
                         .slot = action.slot,
                         .epoch = tracked_[action.slot]->epoch,
                         .limit = action.to,
                         .at = now,
                         .reason = action.reason});
        break;
      case ActionKind::kReclaim:
        probe(action, now, records);
        break;
      case ActionKind::kShrink:
        lower(action, now, records);
        break;
    }
  }
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
// like any other.
void Engine::lower(const Action& action, MonotonicTime now, std::vector<Record>& records) {
  Tracked& tracked = *tracked_[action.slot];
  const std::uint64_t raises = reaction_->raises(action.slot);
  const std::optional<Limit> before = tracked.limit_file.read();
  if (!before || before->bytes != action.from.value) return;  // it grew since the decision
  const auto change = writer_.set_memory_max(tracked.group, limit_of(action.to));
  if (reaction_->raises(action.slot) != raises) {
    reaction_->send({.kind = Command::Kind::kRewrite, .slot = action.slot, .epoch = tracked.epoch});
    return;
  }
  Record record{.kind = Record::Kind::kShrink,
                .slot = action.slot,
                .id = action.id,
                .at = now,
                .reason = action.reason,
                .from = action.from,
                .to = action.to};
  if (!change) {
    record.kind = Record::Kind::kFailure;
    record.error = change.error().message;
  } else {
    reaction_->send({.kind = Command::Kind::kObserve,
                     .slot = action.slot,
                     .epoch = tracked.epoch,
                     .limit = {change->after.bytes},
                     .at = now});
    if (tracked.signals) tracked.signals->limit_changed({change->after.bytes});
  }
  records.push_back(std::move(record));
}

void Engine::take_reports(std::vector<Record>& records) {
  while (const std::optional<Report> report = reaction_->receive()) {
    Tracked* tracked = tracked_[report->slot].get();
    if (tracked == nullptr || tracked->epoch != report->epoch) continue;
    if (report->kind == Report::Kind::kUntracked) {
      finish_untrack(report->slot);
      continue;
    }
    Record record{.kind = Record::Kind::kGrant,
                  .slot = report->slot,
                  .id = tracked->id,
                  .at = report->written_time,
                  .layer = report->layer,
                  .reason = report->reason,
                  .facts = report->facts,
                  .from = report->facts.limit,
                  .to = report->to,
                  .reaction = report->written_time - report->event_time};
    if (report->kind == Report::Kind::kGrant) {
      ++tracked->grants;
    } else if (report->kind == Report::Kind::kDenial) {
      record.kind = Record::Kind::kDenial;
      tracked->armed.reset();  // the reaction thread has disarmed it: say again what it may
      tracked->told = report->reason;
    } else {
      record.kind = Record::Kind::kFailure;
      tracked->armed.reset();
      record.error = std::error_code(report->error, std::generic_category()).message();
    }
    records.push_back(std::move(record));
  }
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

std::optional<bpf::Counters> Engine::counters() const {
  if (!programs_) return std::nullopt;
  return programs_->counters();
}

std::optional<bpf::Sight> Engine::sight(Slot slot) {
  if (!programs_) return std::nullopt;
  return programs_->read_sight(slot);
}

}  // namespace plimsoll::agent
