// SPDX-License-Identifier: Apache-2.0
//
// The CPU programs on a real kernel: what they count is what cpu.stat says, an event comes when
// more periods are throttled than is tolerated and not before, it says how much is used and by how
// many, and nothing is left behind. Run as root in a guest.
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "bpf/cpu_programs.h"
#include "bpf/record_time.h"
#include "tests/vm/bpf_ids.h"
#include "tests/vm/own_group.h"

namespace plimsoll::test {
namespace {

using bpf::CpuPrograms;
using bpf::CpuSample;

// A cgroup in one of those.
class Nested {
 public:
  Nested(const OwnGroup& parent, const std::string& name)
      : parent_(parent), name_(name), group_(value(writer_.create_group(parent.group(), name))) {}
  ~Nested() {
    (void)writer_.kill(group_);
    EXPECT_TRUE(until([&] { return ::rmdir(file("").c_str()) == 0; }));
  }
  Nested(const Nested&) = delete;
  Nested& operator=(const Nested&) = delete;

  const cgroup::Group& group() const { return group_; }
  std::string file(const std::string& name) const { return parent_.file(name_ + "/" + name); }

 private:
  const OwnGroup& parent_;
  std::string name_;
  cgroup::Writer writer_;
  cgroup::Group group_;
};

template <typename Owner>
void write(const Owner& group, const std::string& name, const std::string& text) {
  std::ofstream file(group.file(name));
  file << text << std::flush;
  if (!file) throw std::runtime_error("cannot write " + text + " to " + name);
}

std::map<std::string, std::uint64_t> cpu_stat(const OwnGroup& group) {
  std::map<std::string, std::uint64_t> stat;
  std::ifstream file(group.file("cpu.stat"));
  std::string word;
  for (std::uint64_t count = 0; file >> word >> count;) stat[word] = count;
  return stat;
}

[[noreturn]] void burn(int threads) {
  std::vector<std::thread> others;
  const auto spin = [] {
    while (true) asm volatile("");
  };
  for (int i = 1; i < threads; ++i) others.emplace_back(spin);
  spin();
  std::abort();
}

// Runs for `busy` of every `every`.
[[noreturn]] void burn_in_bursts(milliseconds busy, milliseconds every) {
  for (MonotonicTime next = now();; next += every) {
    while (now() < next + busy) {
    }
    std::this_thread::sleep_until(next + every);
  }
}

std::vector<pl_cpu_event> drain(CpuPrograms& programs) {
  std::vector<pl_cpu_event> events;
  programs.drain(
      [](void* out, const pl_cpu_event& event) {
        static_cast<std::vector<pl_cpu_event>*>(out)->push_back(event);
      },
      &events);
  return events;
}

std::vector<pl_cpu_event> wait_for_event(CpuPrograms& programs) {
  pollfd waits{.fd = programs.event_fd(), .events = POLLIN, .revents = 0};
  ::poll(&waits, 1, 10'000);
  return drain(programs);
}

// Microseconds that a task may use without quota and that are charged to the next period, which the
// last one has not. Where tasks are throttled instead of queues (Linux 6.18), they run on until
// they leave the kernel: one that is killed, to its end.
double most_owed() {
  std::ifstream file("/sys/kernel/btf/vmlinux", std::ios::binary);
  const std::string types{std::istreambuf_iterator<char>(file), {}};
  return types.find("throttled_limbo_list") == std::string::npos ? 0 : 50'000;
}

constexpr bpf::Tolerance kNever{.window = 64, .periods = 64};

// Without a limit there are no periods any more, so that the numbers of two moments can be
// compared.
void expect_parity(CpuPrograms& programs, const OwnGroup& group, std::uint32_t slot) {
  ASSERT_TRUE(programs.sweep());
  EXPECT_TRUE(programs.read_sample(slot).quota);
  write(group, "cpu.max", "max 100000");
  const auto counted = [&] { return cpu_stat(group)["nr_periods"]; };
  std::uint64_t before = counted();
  EXPECT_TRUE(until([&] {
    std::this_thread::sleep_for(milliseconds(250));
    return std::exchange(before, counted()) == before;
  }));
  ASSERT_TRUE(programs.sweep());
  EXPECT_FALSE(programs.read_sample(slot).quota);
  const CpuSample sample = programs.read_sample(slot);
  auto stat = cpu_stat(group);
  EXPECT_EQ(sample.kernel_periods, stat["nr_periods"]);
  EXPECT_EQ(sample.kernel_throttled, stat["nr_throttled"]);
  EXPECT_EQ(sample.throttled_for.count() / 1000, static_cast<std::int64_t>(stat["throttled_usec"]));
  // What the programs have counted themselves. A timer that comes late ends several periods, which
  // the kernel counts and the programs see as one.
  EXPECT_GT(sample.periods, 0u);
  EXPECT_LE(sample.periods, stat["nr_periods"]);
  EXPECT_LE(sample.periods_throttled, stat["nr_throttled"]);
  const double used = static_cast<double>(sample.used.count()) / 1e3;
  const double usage = static_cast<double>(stat["usage_usec"]);
  EXPECT_LE(used, usage * 1.05 + 5000);
  EXPECT_GE(used, usage * 0.95 - 5000 - most_owed());
  std::printf("periods %lu of %lu, throttled %lu of %lu, used %.3f of %.3f s, waited %.3f s\n",
              sample.periods, stat["nr_periods"], sample.periods_throttled, stat["nr_throttled"],
              static_cast<double>(sample.used.count()) / 1e9,
              static_cast<double>(stat["usage_usec"]) / 1e6,
              static_cast<double>(stat["throttled_usec"]) / 1e6);
  EXPECT_EQ(programs.counters().missed, 0u);
}

TEST(Parity, OfOneThread) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("one");
  write(group, "cpu.max", "10000 100000");
  EXPECT_EQ(value(programs.track(3, 1, group.group().fd().get(), kNever)), group.group().id());
  {
    const Load load(group, [] { burn(1); });
    EXPECT_TRUE(until([&] { return programs.read_sample(3).periods_throttled >= 20; }));
    ASSERT_TRUE(programs.sweep());
    const CpuSample sample = programs.read_sample(3);
    EXPECT_GT(sample.throttles, 0u);
    EXPECT_EQ(sample.quota, milliseconds(10));
    EXPECT_EQ(sample.period, milliseconds(100));
  }
  expect_parity(programs, group, 3);
}

TEST(Parity, OfMoreThreadsThanCpusAndOfBurstsAtTheSameTime) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup many("many");
  const OwnGroup bursts("bursts");
  const OwnGroup unlimited("unlimited");
  write(many, "cpu.max", "20000 50000");
  write(bursts, "cpu.max", "30000 100000");
  value(programs.track(0, 1, many.group().fd().get(), kNever));
  value(programs.track(1, 2, bursts.group().fd().get(), kNever));
  value(programs.track(2, 3, unlimited.group().fd().get(), kNever));
  {
    const Load first(many, [] { burn(4); });
    const Load second(bursts, [] { burn_in_bursts(milliseconds(120), milliseconds(700)); });
    const Load third(unlimited, [] { burn(1); });
    EXPECT_TRUE(until([&] {
      return programs.read_sample(0).periods_throttled >= 20 &&
             programs.read_sample(1).periods_throttled >= 3;
    }));
  }
  expect_parity(programs, many, 0);
  expect_parity(programs, bursts, 1);
  EXPECT_FALSE(programs.read_sample(2).quota);
  EXPECT_EQ(programs.read_sample(2).throttles, 0u);
}

// A limit of the parent throttles the parent's queues, whoever in it runs.
TEST(Parity, TheLevelThatBindsIsTheOneThatIsThrottled) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup parent("parent");
  write(parent, "cpu.max", "10000 100000");
  write(parent, "cgroup.subtree_control", "+cpu");
  const Nested child(parent, "child");
  write(child, "cpu.max", "50000 100000");
  value(programs.track(0, 1, parent.group().fd().get(), kNever));
  value(programs.track(1, 2, child.group().fd().get(), kNever));
  {
    const std::string procs = child.file("cgroup.procs");
    const Load load(parent, [&] {
      std::ofstream(procs) << 0 << std::flush;
      burn(1);
    });
    EXPECT_TRUE(until([&] { return programs.read_sample(0).periods_throttled >= 10; }));
  }
  expect_parity(programs, parent, 0);
  EXPECT_EQ(programs.read_sample(1).periods_throttled, 0u);
}

TEST(Event, ComesWithTheThrottleThatIsOneTooMany) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("event");
  write(group, "cpu.max", "10000 100000");
  value(programs.track(7, 9, group.group().fd().get(), {.window = 20, .periods = 1}));
  programs.arm(7, true);
  const Load load(group, [] { burn(1); });
  const std::vector<pl_cpu_event> events = wait_for_event(programs);
  ASSERT_FALSE(events.empty());
  const pl_cpu_event& event = events.front();
  EXPECT_EQ(event.slot, 7u);
  EXPECT_EQ(event.epoch, 9u);
  EXPECT_EQ(CgroupId{event.cgroup_id}, group.group().id());
  // Where a slow guest lets it run far over its quota, it pays for several periods at once.
  EXPECT_GE(event.throttled, 2u);
  EXPECT_GE(programs.read_sample(7).periods_throttled, 1u);
  EXPECT_EQ(bpf::duration_of(event.quota_ns), milliseconds(10));
  EXPECT_EQ(bpf::duration_of(event.period_ns), milliseconds(100));
  EXPECT_EQ(event.burst_ns, 0u);
  EXPECT_LE(bpf::duration_of(event.used_ns), milliseconds(10));
  EXPECT_EQ(event.runnable, 1u);
  EXPECT_GT(event.time_ns, event.refilled_ns);
  EXPECT_EQ(programs.malformed(), 0u);
}

// It is told again for as long as nothing comes of it: an event may be lost.
TEST(Event, IsRepeatedWhileNobodyAnswers) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("repeated");
  write(group, "cpu.max", "10000 100000");
  value(programs.track(0, 1, group.group().fd().get(), {.window = 20, .periods = 1}));
  programs.arm(0, true);
  const Load load(group, [] { burn(1); });
  std::size_t seen = 0;
  EXPECT_TRUE(until([&] { return (seen += drain(programs).size()) >= 3; }));
  EXPECT_EQ(programs.counters().events_dropped, 0u);
}

TEST(Event, OneThatIsToleratedIsNotTold) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("tolerated");
  write(group, "cpu.max", "10000 100000");
  value(programs.track(0, 1, group.group().fd().get(), {.window = 64, .periods = 64}));
  programs.arm(0, true);
  {
    const Load load(group, [] { burn(1); });
    EXPECT_TRUE(until([&] { return programs.read_sample(0).periods_throttled >= 5; }));
  }
  EXPECT_TRUE(drain(programs).empty());
  EXPECT_EQ(programs.counters().events, 0u);
}

TEST(Event, WhatIsNotArmedIsNotTold) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("unarmed");
  write(group, "cpu.max", "10000 100000");
  value(programs.track(0, 1, group.group().fd().get(), {.window = 20, .periods = 0}));
  {
    const Load load(group, [] { burn(1); });
    EXPECT_TRUE(until([&] { return programs.read_sample(0).periods_throttled >= 3; }));
  }
  EXPECT_TRUE(drain(programs).empty());
}

// What the window has forgotten is not held against anybody.
TEST(Event, OldThrottlesLeaveTheWindow) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("window");
  write(group, "cpu.max", "10000 100000");
  value(programs.track(0, 1, group.group().fd().get(), kNever));
  programs.arm(0, true);
  {
    const Load load(group, [] { burn(1); });
    EXPECT_TRUE(until([&] { return programs.read_sample(0).periods_throttled >= 6; }));
  }
  write(group, "cpu.max", "10000000 100000");
  const std::uint64_t seen = programs.read_sample(0).periods;
  {
    // Often enough that periods go by.
    const Load load(group, [] { burn_in_bursts(milliseconds(1), milliseconds(20)); });
    EXPECT_TRUE(until([&] { return programs.read_sample(0).periods >= seen + 12; }));
  }
  write(group, "cpu.max", "10000 100000");
  programs.set_tolerance(0, {.window = 8, .periods = 0});
  const Load load(group, [] { burn(1); });
  const std::vector<pl_cpu_event> events = wait_for_event(programs);
  ASSERT_FALSE(events.empty());
  EXPECT_LT(events.front().throttled, 8u);
}

TEST(Event, CountsTheThreadsThatCouldRun) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("threads");
  value(programs.track(0, 1, group.group().fd().get(), {.window = 20, .periods = 0}));
  programs.arm(0, true);
  const Load load(group, [] { burn(5); });
  EXPECT_TRUE(until([&] {
    std::ifstream threads(group.file("cgroup.threads"));
    std::size_t count = 0;
    for (std::string id; threads >> id;) ++count;
    return count == 5;
  }));
  write(group, "cpu.max", "20000 100000");
  const std::vector<pl_cpu_event> events = wait_for_event(programs);
  ASSERT_FALSE(events.empty());
  // Where tasks are throttled one by one, those that are throttled already are counted once for
  // each CPU.
  EXPECT_GE(events.front().runnable, 2u);
  EXPECT_LE(events.front().runnable, 5u);
}

// What the answer relies on: a raise lets the throttled go on at once, and the period is not
// counted as throttled.
TEST(Answer, ARaiseEndsTheThrottleAtOnce) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("answer");
  write(group, "cpu.max", "10000 100000");
  value(programs.track(0, 1, group.group().fd().get(), {.window = 20, .periods = 0}));
  programs.arm(0, true);
  const Load load(group, [] { burn(1); });
  const std::vector<pl_cpu_event> events = wait_for_event(programs);
  ASSERT_FALSE(events.empty());
  write(group, "cpu.max", "10000000 100000");
  programs.answer(0);
  const auto [seen, throttled] = [&] {
    const CpuSample sample = programs.read_sample(0);
    return std::pair(sample.periods, sample.periods_throttled);
  }();
  (void)drain(programs);
  EXPECT_TRUE(until([&] { return programs.read_sample(0).periods >= seen + 10; }));
  // On a slow guest some periods may have ended before the write.
  EXPECT_LE(programs.read_sample(0).periods_throttled, throttled);
  EXPECT_TRUE(drain(programs).empty());
}

TEST(Programs, RefuseACgroupWithoutTheController) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup parent("without");
  const Nested child(parent, "child");
  const auto tracked = programs.track(0, 1, child.group().fd().get(), kNever);
  ASSERT_FALSE(tracked);
  EXPECT_EQ(tracked.error().code, Code::kUnsupported);
  EXPECT_TRUE(programs.track(0, 1, parent.group().fd().get(), kNever));
  EXPECT_FALSE(programs.track(0, 2, parent.group().fd().get(), kNever)) << "the slot is in use";
  programs.untrack(0);
  EXPECT_TRUE(programs.track(0, 3, parent.group().fd().get(), kNever));
}

TEST(Programs, AnUntrackedCgroupIsNotCounted) {
  auto programs = value(CpuPrograms::load());
  const OwnGroup group("untracked");
  write(group, "cpu.max", "10000 100000");
  value(programs.track(0, 1, group.group().fd().get(), {.window = 20, .periods = 0}));
  programs.arm(0, true);
  programs.untrack(0);
  const Load load(group, [] { burn(1); });
  EXPECT_TRUE(until([&] { return cpu_stat(group)["nr_throttled"] >= 3; }));
  EXPECT_EQ(programs.read_sample(0).periods, 0u);
  EXPECT_TRUE(drain(programs).empty());
}

TEST(Programs, LeaveNothingBehind) {
  const BpfIds before;
  {
    const OwnGroup group("leave");
    auto programs = value(CpuPrograms::load());
    value(programs.track(0, 1, group.group().fd().get(), kNever));
    EXPECT_TRUE(before.new_programs());
  }
  EXPECT_TRUE(until([&] { return before.nothing_new(); }));
}

}  // namespace
}  // namespace plimsoll::test
