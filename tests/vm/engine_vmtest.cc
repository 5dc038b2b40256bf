// SPDX-License-Identifier: Apache-2.0
//
// The programs, the reaction thread and the engine on a real kernel, where each of them is alone
// responsible: the hold with a slow answer, the prediction, a full ring buffer, cgroups that vanish
// between any two steps, a full table, and what is left behind. Run as root in a guest.
#include <bpf/bpf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <fstream>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "agent/engine/engine.h"
#include "agent/reaction/memory_reaction.h"
#include "bpf/memory_programs.h"
#include "cgroup/limit_file.h"
#include "cgroup/mounts.h"
#include "cgroup/root.h"
#include "cgroup/writer.h"
#include "tests/vm/bpf_ids.h"
#include "tests/vm/own_group.h"

namespace plimsoll::test {
namespace {

using agent::ContainerSpec;
using agent::Engine;
using agent::MemoryFacts;
using agent::MemoryReaction;
namespace memory_command = agent::memory_command;
using agent::Record;
using agent::Report;
using bpf::MemoryPrograms;
using std::chrono::milliseconds;
using std::chrono::seconds;

// Programs whose events are answered by this: each one `late` after it was seen, with a limit
// `step` higher. It beats as the reaction thread does.
class LateAnswers {
 public:
  LateAnswers(MemoryPrograms& programs, const OwnGroup& group, milliseconds late, Bytes step)
      : programs_(programs),
        file_(value(cgroup::LimitFile::open_max(group.group()))),
        late_(late),
        step_(step),
        thread_([this] { run(); }) {}
  ~LateAnswers() {
    stopping_ = true;
    thread_.join();
  }

 private:
  void run() {
    while (!stopping_) {
      std::array<pollfd, 2> waits{{{.fd = programs_.urgent_fd(), .events = POLLIN, .revents = 0},
                                   {.fd = programs_.door_fd(), .events = POLLIN, .revents = 0}}};
      ::poll(waits.data(), waits.size(), 50);
      programs_.beat(now());
      seen_ = {};
      programs_.drain_urgent(
          [](void* self, const pl_memory_event& event) {
            static_cast<LateAnswers*>(self)->seen_ = event;
          },
          this);
      if (!seen_) continue;
      std::this_thread::sleep_for(late_);
      const Limit limit = file_.read().value_or(kNoLimit);
      if (limit.bytes == seen_->limit_bytes) (void)file_.write(limit.bytes + step_.value);
      programs_.answer(seen_->slot, true);
    }
  }

  MemoryPrograms& programs_;
  cgroup::LimitFile file_;
  milliseconds late_;
  Bytes step_;
  std::optional<pl_memory_event> seen_;
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

// Ids of the loaded BPF programs, by the names that are ours.
std::set<std::uint32_t> our_programs() {
  const std::set<std::string> names{"on_charge",      "on_reclaim_end", "on_oom",   "on_oom_end",
                                    "on_track",       "on_untrack",     "on_sweep", "on_max_write",
                                    "on_max_written", "on_oom_locked"};
  std::set<std::uint32_t> found;
  for (std::uint32_t id = 0; ::bpf_prog_get_next_id(id, &id) == 0;) {
    const Fd program(::bpf_prog_get_fd_by_id(id));
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    if (program && ::bpf_obj_get_info_by_fd(program.get(), &info, &size) == 0 &&
        names.contains(info.name)) {
      found.insert(id);
    }
  }
  return found;
}

// Only the limit and the door: no prediction.
constexpr Bytes kAnyLimit{~std::uint64_t{0}};
constexpr bpf::Thresholds kLate{.watermark = 1.0, .horizon = Nanoseconds(0)};

std::size_t drain(MemoryPrograms& programs, std::vector<pl_memory_event>& into) {
  return programs.drain_urgent(
      [](void* out, const pl_memory_event& event) {
        static_cast<std::vector<pl_memory_event>*>(out)->push_back(event);
      },
      &into);
}

// Longer than the kernel's own retries take, shorter than the hold.
constexpr milliseconds kVeryLate(50);

TEST(Hold, AnswersOf50MillisecondsAreWaitedFor) {
  auto programs = value(MemoryPrograms::load({}));
  std::uint64_t saved = 0;
  int held_runs = 0;
  for (int run = 0; run < 5; ++run) {
    const OwnGroup group("hold-" + std::to_string(run), mebibytes(32));
    value(programs.track(0, 1, group.group().fd().get(), kLate));
    programs.beat(now());
    programs.arm(0, kAnyLimit);
    {
      const LateAnswers answers(programs, group, kVeryLate, mebibytes(64));
      Load load(group, [] { (void)fill(mebibytes(128)); });
      EXPECT_FALSE(load.was_killed()) << "run " << run;
    }
    EXPECT_EQ(group.event("oom_kill"), 0u);
    const bpf::MemorySample sight = programs.read_sample(0);
    held_runs += sight.held > 0 ? 1 : 0;
    saved += sight.saved;
    programs.untrack(0);
  }
  // Not each run of each: a guest under emulation may be so slow that the kernel's own retries last
  // until the answer is there.
  EXPECT_GE(held_runs, 3);
  EXPECT_GT(saved, 0u);
}

// Who waits may be preempted by another of the same cgroup, which must not pass for that.
void expect_that_no_task_passes() {
  // No answer is late for these, however busy the machine is.
  auto programs =
      value(MemoryPrograms::load({.door = seconds(5), .budget_per_second = seconds(20)}));
  EXPECT_TRUE(programs.holds_in_lock());
  for (const milliseconds late : {milliseconds(5), milliseconds(15), milliseconds(40)}) {
    for (int run = 0; run < 4; ++run) {
      const std::string name = "many-" + std::to_string(late.count()) + "-" + std::to_string(run);
      const OwnGroup group(name, mebibytes(32));
      value(programs.track(0, 1, group.group().fd().get(), kLate));
      programs.beat(now());
      programs.arm(0, kAnyLimit);
      {
        const LateAnswers answers(programs, group, late, mebibytes(64));
        std::vector<std::unique_ptr<Load>> loads;
        for (int i = 0; i < 8; ++i) {
          loads.push_back(std::make_unique<Load>(group, [] { (void)fill(mebibytes(32)); }));
        }
        for (const auto& load : loads) EXPECT_FALSE(load->was_killed()) << name;
      }
      const bpf::Counters counters = programs.counters();
      EXPECT_EQ(group.event("oom_kill"), 0u)
          << name << ": dropped " << counters.events_dropped << ", held " << counters.held
          << ", saved " << counters.saved << ", missed " << counters.missed << ", refused "
          << counters.refused_heartbeat << " and " << counters.refused_budget;
      programs.untrack(0);
    }
  }
}

TEST(Hold, NoTaskOfManyPasses) { expect_that_no_task_passes(); }

// As in a container without CAP_SYSLOG: the address of the OOM killer's lock is learned.
TEST(Hold, NoTaskOfManyPassesWhereAddressesAreHidden) {
  const std::string path = "/proc/sys/kernel/kptr_restrict";
  std::string before;
  std::getline(std::ifstream(path) >> std::ws, before);
  std::ofstream(path) << 2;
  expect_that_no_task_passes();
  std::ofstream(path) << before;
}

// Both kinds of hold off: the same answers come too late. What the test above relies on.
TEST(Hold, WithoutItTheSameAnswersAreTooLate) {
  auto programs = value(MemoryPrograms::load({.slice = Nanoseconds(0), .door = Nanoseconds(0)}));
  int killed = 0;
  for (int run = 0; run < 5; ++run) {
    const OwnGroup group("no-hold-" + std::to_string(run), mebibytes(32));
    value(programs.track(0, 1, group.group().fd().get(), kLate));
    programs.beat(now());
    programs.arm(0, kAnyLimit);
    const LateAnswers answers(programs, group, kVeryLate, mebibytes(64));
    Load load(group, [] { (void)fill(mebibytes(128)); });
    killed += load.was_killed() ? 1 : 0;
    EXPECT_EQ(programs.read_sample(0).held, 0u);
    programs.untrack(0);
  }
  EXPECT_GE(killed, 4);
}

TEST(Hold, NobodyIsHeldWithoutABeat) {
  auto programs = value(MemoryPrograms::load({}));
  const OwnGroup group("no-beat", mebibytes(32));
  value(programs.track(0, 1, group.group().fd().get(), kLate));
  programs.arm(0, kAnyLimit);
  programs.beat(now() - seconds(2));
  Load load(group, [] { (void)fill(mebibytes(64)); });
  EXPECT_TRUE(load.was_killed());
  EXPECT_EQ(programs.counters().held, 0u);
  EXPECT_GT(programs.counters().refused_heartbeat, 0u);
}

TEST(Hold, NobodyIsHeldWhoIsNotArmed) {
  auto programs = value(MemoryPrograms::load({}));
  const OwnGroup group("not-armed", mebibytes(32));
  value(programs.track(0, 1, group.group().fd().get(), kLate));
  programs.beat(now());
  Load load(group, [] { (void)fill(mebibytes(64)); });
  EXPECT_TRUE(load.was_killed());
  EXPECT_EQ(programs.counters().held, 0u);
  EXPECT_EQ(programs.counters().events_urgent, 0u);
}

// No answer ever comes: the second's budget bounds the time of all holds together.
TEST(Hold, EndsByItselfWhenNobodyAnswers) {
  const bpf::HoldBounds bounds;
  auto programs = value(MemoryPrograms::load(bounds));
  const OwnGroup group("no-answer", mebibytes(32));
  value(programs.track(0, 1, group.group().fd().get(), kLate));
  programs.beat(now());
  programs.arm(0, kAnyLimit);
  Load load(group, [] { (void)fill(mebibytes(64)); });
  const MonotonicTime begin = now();
  while (!load.has_ended() && now() - begin < seconds(20)) {
    programs.beat(now());
    std::this_thread::sleep_for(milliseconds(50));
  }
  EXPECT_TRUE(load.was_killed());
  const bpf::Counters counters = programs.counters();
  EXPECT_GT(counters.expired, 0u);
  EXPECT_EQ(counters.saved, 0u);
  // One process and one door: what is held ends within a second's budget and one more slice.
  EXPECT_LE(counters.held_for, 2 * bounds.budget_per_second);
}

// Whoever waits when the denial comes does not wait on.
TEST(Hold, EndsWithADenial) {
  auto programs = value(MemoryPrograms::load(
      {.slice = seconds(5), .door = seconds(5), .budget_per_second = seconds(20)}));
  const OwnGroup group("denied", mebibytes(32));
  value(programs.track(0, 1, group.group().fd().get(), kLate));
  programs.beat(now());
  programs.arm(0, kAnyLimit);
  Load load(group, [] { (void)fill(mebibytes(64)); });
  EXPECT_TRUE(until([&] {
    programs.beat(now());
    return programs.counters().held > 0;
  }));
  programs.arm(0, {});
  EXPECT_TRUE(load.was_killed());
  EXPECT_EQ(programs.counters().held, 1u);
  EXPECT_LT(programs.counters().held_for, seconds(4));
}

// Steady growth at a pace that an answer has time for: it must be told before the limit is met.
TEST(Prediction, SlowGrowthIsToldBeforeTheLimit) {
  auto programs = value(MemoryPrograms::load({}));
  const OwnGroup group("slow", mebibytes(64));
  value(programs.track(0, 7, group.group().fd().get(), {}));
  programs.beat(now());
  programs.arm(0, kAnyLimit);
  Load load(group, [] { fill_slowly(mebibytes(60), mebibytes(1)); });
  std::vector<pl_memory_event> events;
  EXPECT_TRUE(until([&] { return drain(programs, events) > 0 || load.has_ended(); }));
  EXPECT_FALSE(load.was_killed());
  drain(programs, events);
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.front().kind, PL_PREDICTED);
  EXPECT_EQ(events.front().slot, 0u);
  EXPECT_EQ(events.front().epoch, 7u);
  EXPECT_EQ(CgroupId{events.front().cgroup_id}, group.group().id());
  EXPECT_EQ(events.front().limit_bytes, 64 * kMiB);
  EXPECT_LT(events.front().usage_bytes, 64 * kMiB);
  EXPECT_GT(events.front().rate_bytes_per_s, 0u);
  EXPECT_EQ(group.event("max"), 0u);
}

// The mark was set for a limit four times as high; the next look would come only above the new one.
TEST(Prediction, ALimitThatWasLoweredIsLookedAtAtOnce) {
  auto programs = value(MemoryPrograms::load({}));
  const OwnGroup group("lowered-mark", mebibytes(256));
  value(programs.track(0, 1, group.group().fd().get(), {.horizon = Nanoseconds(0)}));
  programs.beat(now());
  programs.arm(0, kAnyLimit);
  int go[2];
  ASSERT_EQ(::pipe(go), 0);
  Load load(group, [&] {
    (void)fill(mebibytes(60));
    char byte = 0;
    (void)!::read(go[0], &byte, 1);
    (void)fill(mebibytes(4));
    while (true) ::pause();
  });
  ASSERT_TRUE(until([&] { return value(group.group().read_memory_current()) >= mebibytes(60); }));
  ASSERT_TRUE(programs.sweep());
  std::vector<pl_memory_event> events;
  drain(programs, events);
  events.clear();
  const auto file = value(cgroup::LimitFile::open_max(group.group()));
  ASSERT_EQ(file.write(mebibytes(72).value), 0);
  ASSERT_EQ(::write(go[1], "", 1), 1);
  EXPECT_TRUE(until([&] {
    programs.beat(now());
    return drain(programs, events) > 0;
  }));
  ASSERT_FALSE(events.empty());
  EXPECT_EQ(events.front().kind, pl_u32{PL_PREDICTED});
  EXPECT_EQ(events.front().limit_bytes, mebibytes(72).value);
  ::close(go[0]);
  ::close(go[1]);
}

TEST(RingBuffer, FullIsCountedAndOnlyTheDoorHolds) {
  const bpf::HoldBounds bounds;
  auto programs = value(MemoryPrograms::load(bounds));
  const OwnGroup group("full", mebibytes(64));
  value(programs.track(0, 1, group.group().fd().get(), {.watermark = 0.01, .horizon = seconds(1)}));
  programs.arm(0, kAnyLimit);
  {
    Load load(group, [] {
      const Bytes size = mebibytes(48);
      while (true) {
        ::munmap(::mmap(nullptr, size.value, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0),
                 size.value);
      }
    });
    // Every charge may send an event, and nobody takes them out.
    EXPECT_TRUE(until(
        [&] {
          programs.beat(now());
          for (int i = 0; i < 200; ++i) {
            programs.answer(0, true);
            std::this_thread::yield();
          }
          return programs.counters().events_dropped > 0;
        },
        seconds(60)));
  }
  // Whoever is at the limit now is not held, since nobody was told; at the door he is told of in
  // another buffer, and is killed when nobody comes.
  const bpf::Counters before = programs.counters();
  programs.answer(0, true);
  programs.beat(now());
  const MonotonicTime begin = now();
  Load load(group, [] { (void)fill(mebibytes(128)); });
  while (!load.has_ended() && now() - begin < seconds(20)) {
    programs.beat(now());
    std::this_thread::sleep_for(milliseconds(20));
  }
  EXPECT_TRUE(load.was_killed());
  const bpf::Counters after = programs.counters();
  EXPECT_EQ(after.saved, before.saved);
  EXPECT_LE(after.held_for - before.held_for, 2 * bounds.budget_per_second);
  EXPECT_GT(after.events_dropped, before.events_dropped);

  std::vector<pl_memory_event> events;
  drain(programs, events);
  EXPECT_EQ(events.size(), after.events_urgent);
  EXPECT_EQ(programs.malformed(), 0u);
  for (const pl_memory_event& event : events) {
    EXPECT_EQ(CgroupId{event.cgroup_id}, group.group().id());
    EXPECT_LT(event.slot, bpf::kMaxSlots);
  }
  // There is room again.
  programs.answer(0, true);
  Load again(group, [] { (void)fill(mebibytes(60)); });
  EXPECT_FALSE(again.was_killed());
  EXPECT_GT(drain(programs, events), 0u);
}

TEST(Programs, LeaveNothingBehind) {
  const std::set<std::uint32_t> before = our_programs();
  const BpfIds ids;
  EXPECT_TRUE(before.empty());
  {
    const OwnGroup group("load", mebibytes(64));
    auto programs = value(MemoryPrograms::load({}));
    value(programs.track(0, 1, group.group().fd().get(), {}));
    EXPECT_FALSE(our_programs().empty());
  }
  EXPECT_TRUE(until([&] { return our_programs().empty() && ids.nothing_new(); }));
}

TEST(Programs, GoWithAProcessThatIsKilled) {
  const BpfIds ids;
  const OwnGroup group("killed", mebibytes(32));
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t agent = ::fork();
  if (agent == 0) {
    auto programs = MemoryPrograms::load({});
    if (!programs || !programs->track(0, 1, group.group().fd().get(), kLate)) ::_exit(1);
    programs->beat(now());
    programs->arm(0, kAnyLimit);
    (void)!::write(ready[1], "r", 1);
    while (true) {
      programs->beat(now());
      ::usleep(1000);
    }
  }
  ::close(ready[1]);
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_FALSE(our_programs().empty());
  ::kill(agent, SIGKILL);
  ::waitpid(agent, nullptr, 0);
  EXPECT_TRUE(until([&] { return our_programs().empty() && ids.nothing_new(); }));
  Load load(group, [] { (void)fill(mebibytes(64)); });
  EXPECT_TRUE(load.was_killed());
  ::close(ready[0]);
}

TEST(Programs, CgroupThatVanishedCannotBeTracked) {
  auto programs = value(MemoryPrograms::load({}));
  OwnGroup group("gone");
  const cgroup::Group opened = group.group();
  ASSERT_TRUE(group.remove());
  const auto tracked = programs.track(0, 1, opened.fd().get(), {});
  // A removed cgroup that the kernel still has may be looked up, too: then nothing comes of it.
  if (tracked) programs.untrack(0);
  OwnGroup next("next", mebibytes(64));
  EXPECT_TRUE(programs.track(0, 2, next.group().fd().get(), {}));
}

// The kernel gives the memory of a freed cgroup to the next one. What was known about the old must
// not take the new one's entry with it.
TEST(Programs, UntrackingAnOldCgroupLeavesItsSuccessorTracked) {
  auto programs = value(MemoryPrograms::load({}));
  std::vector<pl_memory_event> events;
  for (int run = 0; run < 20; ++run) {
    OwnGroup old("old-" + std::to_string(run), mebibytes(64));
    value(programs.track(0, 1, old.group().fd().get(), {}));
    ASSERT_TRUE(old.remove());
    std::this_thread::sleep_for(milliseconds(30));
    OwnGroup next("new-" + std::to_string(run), mebibytes(16));
    value(programs.track(1, 2, next.group().fd().get(), kLate));
    programs.untrack(0);
    programs.arm(1, kAnyLimit);
    programs.beat(now() - seconds(2));
    Load load(next, [] { (void)fill(mebibytes(32)); });
    EXPECT_TRUE(load.was_killed());
    events.clear();
    drain(programs, events);
    EXPECT_FALSE(events.empty()) << "run " << run << ": the new cgroup is not watched";
    programs.untrack(1);
    programs.answer(1, false);
  }
}

// Events give away the budget to its last byte, and then nobody is held any more, in no cgroup.
TEST(ReactionOnAKernel, BudgetIsSpentToItsEndAndClosesAll) {
  auto programs = value(MemoryPrograms::load({}));
  const OwnGroup first("spends", mebibytes(64));
  const OwnGroup second("waits", mebibytes(4));
  const auto first_file = value(cgroup::LimitFile::open_max(first.group()));
  const auto second_file = value(cgroup::LimitFile::open_max(second.group()));
  value(programs.track(0, 1, first.group().fd().get(), {}));
  value(programs.track(1, 2, second.group().fd().get(), {}));
  auto reaction = value(MemoryReaction::start({}, &programs));
  const agent::Armed armed{.bounds = {.floor = mebibytes(64), .ceiling = mebibytes(512)}};
  // 40 MiB are left: 100, less the 60 that were granted after the slow loop had counted.
  ASSERT_TRUE(reaction->send(
      memory_command::Track{.tenant = {1, 2}, .limit_file = &second_file, .armed = armed}));
  ASSERT_TRUE(reaction->send(memory_command::Raise{.tenant = {1, 2}, .limit = mebibytes(64)}));
  ASSERT_TRUE(reaction->send(memory_command::Budget{.left = mebibytes(100)}));
  ASSERT_TRUE(reaction->send(
      memory_command::Track{.tenant = {0, 1}, .limit_file = &first_file, .armed = armed}));
  ASSERT_TRUE(reaction->send(memory_command::Arm{.tenant = {0, 1}, .armed = armed}));
  ASSERT_TRUE(reaction->send(memory_command::Arm{.tenant = {1, 2}, .armed = armed}));
  // All of it has been obeyed when this is answered.
  ASSERT_TRUE(reaction->send(memory_command::Untrack{{9, 9}}));
  ASSERT_TRUE(until([&] {
    const auto report = reaction->receive();
    return report && report->kind == Report::Kind::kUntracked;
  }));
  Load big(first, [] { (void)fill(mebibytes(256)); });
  EXPECT_TRUE(big.was_killed());
  EXPECT_EQ(first_file.read(), limit_of(mebibytes(104)));
  const std::uint64_t held = programs.counters().held;
  Load other(second, [] { (void)fill(mebibytes(128)); });
  EXPECT_TRUE(other.was_killed());
  EXPECT_EQ(second_file.read(), limit_of(mebibytes(64)));
  EXPECT_EQ(programs.counters().held, held);
  EXPECT_EQ(reaction->limits().granted(), mebibytes(100));
}

TEST(ReactionOnAKernel, CgroupThatVanishesBetweenEventAndWrite) {
  auto programs = value(MemoryPrograms::load({}));
  OwnGroup group("vanishes", mebibytes(64));
  const auto id = value(programs.track(3, 9, group.group().fd().get(), {}));
  const auto file = value(cgroup::LimitFile::open_max(group.group()));
  auto reaction = value(MemoryReaction::start({}, &programs));
  const agent::Armed armed{.bounds = {.floor = mebibytes(64), .ceiling = mebibytes(512)}};
  ASSERT_TRUE(reaction->send(memory_command::Budget{.left = mebibytes(1024)}));
  ASSERT_TRUE(
      reaction->send(memory_command::Track{.tenant = {3, 9}, .limit_file = &file, .armed = armed}));
  ASSERT_TRUE(reaction->send(memory_command::Arm{.tenant = {3, 9}, .armed = armed}));
  ASSERT_TRUE(group.remove());
  ASSERT_TRUE(reaction->send(memory_command::Raise{
      .tenant = {3, 9}, .limit = mebibytes(128), .reason = agent::Reason::kThrashing}));
  std::optional<Report> report;
  ASSERT_TRUE(until([&] { return (report = reaction->receive()).has_value(); }));
  EXPECT_EQ(report->kind, Report::Kind::kFailure);
  EXPECT_EQ(report->error, ENODEV);
  EXPECT_EQ(reaction->limits().granted(), Bytes{});
  EXPECT_NE(id, CgroupId{});
  // Sweeps and rewrites of what is gone are harmless, and it can be let go.
  EXPECT_TRUE(programs.sweep());
  ASSERT_TRUE(reaction->send(memory_command::Rewrite{{3, 9}}));
  ASSERT_TRUE(reaction->send(memory_command::Untrack{{3, 9}}));
  ASSERT_TRUE(until([&] { return (report = reaction->receive()).has_value(); }));
  EXPECT_EQ(report->kind, Report::Kind::kUntracked);
  programs.untrack(3);
  EXPECT_TRUE(programs.sweep());
}

agent::EngineConfig tier_a() {
  agent::EngineConfig config;
  config.tier = bpf::Tier::kA;
  return config;
}

class EngineOnAKernel : public ::testing::Test {
 protected:
  EngineOnAKernel() : engine_(value(Engine::start(tier_a()))) {}

  agent::Slot track(const OwnGroup& group, Bytes floor = mebibytes(64)) {
    return value(
        engine_->track(group.group(), {.bounds = {.floor = floor, .ceiling = mebibytes(512)}}));
  }
  std::vector<Record> tick() { return engine_->tick(now()); }
  // The slot is given to somebody else only when the reaction thread has let go.
  bool is_free(agent::Slot slot) {
    const OwnGroup probe("probe-" + std::to_string(probes_++), mebibytes(64));
    tick();
    const agent::Slot got = track(probe);
    engine_->untrack(got);
    return got == slot;
  }

  std::unique_ptr<Engine> engine_;
  int probes_ = 0;
};

TEST_F(EngineOnAKernel, GroupVanishesBeforeItIsTracked) {
  OwnGroup group("early", mebibytes(64));
  cgroup::Group opened = group.group();
  ASSERT_TRUE(group.remove());
  const auto slot = engine_->track(std::move(opened), {.bounds = {.ceiling = mebibytes(512)}});
  ASSERT_FALSE(slot);
  EXPECT_EQ(slot.error().code, Code::kGone);
  EXPECT_TRUE(until([&] { return is_free(0); }));
}

TEST_F(EngineOnAKernel, GroupVanishesBeforeTheFirstTick) {
  OwnGroup group("first", mebibytes(64));
  const agent::Slot slot = track(group);
  ASSERT_TRUE(group.remove());
  for (const Record& record : tick()) EXPECT_NE(record.kind, Record::Kind::kFailure);
  EXPECT_TRUE(until([&] { return is_free(slot); }));
}

TEST_F(EngineOnAKernel, GroupVanishesBetweenTicks) {
  OwnGroup group("between", mebibytes(64));
  const agent::Slot slot = track(group);
  tick();
  tick();
  ASSERT_TRUE(group.remove());
  tick();
  EXPECT_TRUE(until([&] { return is_free(slot); }));
}

TEST_F(EngineOnAKernel, GroupVanishesBeforeUntrack) {
  OwnGroup group("untrack", mebibytes(64));
  const agent::Slot slot = track(group);
  tick();
  ASSERT_TRUE(group.remove());
  engine_->untrack(slot);
  engine_->untrack(slot);  // twice is once
  tick();
  EXPECT_TRUE(until([&] { return is_free(slot); }));
}

// Another process that writes memory.max of a cgroup.
class LimitWriter {
 public:
  LimitWriter(const cgroup::Group& group, Bytes to) {
    pid_ = ::fork();
    if (pid_ != 0) return;
    // Not by Writer, whose descriptor does not block: then the kernel neither reclaims nor kills
    // (Linux 6.17), which no service manager and no container runtime asks for.
    const auto file = group.open_file("memory.max", O_WRONLY);
    const std::string text = std::to_string(to.value);
    ::_exit(file && ::write(file->get(), text.data(), text.size()) > 0 ? 0 : 1);
  }
  ~LimitWriter() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }
  LimitWriter(const LimitWriter&) = delete;
  LimitWriter& operator=(const LimitWriter&) = delete;

  bool has_returned() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid != 0;
  }

 private:
  pid_t pid_ = -1;
};

// A kubelet that is late: the limit that it writes is below what will be needed, and the cgroup
// stands at its ceiling, where nothing more could be granted a moment ago.
TEST_F(EngineOnAKernel, ALimitThatSomebodyLowersIsRaisedAgain) {
  const OwnGroup group("lowered", mebibytes(64));
  const agent::Slot slot = value(engine_->track(
      group.group(), {.bounds = {.floor = mebibytes(64), .ceiling = mebibytes(128)}}));
  tick();
  int lowered[2];
  ASSERT_EQ(::pipe(lowered), 0);
  Load load(group, [&] {
    (void)fill(mebibytes(100));
    char byte = 0;
    (void)!::read(lowered[0], &byte, 1);
    (void)fill(mebibytes(10));
    while (true) ::pause();
  });
  const auto limit = [&] { return value(group.group().read_memory_max()); };
  ASSERT_TRUE(until([&] {
    tick();
    return value(group.group().read_memory_current()) > mebibytes(100) &&
           limit() == limit_of(mebibytes(128));
  }));
  (void)engine_->collect();
  value(cgroup::Writer().set_memory_max(group.group(), limit_of(mebibytes(106))));
  (void)!::write(lowered[1], "l", 1);
  EXPECT_TRUE(until([&] {
    for (const Record& record : engine_->collect()) {
      if (record.slot == slot && record.kind == Record::Kind::kGrant) return true;
    }
    return false;
  }));
  EXPECT_EQ(limit(), limit_of(mebibytes(128)));
  EXPECT_TRUE(until([&] { return value(group.group().read_memory_current()) > mebibytes(110); }));
  EXPECT_FALSE(load.has_ended());
  EXPECT_EQ(group.event("oom_kill"), 0U);
  ::close(lowered[0]);
  ::close(lowered[1]);
}

// Who writes a limit below the usage reclaims and kills until the usage fits what was written,
// without a look at what the limit is by then: raised meanwhile, neither would ever happen. That is
// PID 1, or runc, and no signal ends it.
void expect_that_who_undercuts_returns(Engine& engine) {
  const OwnGroup group("undercut", mebibytes(256));
  value(
      engine.track(group.group(), {.bounds = {.floor = mebibytes(64), .ceiling = mebibytes(512)}}));
  engine.tick(now());
  Load load(group, [] {
    (void)fill(mebibytes(100));
    while (true) ::pause();
  });
  ASSERT_TRUE(until([&] {
    engine.tick(now());
    return value(group.group().read_memory_current()) > mebibytes(100);
  }));
  const LimitWriter writer(group.group(), mebibytes(32));
  ASSERT_TRUE(until(
      [&] {
        engine.tick(now());
        return writer.has_returned();
      },
      seconds(60)));
  EXPECT_TRUE(load.was_killed());  // as without us
}

// The files of a cgroup that is gone are readable for ever.
TEST(EngineWithoutPrograms, AGroupThatIsGoneKeepsNoThreadBusy) {
  agent::EngineConfig config;
  config.tier = bpf::Tier::kC;
  const auto engine = value(Engine::start(config));
  auto group = std::make_unique<OwnGroup>("gone", mebibytes(64));
  value(engine->track(group->group(),
                      {.bounds = {.floor = mebibytes(64), .ceiling = mebibytes(256)}}));
  engine->tick(now());
  group.reset();
  const auto used = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  const auto before = used();
  std::this_thread::sleep_for(seconds(1));
  // Of CPU time: one that spins takes all of a second.
  EXPECT_LT(used() - before, milliseconds(500));
}

TEST_F(EngineOnAKernel, WhoWritesALimitBelowTheUsageReturns) {
  expect_that_who_undercuts_returns(*engine_);
}

TEST(EngineWithoutPrograms, WhoWritesALimitBelowTheUsageReturns) {
  agent::EngineConfig config;
  config.tier = bpf::Tier::kC;
  expect_that_who_undercuts_returns(*value(Engine::start(config)));
}

// The same while the cgroup's own processes charge all the time: neither their events nor ticks
// raise a limit that somebody is writing.
TEST_F(EngineOnAKernel, WhoWritesALimitBelowAGrowingUsageReturns) {
  for (int run = 0; run < 5; ++run) {
    const OwnGroup group("undercut-" + std::to_string(run), mebibytes(256));
    const agent::Slot slot = track(group);
    tick();
    Load load(group, [] {
      (void)fill(mebibytes(90));
      while (true) {
        void* more = fill(mebibytes(20));
        ::munmap(more, mebibytes(20).value);
      }
    });
    ASSERT_TRUE(until([&] {
      tick();
      return value(group.group().read_memory_current()) > mebibytes(90);
    }));
    const LimitWriter writer(group.group(), mebibytes(48));
    EXPECT_TRUE(until(
        [&] {
          tick();
          return writer.has_returned();
        },
        seconds(60)))
        << "run " << run;
    engine_->untrack(slot);
  }
}

// ... nor is a parent's, which is raised with its children.
TEST_F(EngineOnAKernel, WhoWritesAParentsLimitBelowTheUsageReturns) {
  const OwnGroup pod("pod", mebibytes(256));
  constexpr std::array<std::string_view, 1> kMemory{"memory"};
  ASSERT_TRUE(cgroup::Writer().enable_controllers(pod.group(), kMemory));
  const OwnGroup container("pod/container", mebibytes(128));
  const agent::Slot slice = value(engine_->track(
      pod.group(), {.bounds = {.floor = mebibytes(256), .ceiling = mebibytes(1024)}}));
  value(engine_->track(
      container.group(),
      {.bounds = {.floor = mebibytes(128), .ceiling = mebibytes(1024)}, .parent = slice}));
  tick();
  Load load(container, [] {
    (void)fill(mebibytes(100));
    while (true) {
      void* more = fill(mebibytes(24));
      ::munmap(more, mebibytes(24).value);
    }
  });
  ASSERT_TRUE(until([&] {
    tick();
    return value(container.group().read_memory_current()) > mebibytes(100);
  }));
  const LimitWriter writer(pod.group(), mebibytes(64));
  EXPECT_TRUE(until(
      [&] {
        tick();
        return writer.has_returned();
      },
      seconds(60)));
}

// Nobody can read a file of it any more, as of a container whose first process was killed.
TEST_F(EngineOnAKernel, AKillIsToldThoughTheCgroupIsGone) {
  OwnGroup group("killed", mebibytes(32));
  const agent::Slot slot = value(engine_->track(
      group.group(), {.bounds = {.floor = mebibytes(32), .ceiling = mebibytes(32)}}));
  tick();
  const MonotonicTime before = now();
  {
    Load load(group, [] { (void)fill(mebibytes(64)); });
    EXPECT_TRUE(load.was_killed());
  }
  ASSERT_TRUE(group.remove());
  std::vector<Record> kills;
  for (int i = 0; i < 3; ++i) {
    for (const Record& record : tick()) {
      if (record.kind == Record::Kind::kOomKill) kills.push_back(record);
    }
  }
  ASSERT_EQ(kills.size(), 1u);
  EXPECT_EQ(kills[0].slot, slot);
  EXPECT_EQ(std::get<MemoryFacts>(kills[0].facts).limit, mebibytes(32));
  EXPECT_GT(std::get<MemoryFacts>(kills[0].facts).usage, mebibytes(30));
  EXPECT_GT(kills[0].at, before);
  EXPECT_LT(kills[0].at, now());
}

// Ticks, tracking, storms and removals all at once, for a second.
TEST_F(EngineOnAKernel, GroupsComeAndGoInTheMiddleOfAStorm) {
  const MonotonicTime end = now() + seconds(3);
  int rounds = 0;
  while (now() < end) {
    OwnGroup group("storm-" + std::to_string(rounds++), mebibytes(32));
    track(group, mebibytes(32));
    tick();
    Load load(group, [] { (void)fill(mebibytes(96)); });
    if (rounds % 3 == 0) {
      engine_->collect();
    } else if (rounds % 3 == 1) {
      tick();
    } else {
      EXPECT_FALSE(load.was_killed());
    }
    ASSERT_TRUE(group.remove());
  }
  EXPECT_GT(rounds, 2);
  EXPECT_TRUE(until([&] { return is_free(0); }));
}

// A new cgroup in the slot of a former one: what was known of the former does not touch it.
TEST_F(EngineOnAKernel, FormerTenantOfASlotDoesNotTouchTheNextOne) {
  for (int run = 0; run < 5; ++run) {
    OwnGroup first("first-" + std::to_string(run), mebibytes(32));
    const agent::Slot slot = track(first, mebibytes(32));
    tick();
    auto load = std::make_unique<Load>(first, [] { (void)fill(mebibytes(160)); });
    EXPECT_TRUE(until([&] { return load->has_ended() || first.event("max") > 0; }));
    load.reset();
    ASSERT_TRUE(first.remove());
    engine_->untrack(slot);
    const OwnGroup second("second-" + std::to_string(run), mebibytes(48));
    ASSERT_TRUE(until([&] {
      tick();
      return engine_->status().slots_in_use == 0;
    }));
    ASSERT_EQ(track(second, mebibytes(48)), slot);
    for (int i = 0; i < 3; ++i) {
      for (const Record& record : tick()) EXPECT_NE(record.kind, Record::Kind::kGrant);
    }
    EXPECT_EQ(value(second.group().read_memory_max()), limit_of(mebibytes(48)));
    engine_->untrack(slot);
    ASSERT_TRUE(until([&] {
      tick();
      return engine_->status().slots_in_use == 0;
    }));
  }
}

TEST_F(EngineOnAKernel, AsManyCgroupsAsThereAreSlots) {
  // Three descriptors for each, and the test's own.
  const rlimit files{.rlim_cur = 65536, .rlim_max = 65536};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &files), 0);
  std::vector<std::unique_ptr<OwnGroup>> groups;
  for (std::uint32_t i = 0; i < bpf::kMaxSlots + 1; ++i) {
    groups.push_back(std::make_unique<OwnGroup>("many-" + std::to_string(i)));
  }
  for (std::uint32_t i = 0; i < bpf::kMaxSlots; ++i) {
    ASSERT_TRUE(engine_->track(groups[i]->group(),
                               {.bounds = {.floor = mebibytes(64), .ceiling = mebibytes(512)}}))
        << i;
  }
  const auto refused = engine_->track(groups.back()->group(), {});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kDenied);
  EXPECT_EQ(engine_->status().refused, 1u);
  tick();
  tick();

  // The last of them is as good as the first.
  value(cgroup::Writer().set_memory_max(groups[bpf::kMaxSlots - 1]->group(),
                                        limit_of(mebibytes(64))));
  tick();
  tick();
  Load load(*groups[bpf::kMaxSlots - 1], [] { (void)fill(mebibytes(192)); });
  EXPECT_FALSE(load.was_killed());

  // All go at once, and all slots are free again.
  for (auto& group : groups) ASSERT_TRUE(group->remove());
  groups.clear();
  tick();
  tick();
  std::uint32_t again = 0;
  EXPECT_TRUE(until([&] {
    tick();
    while (again < bpf::kMaxSlots) {
      if (groups.size() <= again) {
        groups.push_back(std::make_unique<OwnGroup>("again-" + std::to_string(again)));
      }
      if (!engine_->track(groups[again]->group(), {})) return false;
      ++again;
    }
    return true;
  })) << again
      << " of " << bpf::kMaxSlots << " slots came back";
}

}  // namespace
}  // namespace plimsoll::test
