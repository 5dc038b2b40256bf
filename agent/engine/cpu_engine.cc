// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/cpu_engine.h"

#include <algorithm>
#include <system_error>
#include <utility>

#include "cgroup/node_cpu.h"

namespace plimsoll::agent {

Result<std::unique_ptr<CpuEngine>> CpuEngine::start(const CpuPolicy& policy, bool use_programs,
                                                    const Wakeup& reports, SlotTable& slots,
                                                    bool own_thread) {
  std::unique_ptr<CpuEngine> engine(new CpuEngine(slots));
  if (use_programs) {
    auto programs = bpf::CpuPrograms::load();
    if (programs) {
      engine->programs_ = std::make_unique<bpf::CpuPrograms>(std::move(*programs));
    } else {
      engine->refusal_ = programs.error().message;
    }
  }
  auto reaction = CpuReaction::start(policy, engine->programs_.get(), reports, own_thread);
  if (!reaction) return tl::unexpected(reaction.error());
  engine->reaction_ = std::move(*reaction);
  return engine;
}

CpuEngine::~CpuEngine() {
  // The thread first: it uses the files and the programs.
  reaction_.reset();
}

Result<void> CpuEngine::send(const CpuCommand& command) {
  if (!reaction_->send(command)) {
    return fail(Code::kUnavailable, "the CPU thread's queue is full");
  }
  return {};
}

CpuTracked* CpuEngine::parent_of(const TrackedCgroup& tracked) const {
  const TrackedCgroup* parent = tracked.spec.parent ? slots_.find(*tracked.spec.parent) : nullptr;
  return parent == nullptr || parent->cpu == nullptr ? nullptr : &parent->cpu->thread;
}

Result<void> CpuEngine::track(TrackedCgroup& tracked) {
  auto files = cgroup::CpuFiles::open(tracked.group);
  if (!files) return tl::unexpected(files.error());
  const auto max = files->read_max();
  if (!max) return fail(Code::kGone, tracked.group.name_of("cpu.max") + " cannot be read");
  const microseconds burst = files->read_burst().value_or(microseconds{});
  if (programs_) {
    const auto id = programs_->track(tracked.slot, tracked.epoch, tracked.group.fd().get(), {});
    if (!id) return tl::unexpected(id.error());
  }
  std::unique_ptr<TrackedCpu> cpu(
      new TrackedCpu{.thread = {.files = std::move(*files),
                                .slot = tracked.slot,
                                .epoch = tracked.epoch,
                                .parent = parent_of(tracked),
                                .original = *max,
                                .armed = {.bounds = {.floor = tracked.spec.cpu->bounds.floor},
                                          .denial = Reason::kNotArmed},
                                .max = *max,
                                .burst = burst}});
  if (const auto stat = cpu->thread.files.read_stat()) cpu->throttled = stat->throttled.value_or(0);
  auto sent = send(cpu_command::Track{{&cpu->thread}});
  if (sent) {
    tracked.cpu = std::move(cpu);
  } else if (programs_) {
    programs_->untrack(tracked.slot);
  }
  return sent;
}

void CpuEngine::untrack(TrackedCgroup& tracked) {
  TrackedCpu* cpu = tracked.cpu.get();
  if (cpu == nullptr || cpu->leaving) return;
  cpu->leaving = send(cpu_command::Untrack{{&cpu->thread}}).has_value();
}

// The CPU thread has let go of it.
void CpuEngine::let_go(TrackedCgroup& tracked) {
  if (programs_) programs_->untrack(tracked.slot);
  tracked.cpu.reset();
  slots_.free_if_let_go(tracked);
}

Result<void> CpuEngine::update(TrackedCgroup& tracked) {
  TrackedCpu& cpu = *tracked.cpu;
  auto sent = send(cpu_command::Parent{&cpu.thread, parent_of(tracked)});
  // Narrower bounds hold at once.
  std::optional<CpuArmed>& known = cpu.standing.armed;
  if (!sent || !known || !tracked.spec.cpu) return sent;
  CpuArmed armed = *known;
  armed.bounds = narrowed(armed.bounds, tracked.spec.cpu->bounds);
  sent = send(cpu_command::Arm{&cpu.thread, armed});
  if (sent) known = armed;
  return sent;
}

Result<void> CpuEngine::raise(const TrackedCgroup& tracked, MilliCpu to, Reason reason) {
  if (to > direct_ceiling(tracked.spec.cpu->bounds)) {
    return fail(Code::kDenied, to_string(to) + " CPUs are above the direct ceiling");
  }
  return send(cpu_command::Raise{{&tracked.cpu->thread, to, reason}});
}

Result<void> CpuEngine::lower(const TrackedCgroup& tracked, MilliCpu to, Reason reason) {
  return send(cpu_command::Observe{{&tracked.cpu->thread}}).and_then([&] {
    return send(cpu_command::Lower{{&tracked.cpu->thread, to, reason}});
  });
}

// More than the node has is of no use to anybody.
MilliCpu CpuEngine::within_node(MilliCpu to) const {
  return node_cpus_ == MilliCpu{} ? to : std::min(to, node_cpus_);
}

Result<void> CpuEngine::raise_ahead(const TrackedCgroup& tracked, MilliCpu to, Reason reason) {
  return send(cpu_command::Ahead{{&tracked.cpu->thread, within_node(to), reason}});
}

Result<void> CpuEngine::keep(TrackedCgroup& tracked, MilliCpu to, Reason reason) {
  TrackedCpu& cpu = *tracked.cpu;
  to = within_node(to);
  if (cpu.kept == to) return {};
  auto sent = send(cpu_command::Keep{{&cpu.thread, to, reason}});
  if (!sent) return sent;
  cpu.kept = to;
  cpu.kept_for = reason;
  return {};
}

void CpuEngine::forget_wish(TrackedCgroup& tracked) {
  Standing<MilliCpu, CpuArmed>& standing = tracked.cpu->standing;
  if (standing.wished == MilliCpu{}) return;
  standing.wished = {};
  (void)send(cpu_command::Forget{{&tracked.cpu->thread}});
}

CpuStatus CpuEngine::status() const {
  std::uint64_t lost = reaction_->reports_lost();
  if (programs_) lost += programs_->lost();
  return {.refusal = refusal_, .throttled_periods = throttled_periods_, .lost = lost};
}

void CpuEngine::observe_node(Snapshot& snapshot) {
  const auto node = cgroup::read_node_cpu();
  if (!node) return;
  node_cpus_ = MilliCpu{std::uint64_t{node->cpus} * 1000};
  const Nanoseconds waited = cgroup::read_cpu_wait();
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

void CpuEngine::observe(Snapshot& snapshot) {
  granted_before_ = reaction_->granted();
  observe_node(snapshot);
  if (programs_) (void)programs_->sweep();
  for (ContainerSnapshot& container : snapshot.containers) {
    if (const TrackedCgroup* tracked = slots_.find(container.slot)) {
      observe(*tracked, snapshot.now, container);
    }
  }
}

void CpuEngine::observe(const TrackedCgroup& tracked, MonotonicTime now,
                        ContainerSnapshot& container) {
  if (!tracked.cpu || !tracked.spec.cpu) return;
  TrackedCpu& cpu = *tracked.cpu;
  const auto max = cpu.thread.files.read_max();
  const auto burst = cpu.thread.files.read_burst();
  CpuSnapshot& seen =
      container.cpu.emplace(CpuSnapshot{.bounds = tracked.spec.cpu->bounds,
                                        .promised = tracked.spec.cpu->promised,
                                        .raises = std::exchange(cpu.standing.grants, 0),
                                        .starved = std::exchange(cpu.standing.starved, {})});
  if (max) {
    seen.limit = cgroup::cpus_of(*max);
    // Never above the floor's quota: somebody else may bring the limit down to that, and the kernel
    // takes no quota below the burst.
    if (burst && max->quota && tracked.spec.cpu->may_burst) {
      seen.burst = std::min(*cgroup::cpu_max_of(seen.bounds.floor, max->period).quota, *max->quota);
    }
    if (cpu.seen && cpu.seen != max) {
      (void)send(cpu_command::Observe{{&cpu.thread}});
    }
    cpu.seen = max;
  }
  seen.wished = cpu.standing.waits_for(seen.limit.value_or(MilliCpu{}), now);

  Nanoseconds used{};
  std::uint64_t throttled = cpu.throttled;
  if (programs_) {
    const bpf::CpuSample sample = programs_->read_sample(tracked.slot);
    used = sample.used;
    throttled = sample.periods_throttled;
    if (max) seen.peak = use_of(sample.peak, max->period);
  } else if (const auto stat = cpu.thread.files.read_stat()) {
    used = stat->usage;
    throttled = stat->throttled.value_or(0);
    if (throttled > cpu.throttled) {
      (void)send(cpu_command::Watch{{&cpu.thread}});
    }
  }
  if (cpu.at && now > *cpu.at) {
    seen.use = use_of(used - cpu.used, now - *cpu.at);
    seen.throttled = throttled - std::min(throttled, cpu.throttled);
    throttled_periods_ += seen.throttled;
  }
  cpu.at = now;
  cpu.used = used;
  cpu.throttled = throttled;
}

void CpuEngine::arm(const CpuArming& arming) {
  TrackedCpu& cpu = *slots_.find(arming.slot)->cpu;
  if (cpu.standing.armed == arming.armed) return;
  if (send(cpu_command::Arm{&cpu.thread, arming.armed})) {
    cpu.standing.armed = arming.armed;
  }
  if (!arming.armed.denial) cpu.standing.told.reset();
}

// With it events are answered again.
void CpuEngine::send_budget(const CpuPlan& plan) {
  (void)send(cpu_command::Budget{plan.budget, granted_before_});
}

// What was denied, or what somebody else has undone.
void CpuEngine::keep_on(TrackedCpu& cpu) {
  if (!cpu.seen || cpu.kept <= cgroup::cpus_of(*cpu.seen).value_or(cpu.kept)) return;
  (void)send(cpu_command::Keep{{&cpu.thread, cpu.kept, cpu.kept_for}});
}

void CpuEngine::apply(const CpuPlan& plan, MonotonicTime now, std::vector<Record>& records) {
  for (const CpuArming& arming : plan.arming) arm(arming);
  for (const CpuAction& action : plan.lowers) {
    (void)send(
        cpu_command::Lower{{&slots_.find(action.slot)->cpu->thread, action.to, action.reason}});
  }
  for (const CpuAction& action : plan.wishes) {
    records.push_back({.kind = Record::Kind::kWish,
                       .slot = action.slot,
                       .id = action.id,
                       .at = now,
                       .reason = action.reason,
                       .facts = CpuFacts{.limit = action.from},
                       .change = CpuChange{action.from, action.to}});
  }
  send_budget(plan);
  slots_.each([&](TrackedCgroup& tracked) {
    if (tracked.cpu) keep_on(*tracked.cpu);
  });
}

void CpuEngine::arm_new(const CpuPlan& plan) {
  for (const CpuArming& arming : plan.arming) {
    const TrackedCgroup& tracked = *slots_.find(arming.slot);
    if (!tracked.is_new) continue;
    arm(arming);
    keep_on(*tracked.cpu);
  }
  send_budget(plan);
}

void CpuEngine::take_reports(std::vector<Record>& records) {
  const bool idle = reaction_->idle();
  while (const std::optional<CpuReport> report = reaction_->receive()) {
    TrackedCgroup& tracked = *slots_.find({report->tracked->slot, report->tracked->epoch});
    if (report->kind == CpuReport::Kind::kUntracked) {
      let_go(tracked);
      continue;
    }
    Record record{.kind = Record::Kind::kGrant,
                  .slot = tracked.slot,
                  .id = tracked.id,
                  .at = report->written_time,
                  .layer = report->layer,
                  .reason = report->reason,
                  .facts = report->facts,
                  .change = CpuChange{report->from, report->to},
                  .reaction = report->written_time - report->event_time,
                  .burst = report->burst};
    Standing<MilliCpu, CpuArmed>& standing = tracked.cpu->standing;
    switch (report->kind) {
      case CpuReport::Kind::kGrant:
        ++standing.grants;
        standing.told.reset();
        break;
      case CpuReport::Kind::kLowered:
        record.kind = Record::Kind::kShrink;
        break;
      case CpuReport::Kind::kWish:
        record.kind = Record::Kind::kWish;
        standing.wish(report->to, report->event_time);
        break;
      case CpuReport::Kind::kDenial:
        record.kind = Record::Kind::kDenial;
        if (report->reason == Reason::kBudget || report->reason == Reason::kPriority) {
          standing.starved = std::max(standing.starved, report->to - report->from);
        }
        // Tried again at every tick, and told once.
        if (std::exchange(standing.told, report->reason) == report->reason) continue;
        break;
      default:
        record.kind = Record::Kind::kFailure;
        record.error = std::error_code(report->error, std::generic_category()).message();
    }
    records.push_back(std::move(record));
  }
  // All was obeyed before the reports were fetched: who was told to leave and is still here has
  // left, and the report of it was lost.
  if (!idle) return;
  slots_.each_leaving([&](TrackedCgroup& tracked) {
    if (tracked.cpu && tracked.cpu->leaving) let_go(tracked);
  });
}

}  // namespace plimsoll::agent
