// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/engine.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "agent/engine/observe.h"
#include "cgroup/meminfo.h"

namespace plimsoll::agent {
namespace {

void take_kills(const bpf::MemoryPrograms& programs, TrackedCgroup& tracked,
                std::vector<Record>& records) {
  const bpf::Kills kills = programs.kills(tracked.slot);
  for (; tracked.kills < kills.total; ++tracked.kills) {
    records.push_back({.kind = Record::Kind::kOomKill,
                       .slot = tracked.slot,
                       .id = tracked.id,
                       .at = kills.last,
                       .facts = MemoryFacts{.limit = kills.limit, .usage = kills.usage}});
  }
}

}  // namespace

Engine::Engine(const EngineConfig& config) : config_(config), slots_(bpf::kMaxSlots) {}

// Tried, not guessed: a program that loads and attaches is the only proof.
Result<void> Engine::load_programs() {
  if (config_.tier == bpf::Tier::kC) return {};
  auto programs = bpf::MemoryPrograms::load(config_.hold);
  if (programs) {
    programs_ = std::make_unique<bpf::MemoryPrograms>(std::move(*programs));
    return {};
  }
  if (config_.tier) return tl::unexpected(programs.error());
  tier_refusals_ = "tier A: " + programs.error().message + "\n";
  return {};
}

Result<std::unique_ptr<Engine>> Engine::start(const EngineConfig& config) {
  std::unique_ptr<Engine> engine(new Engine(config));
  if (auto loaded = engine->load_programs(); !loaded) return tl::unexpected(loaded.error());
  ::malloc_trim(
      0);  // the reaction thread locks what is in memory: libbpf has read the kernel's BTF
  auto reaction =
      MemoryReaction::start(config.policy.memory, engine->programs_.get(), config.own_threads);
  if (!reaction) return tl::unexpected(reaction.error());
  engine->reaction_ = std::move(*reaction);
  engine->actuator_.emplace(engine->slots_, *engine->reaction_);
  return engine;
}

Engine::~Engine() {
  // The threads first: they use the files and the programs.
  cpu_.reset();
  reaction_.reset();
  programs_.reset();
}

Result<Slot> Engine::track(cgroup::Group group, const ContainerSpec& spec) {
  const std::optional<Slot> slot = slots_.free_slot();
  if (!slot) {
    ++refused_;
    return fail(Code::kDenied, "all " + std::to_string(slots_.size()) +
                                   " slots are taken: this cgroup is not watched");
  }
  if (spec.group >= kMaxGroups) return fail(Code::kMalformed, "no such budget group");
  auto limit_file = cgroup::LimitFile::open_max(group);
  if (!limit_file) return tl::unexpected(limit_file.error());
  auto reaction_file = cgroup::LimitFile::open_max(group);
  if (!reaction_file) return tl::unexpected(reaction_file.error());
  auto usage_file = cgroup::UsageFile::open(group);
  if (!usage_file) return tl::unexpected(usage_file.error());
  const CgroupId id = group.id();
  auto tracked =
      std::make_unique<TrackedCgroup>(TrackedCgroup{.slot = *slot,
                                                    .epoch = slots_.next_epoch(),
                                                    .id = id,
                                                    .group = std::move(group),
                                                    .limit_file = std::move(*limit_file),
                                                    .reaction_file = std::move(*reaction_file),
                                                    .usage_file = std::move(*usage_file),
                                                    .spec = spec});
  if (const auto events = tracked->group.read_memory_events()) {
    tracked->oom_kills = events->oom_kill;
  }
  if (auto told = tell_threads(*tracked); !told) return tl::unexpected(told.error());
  TrackedCgroup& put = slots_.put(std::move(tracked));
  if (!spec.cpu) return *slot;
  auto cpu = start_cpu();
  if (cpu) cpu = cpu_->track(put);
  if (cpu) return *slot;
  untrack(put);
  return tl::unexpected(cpu.error());
}

// The kernel's programs and the reaction thread; or neither.
Result<void> Engine::tell_threads(TrackedCgroup& tracked) {
  const std::optional<Limit> limit = tracked.limit_file.read();
  if (!limit) return fail(Code::kGone, tracked.group.name_of("memory.max") + " cannot be read");
  if (programs_) {
    const auto id =
        programs_->track(tracked.slot, tracked.epoch, tracked.group.fd().get(), thresholds());
    if (!id) return tl::unexpected(id.error());
  } else {
    auto signals = FallbackSignals::open(tracked.group, *limit);
    if (!signals) return tl::unexpected(signals.error());
    tracked.signals.emplace(std::move(*signals));
  }
  const bool sent = reaction_->send(
      memory_command::Track{.tenant = tracked.tenant(),
                            .limit_file = &tracked.reaction_file,
                            .signals = tracked.signals ? &*tracked.signals : nullptr,
                            .parent = tracked.spec.parent,
                            .armed = {.bounds = tracked.spec.bounds, .denial = Reason::kNotArmed}});
  if (sent) return {};
  if (programs_) programs_->untrack(tracked.slot);
  return fail(Code::kUnavailable, "the reaction thread's queue is full");
}

Result<void> Engine::start_cpu() {
  if (cpu_) return {};
  auto cpu = CpuEngine::start(config_.policy.cpu, programs_ != nullptr, reaction_->report_wakeup(),
                              slots_, config_.own_threads);
  if (!cpu) return tl::unexpected(cpu.error());
  cpu_ = std::move(*cpu);
  cpu_->set_allocatable(allocatable_cpu_);
  return {};
}

void Engine::set_allocatable_cpu(std::optional<MilliCpu> allocatable) {
  allocatable_cpu_ = allocatable;
  if (cpu_) cpu_->set_allocatable(allocatable);
}

void Engine::untrack(Slot slot) {
  if (TrackedCgroup* tracked = slots_.find(slot)) untrack(*tracked);
}

// Also once more, where an order or a report was lost: asked again, the end of a slot is said
// again.
void Engine::untrack(TrackedCgroup& tracked) {
  tracked.leaving = true;
  if (cpu_) cpu_->untrack(tracked);
  if (tracked.let_go) return;
  reaction_->send(memory_command::Untrack{tracked.tenant()});
}

Result<TrackedCgroup*> Engine::find(Slot slot) const {
  TrackedCgroup* tracked = slots_.find(slot);
  if (tracked == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  return tracked;
}

Result<TrackedCgroup*> Engine::find_cpu(Slot slot) const {
  auto found = find(slot);
  if (found && ((*found)->cpu == nullptr || !(*found)->spec.cpu)) {
    return fail(Code::kGone, "its CPU limit is left alone");
  }
  return found;
}

Result<void> Engine::update(Slot slot, const ContainerSpec& spec) {
  auto tracked = find(slot);
  if (!tracked) return tl::unexpected(tracked.error());
  if (spec.group >= kMaxGroups) return fail(Code::kMalformed, "no such budget group");
  const ContainerSpec before = (*tracked)->spec;
  if (auto updated = actuator_->update(**tracked, spec); !updated) return updated;
  (*tracked)->is_new |= before != spec;
  const bool cpu_changes = before.cpu != spec.cpu || before.parent != spec.parent;
  if (!cpu_changes || !find_cpu(slot)) return {};
  return cpu_->update(**tracked);
}

Result<Bytes> Engine::lower(Slot slot, Bytes to, Reason reason) {
  return find(slot).and_then(
      [&](TrackedCgroup* tracked) { return actuator_->lower(*tracked, to, reason, records_); });
}

Result<void> Engine::raise(Slot slot, Bytes to, Reason reason) {
  return find(slot).and_then(
      [&](const TrackedCgroup* tracked) { return actuator_->raise(*tracked, to, reason); });
}

Result<void> Engine::raise(Slot slot, MilliCpu to, Reason reason) {
  return find_cpu(slot).and_then(
      [&](const TrackedCgroup* tracked) { return cpu_->raise(*tracked, to, reason); });
}

Result<void> Engine::lower(Slot slot, MilliCpu to, Reason reason) {
  return find_cpu(slot).and_then(
      [&](const TrackedCgroup* tracked) { return cpu_->lower(*tracked, to, reason); });
}

Result<void> Engine::raise_ahead(Slot slot, MilliCpu to, Reason reason) {
  return find_cpu(slot).and_then(
      [&](const TrackedCgroup* tracked) { return cpu_->raise_ahead(*tracked, to, reason); });
}

Result<void> Engine::keep(Slot slot, MilliCpu to, Reason reason) {
  return find_cpu(slot).and_then(
      [&](TrackedCgroup* tracked) { return cpu_->keep(*tracked, to, reason); });
}

Result<void> Engine::announce(Slot slot, std::optional<Bytes> to) {
  return find(slot).map([&](TrackedCgroup* tracked) { actuator_->announce(*tracked, to); });
}

void Engine::forget_wish(Slot slot) {
  if (const auto tracked = find(slot)) actuator_->forget_wish(**tracked);
}

void Engine::forget_cpu_wish(Slot slot) {
  if (const auto tracked = find_cpu(slot)) cpu_->forget_wish(**tracked);
}

void Engine::set_group_limit(BudgetGroup group, std::optional<Limit> limit) {
  if (group == kNoGroup || group >= kMaxGroups) return;
  if (limit) {
    group_limits_.insert_or_assign(group, *limit);
  } else {
    group_limits_.erase(group);
  }
}

void Engine::reconfigure(const Policy& policy) {
  const bool same_memory = policy.memory == config_.policy.memory;
  policy_is_sent_ &= same_memory;
  cpu_policy_is_sent_ &= policy.cpu == config_.policy.cpu;
  config_.policy = policy;
  send_policies();
  if (same_memory || !programs_) return;
  slots_.each(
      [&](const TrackedCgroup& tracked) { programs_->set_thresholds(tracked.slot, thresholds()); });
}

void Engine::send_policies() {
  if (!policy_is_sent_) policy_is_sent_ = reaction_->configure(config_.policy.memory);
  if (!cpu_policy_is_sent_) cpu_policy_is_sent_ = !cpu_ || cpu_->configure(config_.policy.cpu);
}

bpf::Thresholds Engine::thresholds() const {
  const MemoryPolicy& policy = config_.policy.memory;
  return {.predict = policy.predict, .watermark = policy.watermark, .horizon = policy.horizon};
}

Snapshot Engine::observe(MonotonicTime now) {
  Snapshot snapshot{.now = now, .groups = group_limits_};
  if (const auto meminfo = cgroup::read_meminfo()) {
    snapshot.node = {.total = meminfo->total, .available = meminfo->available};
  }
  snapshot.node.allocatable = allocatable_;
  std::uint64_t lost = reaction_->reports_lost();
  if (programs_) {
    (void)programs_->sweep();
    lost += programs_->lost();
  }
  snapshot.lost_events = lost - lost_total_;
  lost_total_ = lost;
  slots_.each([&](TrackedCgroup& tracked) {
    if (auto seen = agent::observe(tracked, programs_.get(), now)) {
      snapshot.containers.push_back(*seen);
    } else {
      untrack(tracked);
    }
  });
  if (cpu_) cpu_->observe(snapshot);
  return snapshot;
}

std::vector<Record> Engine::tick(MonotonicTime now) {
  std::vector<Record> records;
  actuator_->count_grants(group_limits_);
  take_reports(records);
  send_policies();
  slots_.each_leaving([&](TrackedCgroup& tracked) { untrack(tracked); });
  snapshot_ = observe(now);
  Decision decision = decide(snapshot_, config_.policy, std::move(history_));
  history_ = std::move(decision.history);
  plan_ = std::move(decision.plan);
  if (cpu_) cpu_->apply(plan_.cpu, now, records);
  actuator_->apply(plan_, snapshot_, records);
  slots_.each([](TrackedCgroup& tracked) { tracked.is_new = false; });
  return records;
}

void Engine::observe_new(Snapshot& seen) {
  // Whoever has left, and perhaps somebody else has its slot.
  std::erase_if(seen.containers, [&](const ContainerSnapshot& each) {
    const TrackedCgroup* tracked = slots_.find(each.slot);
    return tracked == nullptr || tracked->id != each.id;
  });
  slots_.each([&](TrackedCgroup& tracked) {
    if (!tracked.is_new) return;
    const auto known =
        std::find_if(seen.containers.begin(), seen.containers.end(),
                     [&](const ContainerSnapshot& each) { return each.slot == tracked.slot; });
    if (known != seen.containers.end()) {
      take_spec(tracked, *known);
    } else if (auto one = agent::observe(tracked, programs_.get(), seen.now)) {
      if (cpu_) cpu_->observe(tracked, seen.now, *one);
      seen.containers.push_back(*one);
    }
  });
}

std::vector<Record> Engine::arm(MonotonicTime now) {
  std::vector<Record> records;
  bool any = false;
  slots_.each([&](const TrackedCgroup& tracked) { any |= tracked.is_new; });
  if (!any) return records;
  Snapshot seen = snapshot_;
  seen.now = now;
  seen.groups = group_limits_;
  actuator_->count_grants(group_limits_, true);
  if (cpu_ && !seen.node.cpu) cpu_->observe_node(seen);  // started since
  observe_new(seen);
  // What it would have done, it has done or will do at the tick; the history is that of the ticks.
  Plan plan = decide(seen, config_.policy, history_).plan;
  plan.actions.clear();
  plan.wishes.clear();
  plan.cpu.lowers.clear();
  plan.cpu.wishes.clear();
  if (cpu_) cpu_->arm_new(plan.cpu);
  actuator_->send_budgets(plan);
  for (const Arming& arming : plan.arming) {
    TrackedCgroup& tracked = *slots_.find(arming.slot);
    if (std::exchange(tracked.is_new, false)) actuator_->arm(arming, now, records);
  }
  snapshot_ = std::move(seen);
  plan_ = std::move(plan);
  return records;
}

void Engine::react() {
  reaction_->obey_all();
  slots_.each([&](const TrackedCgroup& tracked) { reaction_->look_at(tracked.slot); });
  if (cpu_) cpu_->react();
}

void Engine::stop_writing() {
  if (cpu_) cpu_->stop_writing();
  reaction_->stop();
}

void Engine::hold_on(MonotonicTime now) {
  if (programs_) programs_->beat(now);
}

std::vector<Record> Engine::collect() {
  std::vector<Record> records;
  take_reports(records);
  return records;
}

void Engine::take_reports(std::vector<Record>& records) {
  records.insert(records.end(), records_.begin(), records_.end());
  records_.clear();
  // Before a slot is given back: a container that was killed is often gone at once.
  const auto take = [&](TrackedCgroup& tracked) { take_kills(*programs_, tracked, records); };
  if (programs_) {
    slots_.each(take);
    slots_.each_leaving(take);
  }
  while (const std::optional<Report> report = reaction_->receive()) {
    TrackedCgroup* tracked = slots_.find(report->tenant);
    if (tracked == nullptr) continue;
    if (report->kind != Report::Kind::kUntracked) {
      actuator_->take_report(*report, config_.policy.memory, *tracked, records);
    } else if (!std::exchange(tracked->let_go, true)) {
      if (programs_) programs_->untrack(tracked->slot);
      slots_.free_if_let_go(*tracked);
    }
  }
  if (cpu_) cpu_->take_reports(records);
}

std::optional<bpf::MemorySample> Engine::sample(Slot slot) {
  if (!programs_) return std::nullopt;
  return programs_->read_sample(slot);
}

EngineStatus Engine::status() const {
  EngineStatus status{.tier = programs_ ? bpf::Tier::kA : bpf::Tier::kC,
                      .tier_refusals = tier_refusals_,
                      .quality = reaction_->quality(),
                      .beat = reaction_->beat(),
                      .kernel = std::nullopt,
                      .lost = lost_total_,
                      .reports_lost = reaction_->reports_lost(),
                      .malformed_events = programs_ ? programs_->malformed() : 0,
                      .refused = refused_,
                      .slots_in_use = slots_.in_use(),
                      .cpu = std::nullopt};
  if (programs_) status.kernel = programs_->counters();
  if (cpu_) status.cpu = cpu_->status();
  return status;
}

}  // namespace plimsoll::agent
