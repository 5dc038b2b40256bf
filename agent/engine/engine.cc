// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/engine.h"

#include <malloc.h>

#include <algorithm>
#include <utility>

#include "agent/engine/tracked_cgroup.h"

namespace plimsoll::agent {

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

Engine::Engine(const EngineConfig& config) : config_(config), tracked_(bpf::kMaxSlots) {}

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

Result<std::unique_ptr<Engine>> Engine::start(const EngineConfig& config) {
  std::unique_ptr<Engine> engine(new Engine(config));
  if (auto loaded = engine->load_programs(); !loaded) return tl::unexpected(loaded.error());
  ::malloc_trim(
      0);  // the reaction thread locks what is in memory: libbpf has read the kernel's BTF
  auto reaction = MemoryReaction::start(config.policy.memory, engine->programs_.get());
  if (!reaction) return tl::unexpected(reaction.error());
  engine->reaction_ = std::move(*reaction);
  return engine;
}

Engine::~Engine() {
  // The threads first: they use the files and the programs.
  cpu_.reset();
  reaction_.reset();
  programs_.reset();
}

Result<Slot> Engine::track(cgroup::Group group, const ContainerSpec& spec) {
  auto free = tracked_.begin();
  while (free != tracked_.end() && !is_free(static_cast<Slot>(free - tracked_.begin()))) ++free;
  if (free == tracked_.end()) {
    ++refused_;
    return fail(Code::kDenied, "all " + std::to_string(tracked_.size()) +
                                   " slots are taken: this cgroup is not watched");
  }
  if (spec.group >= kMaxGroups) return fail(Code::kMalformed, "no such budget group");
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
  if (tier_ != bpf::Tier::kA) {
    auto signals = FallbackSignals::open(tracked->group, *limit);
    if (!signals) return tl::unexpected(signals.error());
    tracked->signals.emplace(std::move(*signals));
  }
  if (programs_) {
    const auto id = programs_->track(slot, tracked->epoch, tracked->group.fd().get(), thresholds());
    if (!id) return tl::unexpected(id.error());
  }
  const bool sent =
      reaction_->send({.kind = Command::Kind::kTrack,
                       .slot = slot,
                       .epoch = tracked->epoch,
                       .limit_file = &tracked->limit_file,
                       .signals = tracked->signals ? &*tracked->signals : nullptr,
                       .parent = spec.parent,
                       .armed = {.bounds = spec.bounds, .denial = Reason::kNotArmed}});
  if (!sent) {
    if (programs_) programs_->untrack(slot);
    return fail(Code::kUnavailable, "the reaction thread's queue is full");
  }
  *free = std::move(tracked);
  if (auto cpu = track_cpu(slot); !cpu) {
    untrack(slot);
    return tl::unexpected(cpu.error());
  }
  return slot;
}

bool Engine::is_free(Slot slot) const {
  return tracked_[slot] == nullptr && (!cpu_ || cpu_->is_free(slot));
}

Result<void> Engine::start_cpu() {
  if (cpu_) return {};
  auto cpu =
      CpuEngine::start(config_.policy.cpu, tier_ != bpf::Tier::kC, reaction_->report_wakeup());
  if (!cpu) return tl::unexpected(cpu.error());
  cpu_ = std::move(*cpu);
  cpu_->set_allocatable(allocatable_cpu_);
  return {};
}

Result<void> Engine::track_cpu(Slot slot) {
  const Tracked& tracked = *tracked_[slot];
  if (!tracked.spec.cpu) return {};
  if (auto started = start_cpu(); !started) return started;
  return cpu_->track(slot, tracked.epoch, tracked.group, *tracked.spec.cpu, tracked.spec.parent);
}

void Engine::set_allocatable_cpu(std::optional<MilliCpu> allocatable) {
  allocatable_cpu_ = allocatable;
  if (cpu_) cpu_->set_allocatable(allocatable);
}

void Engine::untrack(Slot slot) {
  Tracked* tracked = slot < tracked_.size() ? tracked_[slot].get() : nullptr;
  if (tracked == nullptr || tracked->leaving) return;
  if (cpu_) cpu_->untrack(slot);
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

Engine::Tracked* Engine::find(Slot slot) const {
  Tracked* tracked = slot < tracked_.size() ? tracked_[slot].get() : nullptr;
  return tracked == nullptr || tracked->leaving ? nullptr : tracked;
}

Result<void> Engine::update(Slot slot, const ContainerSpec& spec) {
  Tracked* tracked = find(slot);
  if (tracked == nullptr) return fail(Code::kGone, "nothing is tracked in this slot");
  if (spec.group >= kMaxGroups) return fail(Code::kMalformed, "no such budget group");
  const ContainerSpec before = std::exchange(tracked->spec, spec);
  if (cpu_ && spec.cpu && (before.cpu != spec.cpu || before.parent != spec.parent)) {
    if (auto updated = cpu_->update(slot, *spec.cpu, spec.parent); !updated) return updated;
  }
  if (before.parent != spec.parent) {
    const bool sent = reaction_->send({.kind = Command::Kind::kParent,
                                       .slot = slot,
                                       .epoch = tracked->epoch,
                                       .parent = spec.parent});
    if (!sent) {
      tracked->spec.parent = before.parent;
      return fail(Code::kUnavailable, "the reaction thread's queue is full");
    }
  }
  if (!tracked->armed) return {};
  Armed armed = *tracked->armed;
  armed.bounds = narrowed(armed.bounds, spec.bounds);
  armed.bridge_within = spec.bridge_within;
  armed.look_ahead = spec.look_ahead;
  armed.group = spec.group;
  if (armed == *tracked->armed) return {};
  const bool sent = reaction_->send(
      {.kind = Command::Kind::kArm, .slot = slot, .epoch = tracked->epoch, .armed = armed});
  if (!sent) return fail(Code::kUnavailable, "the reaction thread's queue is full");
  tracked->armed = armed;
  return {};
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
  if (cpu_ && policy.cpu != config_.policy.cpu) cpu_->reconfigure(policy.cpu);
  const bool same_memory = policy.memory == config_.policy.memory;
  config_.policy = policy;
  if (same_memory) return;
  send_policy();
  for (Slot slot = 0; programs_ && slot < tracked_.size(); ++slot) {
    if (tracked_[slot] != nullptr) programs_->set_thresholds(slot, thresholds());
  }
}

// The reaction thread copies it, and says so: until then it stays where it is.
void Engine::send_policy() {
  policies_.push_back(config_.policy.memory);
  policy_is_sent_ =
      reaction_->send({.kind = Command::Kind::kConfigure, .policy = &policies_.back()});
  if (!policy_is_sent_) policies_.pop_back();
}

bpf::Thresholds Engine::thresholds() const {
  const MemoryPolicy& policy = config_.policy.memory;
  return {.predict = policy.predict, .watermark = policy.watermark, .horizon = policy.horizon};
}

std::vector<Record> Engine::tick(MonotonicTime now) {
  std::vector<Record> records;
  // Before the reports, and both before the limits are read: what is counted here is seen there.
  granted_before_ = reaction_->granted();
  for (const auto& [group, limit] : group_limits_) {
    group_granted_before_[group] = reaction_->granted(group);
  }
  take_reports(records);
  if (!policy_is_sent_) send_policy();
  // A report that was lost may have been the end of a slot: asked again, it is said again.
  for (Slot slot = 0; slot < tracked_.size(); ++slot) {
    if (tracked_[slot] == nullptr || !tracked_[slot]->leaving) continue;
    reaction_->send(
        {.kind = Command::Kind::kUntrack, .slot = slot, .epoch = tracked_[slot]->epoch});
  }
  snapshot_ = observe(now);
  Decision decision = decide(snapshot_, config_.policy, std::move(history_));
  history_ = std::move(decision.history);
  plan_ = std::move(decision.plan);
  apply(now, records);
  return records;
}

std::vector<Record> Engine::collect() {
  std::vector<Record> records;
  take_reports(records);
  return records;
}

std::optional<bpf::Counters> Engine::counters() const {
  if (!programs_) return std::nullopt;
  return programs_->counters();
}

std::optional<bpf::MemorySample> Engine::sample(Slot slot) {
  if (!programs_) return std::nullopt;
  return programs_->read_sample(slot);
}

}  // namespace plimsoll::agent
