// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/announced_commands.h"

#include <algorithm>
#include <utility>

namespace plimsoll::agent {

static_assert(kCommandNameBytes == bpf::kCommandBytes);
namespace {

// The table of running commands is read again after this long, should an end have been missed
// without anybody having counted it.
constexpr Nanoseconds kCheckEvery = std::chrono::seconds(30);

// As the last tick saw it; nothing before the first.
const ContainerSnapshot* seen(const Engine& engine, Slot slot) {
  const std::vector<ContainerSnapshot>& all = engine.snapshot().containers;
  const auto found = std::find_if(all.begin(), all.end(), [&](const ContainerSnapshot& container) {
    return container.slot == slot;
  });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

Result<void> AnnouncedCommands::watch(Slot slot, const cgroup::Group& group,
                                      std::vector<AnnouncedCommand> commands,
                                      std::string workload) {
  for (const auto& [watch, container] : containers_) {
    if (container.slot == slot) return fail(Code::kConflict, "the slot is watched already");
  }
  if (!programs_) {
    auto programs = bpf::ExecPrograms::load();
    if (!programs) return tl::unexpected(programs.error());
    programs_ = std::make_unique<bpf::ExecPrograms>(std::move(*programs));
  }
  std::vector<std::string> names;
  names.reserve(commands.size());
  for (const AnnouncedCommand& command : commands) names.push_back(command.name);
  const std::uint32_t watch = next_watch_++;
  if (auto watched = programs_->watch(watch, group.fd().get(), names); !watched) {
    return tl::unexpected(watched.error());
  }
  Container& container = containers_[watch];
  container.slot = slot;
  container.workload = std::move(workload);
  for (AnnouncedCommand& command : commands) {
    container.commands.push_back({.command = std::move(command)});
  }
  return {};
}

void AnnouncedCommands::unwatch(Engine& engine, Slot slot, MonotonicTime now) {
  for (auto each = containers_.begin(); each != containers_.end(); ++each) {
    if (each->second.slot != slot) continue;
    Container& container = each->second;
    programs_->unwatch(each->first);
    container.work.keep_only({}, now);
    learn(container, container.work.observe({.linger = {}}, now, Bytes{}));
    (void)engine.announce(slot, std::nullopt);
    containers_.erase(each);
    return;
  }
}

void AnnouncedCommands::react(Engine& engine, const MemoryPolicy& policy, MonotonicTime now) {
  if (!programs_) return;
  struct Context {
    AnnouncedCommands& self;
    Engine& engine;
    const MemoryPolicy& policy;
    MonotonicTime now;
  } context{*this, engine, policy, now};
  programs_->drain(
      [](void* pointer, const pl_exec_event& event) {
        const Context& to = *static_cast<Context*>(pointer);
        const bpf::RunningCommand command{event.command.watch, event.command.command, event.pid};
        using Seen = AnnouncedWork::Seen;
        if (event.kind != PL_EXEC_END) {
          const Seen how = event.kind == PL_EXEC_FOUND ? Seen::kFound : Seen::kBegins;
          to.self.begin(to.engine, to.policy, command, how, to.now);
        } else if (const auto found = to.self.containers_.find(command.watch);
                   found != to.self.containers_.end()) {
          found->second.work.end(command.command, command.pid, to.now);
        }
      },
      &context);
  for (auto& [watch, container] : containers_) {
    if (std::exchange(container.changed, false)) provide(engine, policy, container, now);
  }
}

void AnnouncedCommands::begin(Engine& engine, const MemoryPolicy& policy,
                              const bpf::RunningCommand& running, AnnouncedWork::Seen how,
                              MonotonicTime now) {
  const auto found = containers_.find(running.watch);
  if (found == containers_.end()) return;
  Container& container = found->second;
  if (running.command >= container.commands.size()) return;
  AnnouncedUse& use = container.commands[running.command];
  const ContainerSnapshot* before = seen(engine, container.slot);
  const MemoryFacts facts = before == nullptr ? MemoryFacts{} : before->facts;
  const std::optional<Bytes> known =
      use.command.size ? use.command.size : learned_.size(container.workload, use.command.name);
  const Bytes size = known.value_or(unknown_size(policy, facts.limit));
  const Bytes working = unreclaimable(facts);
  if (!container.work.begin(running.command, running.pid, now, working, size, how)) return;
  ++use.begun;
  if (tell_) {
    tell_({.slot = container.slot,
           .command = use.command.name,
           .found = how == AnnouncedWork::Seen::kFound,
           .size = size});
  }
  use.provided = std::max(use.provided, size);
  container.changed = true;
  // How many CPUs it will use is not known: as many as it may, until that is seen.
  if (before != nullptr && before->cpu) {
    (void)engine.raise_ahead(container.slot, before->cpu->bounds.ceiling, Reason::kAnnounced);
  }
}

void AnnouncedCommands::provide(Engine& engine, const MemoryPolicy& policy, Container& container,
                                MonotonicTime now) {
  const std::optional<Bytes> needed = container.work.needed(policy_, now);
  // A slot that is gone is unwatched by whoever watched it.
  (void)engine.announce(container.slot,
                        needed ? std::optional(limit_for(policy, *needed)) : std::nullopt);
}

void AnnouncedCommands::tick(Engine& engine, const MemoryPolicy& policy, MonotonicTime now) {
  if (!programs_) return;
  react(engine, policy, now);
  check(engine, policy, now);
  for (auto& [watch, container] : containers_) {
    const ContainerSnapshot* now_seen = seen(engine, container.slot);
    if (now_seen == nullptr) continue;
    const Bytes peak = std::max(unreclaimable(now_seen->facts), now_seen->peak.value_or(Bytes{}));
    learn(container, container.work.observe(policy_, now, peak));
    provide(engine, policy, container, now);
  }
}

void AnnouncedCommands::learn(Container& container, const std::vector<FinishedCommand>& all) {
  for (const FinishedCommand& finished : all) {
    AnnouncedUse& use = container.commands[finished.command];
    ++use.ended;
    if (finished.grown) {
      use.grown = std::max(use.grown, *finished.grown);
      learned_.learn(container.workload, use.command.name, *finished.grown, day_);
    }
    if (tell_) {
      tell_({.slot = container.slot,
             .command = use.command.name,
             .ended = true,
             .grown = finished.grown,
             .lasted = finished.lasted});
    }
  }
}

void AnnouncedCommands::stop(Engine& engine, const MemoryPolicy& policy, MonotonicTime now) {
  react(engine, policy, now);
  for (auto& [watch, container] : containers_) {
    const std::optional<bpf::MemorySample> sample = engine.sample(container.slot);
    container.work.keep_only({}, now);
    learn(container, container.work.observe({.linger = {}}, now, sample ? sample->peak : Bytes{}));
  }
}

// The kernel's table instead of its news, where some were lost, and now and then anyway.
void AnnouncedCommands::check(Engine& engine, const MemoryPolicy& policy, MonotonicTime now) {
  const bpf::ExecCounters counters = programs_->counters();
  const std::uint64_t lost = counters.events_dropped + counters.missed;
  if (lost == lost_ && checked_at_ && now - *checked_at_ < kCheckEvery) return;
  const auto running = programs_->running();
  if (!running) return;  // again at the next tick
  lost_ = lost;
  checked_at_ = now;
  std::map<std::uint32_t, AnnouncedWork::Processes> by_watch;
  for (const bpf::RunningCommand& each : *running) {
    by_watch[each.watch].insert({each.command, each.pid});
    begin(engine, policy, each, AnnouncedWork::Seen::kFound, now);
  }
  for (auto& [watch, container] : containers_) container.work.keep_only(by_watch[watch], now);
}

std::vector<AnnouncedUse> AnnouncedCommands::use(Slot slot) const {
  for (const auto& [watch, container] : containers_) {
    if (container.slot != slot) continue;
    std::vector<AnnouncedUse> all = container.commands;
    for (AnnouncedUse& use : all) {
      use.running = container.work.running(static_cast<std::uint32_t>(&use - all.data())) > 0;
      use.next_size =
          use.command.size ? use.command.size : learned_.size(container.workload, use.command.name);
    }
    return all;
  }
  return {};
}

std::size_t AnnouncedCommands::running() const {
  std::size_t count = 0;
  for (const auto& [watch, container] : containers_) count += container.work.running();
  return count;
}

void AnnouncedCommands::set_day(std::uint32_t day) {
  if (std::exchange(day_, day) == day) return;
  learned_.forget_old(day);
}

std::optional<bpf::ExecCounters> AnnouncedCommands::counters() const {
  if (!programs_) return std::nullopt;
  return programs_->counters();
}

}  // namespace plimsoll::agent
