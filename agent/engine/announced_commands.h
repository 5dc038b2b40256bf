// SPDX-License-Identifier: Apache-2.0
//
// Announced commands of tracked cgroups, from the kernel's news to the engine's needs: a command
// that begins is provided for at once, one that has ended is learned from and given back. Used by
// `plimsoll run` and the node agent, on the slow loop's thread; nothing blocks.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "agent/engine/engine.h"
#include "agent/policy/announced_work.h"
#include "agent/policy/learned_sizes.h"
#include "base/result.h"
#include "base/units.h"
#include "bpf/exec_programs.h"
#include "cgroup/group.h"

namespace plimsoll::agent {

// What became of one announced command in one container so far.
struct AnnouncedUse {
  AnnouncedCommand command;
  std::uint64_t begun = 0;  // from nothing to the first process
  std::uint64_t ended = 0;  // and given back
  bool running = false;
  Bytes provided;                  // the largest size that it was expected to have
  Bytes grown;                     // the largest that it had
  std::optional<Bytes> next_size;  // what it will be expected to have; absent: one step

  bool operator==(const AnnouncedUse&) const = default;
};

// The first process of a command, or the end of the last.
struct AnnouncedNews {
  Slot slot = 0;
  std::string command;
  bool ended = false;
  bool found = false;          // begun: before it was watched for
  Bytes size;                  // begun: what it is expected to have
  std::optional<Bytes> grown;  // ended: what it had, where that is known
  Nanoseconds lasted{};        // ended
};

class AnnouncedCommands {
 public:
  // `tell` is called from within the calls below, and calls none of them.
  using Tell = std::function<void(const AnnouncedNews&)>;
  explicit AnnouncedCommands(const AnnouncePolicy& policy = {}, Tell tell = {})
      : policy_(policy), tell_(std::move(tell)) {}

  // The commands are told of from now on, those that run already at the next react(). `workload` is
  // what sizes are learned for. The programs are loaded for the first one: kUnsupported or kDenied
  // says why the kernel does not take them. kConflict: the slot is watched already.
  Result<void> watch(Slot slot, const cgroup::Group& group, std::vector<AnnouncedCommand> commands,
                     std::string workload);
  // What runs there is not provided for any more, and learned from as far as it was seen. Fine when
  // it is not watched.
  void unwatch(Engine& engine, Slot slot, MonotonicTime now);

  // Readable when a command has begun or ended; -1: nothing was ever watched.
  int fd() const { return programs_ ? programs_->event_fd() : -1; }
  // Takes the news and has limits raised.
  void react(Engine& engine, const MemoryPolicy& policy, MonotonicTime now);
  // After each tick of the engine's: takes in what it saw.
  void tick(Engine& engine, const MemoryPolicy& policy, MonotonicTime now);

  // The end of it all: what still runs is learned from as far as it came.
  void stop(Engine& engine, const MemoryPolicy& policy, MonotonicTime now);

  std::vector<AnnouncedUse> use(Slot slot) const;
  std::size_t containers() const { return containers_.size(); }
  std::size_t running() const;  // commands that run now, of all containers
  const LearnedSizes& learned() const { return learned_; }
  void set_learned(LearnedSizes learned) { learned_ = std::move(learned); }
  // Days since 1970, by which what was learned grows old. 0, as at the start: nothing does.
  void set_day(std::uint32_t day);
  std::optional<bpf::ExecCounters> counters() const;

 private:
  struct Container {
    Slot slot = 0;
    std::string workload;
    std::vector<AnnouncedUse> commands;
    AnnouncedWork work;
    bool changed = false;
  };

  void begin(Engine& engine, const MemoryPolicy& policy, const bpf::RunningCommand& running,
             AnnouncedWork::Seen how, MonotonicTime now);
  void learn(Container& container, const std::vector<FinishedCommand>& all);
  void check(Engine& engine, const MemoryPolicy& policy, MonotonicTime now);
  void provide(Engine& engine, const MemoryPolicy& policy, Container& container, MonotonicTime now);

  AnnouncePolicy policy_;
  Tell tell_;
  std::unique_ptr<bpf::ExecPrograms> programs_;    // null: nothing was ever watched
  std::map<std::uint32_t, Container> containers_;  // by watch
  std::uint32_t next_watch_ = 1;
  LearnedSizes learned_;
  std::uint32_t day_ = 0;
  std::uint64_t lost_ = 0;  // as of the last check
  std::optional<MonotonicTime> checked_at_;
};

}  // namespace plimsoll::agent
