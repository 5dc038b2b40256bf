// SPDX-License-Identifier: Apache-2.0
//
// The CPU half of the engine in tier C over a tree of ordinary files: what a throttled cgroup's
// limit comes to, and what is said about it. With BPF: tests/vm/run_cpu.sh.
#include <gtest/gtest.h>

#include <chrono>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "agent/engine/engine.h"
#include "tests/support/cgroup_tree.h"

namespace plimsoll::agent::cpu_engine_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

CpuChange change_of(const Record& record) { return std::get<CpuChange>(record.change); }

class CpuEngineTest : public ::testing::Test {
 protected:
  CpuEngineTest() {
    config_.tier = bpf::Tier::kC;
    config_.policy.cpu.reserve = 0;
    config_.policy.cpu.hold = std::chrono::hours(1);
    auto started = Engine::start(config_);
    if (!started) throw std::runtime_error(started.error().message);
    engine_ = std::move(*started);
  }

  // From here on limits go down when they are not needed.
  void let_go() {
    config_.policy.cpu.hold = milliseconds(100);
    engine_->reconfigure(config_.policy);
  }
  Slot track(const std::string& path, const std::string& max, const CpuSpec& spec,
             std::optional<Slot> parent = std::nullopt, bool covers_children = false) {
    tree_.add(path);
    tree_.set(path, "memory.max", "104857600\n");
    tree_.set(path, "cpu.max", max + "\n");
    const auto slot = engine_->track(tree_.group(path),
                                     {.bounds = {.floor = {100 * kMiB}, .ceiling = {100 * kMiB}},
                                      .parent = parent,
                                      .covers_children = covers_children,
                                      .cpu = spec});
    if (!slot) throw std::runtime_error(slot.error().message);
    return *slot;
  }
  // So much more than before: throttled periods, and the time that the CPUs were used and waited.
  void throttle(const std::string& path, std::uint64_t periods, milliseconds used,
                milliseconds waited) {
    Total& total = totals_[path];
    total.periods += periods;
    total.used += used;
    total.waited += waited;
    const auto text = [](milliseconds time) { return std::to_string(time.count() * 1000); };
    tree_.set(path, "cpu.stat",
              "usage_usec " + text(total.used) + "\nnr_periods " + std::to_string(total.periods) +
                  "\nnr_throttled " + std::to_string(total.periods) + "\nthrottled_usec " +
                  text(total.waited) + "\n");
  }
  // A second later. The node is idle, whatever runs on this machine.
  std::vector<Record> tick() { return engine_->tick(now_ += seconds(1)); }
  std::vector<Record> until(Record::Kind kind, const std::string& throttled = "") {
    std::vector<Record> all;
    for (int i = 0; i < 400; ++i) {
      for (Record& record : engine_->collect()) {
        const bool found = record.kind == kind && is_cpu(record.change);
        all.push_back(std::move(record));
        if (found) return all;
      }
      if (!throttled.empty()) throttle(throttled, 3, milliseconds(30), milliseconds(270));
      std::this_thread::sleep_for(milliseconds(25));
      if (i % 40 == 39) tick();
    }
    throw std::runtime_error("no " + std::string(to_string(kind)));
  }
  MilliCpu limit(const std::string& path) {
    return *cgroup::cpus_of(*cgroup::parse_cpu_max(tree_.get(path, "cpu.max")));
  }
  // Without a tick, which would decide anew.
  void await(const std::string& path, MilliCpu wanted) {
    for (int i = 0; i < 400 && limit(path) != wanted; ++i) {
      std::this_thread::sleep_for(milliseconds(25));
    }
  }

  struct Total {
    std::uint64_t periods = 0;
    milliseconds used{};
    milliseconds waited{};
  };
  EngineConfig config_;
  test::CgroupTree tree_;
  std::map<std::string, Total> totals_;
  std::unique_ptr<Engine> engine_;
  MonotonicTime now_{std::chrono::time_point_cast<Nanoseconds>(std::chrono::steady_clock::now())};
};

TEST_F(CpuEngineTest, WithoutACpuPartNothingIsStarted) {
  tree_.add("a");
  ASSERT_TRUE(engine_->track(tree_.group("a"), {.bounds = {.floor = {kMiB}, .ceiling = {kMiB}}}));
  tick();
  EXPECT_FALSE(engine_->has_cpu());
  EXPECT_FALSE(engine_->snapshot().node.cpu);
  EXPECT_FALSE(engine_->snapshot().containers[0].cpu);
}

TEST_F(CpuEngineTest, AThrottledCgroupIsGivenABurstAndThenMore) {
  const Slot slot = track("a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {100'000}}});
  ASSERT_TRUE(engine_->has_cpu());
  tick();
  throttle("a", 5, milliseconds(50), milliseconds(450));
  tick();
  auto records = until(Record::Kind::kGrant, "a");
  EXPECT_EQ(records.back().slot, slot);
  EXPECT_EQ(records.back().reason, Reason::kBurst);
  EXPECT_EQ(records.back().burst, milliseconds(10));
  EXPECT_EQ(limit("a"), MilliCpu{100}) << "a burst is no raise";
  EXPECT_EQ(tree_.get("a", "cpu.max.burst").substr(0, 6), "10000\n");
  records = until(Record::Kind::kGrant, "a");
  EXPECT_EQ(records.back().reason, Reason::kThrottled);
  EXPECT_GT(change_of(records.back()).to, MilliCpu{100});
  EXPECT_GE(limit("a"), change_of(records.back()).to);
  // Nothing is used any more.
  let_go();
  records = until(Record::Kind::kShrink);
  EXPECT_EQ(records.back().reason, Reason::kLeaseEnded);
  EXPECT_EQ(limit("a"), MilliCpu{100});
}

TEST_F(CpuEngineTest, WhatIsNotThrottledIsLeftAlone) {
  track("a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {2000}}});
  for (int i = 0; i < 5; ++i) {
    for (const Record& record : tick()) EXPECT_FALSE(is_cpu(record.change));
    std::this_thread::sleep_for(milliseconds(30));
  }
  EXPECT_EQ(limit("a"), MilliCpu{100});
  ASSERT_TRUE(engine_->snapshot().containers[0].cpu);
  EXPECT_EQ(engine_->snapshot().containers[0].cpu->limit, MilliCpu{100});
}

TEST_F(CpuEngineTest, WhatMayNotBeWrittenIsWished) {
  track("a", "10000 100000",
        {.bounds = {.floor = {100}, .ceiling = {100'000}, .direct_ceiling = MilliCpu{0}}});
  tick();
  throttle("a", 5, milliseconds(50), milliseconds(450));
  tick();
  const auto records = until(Record::Kind::kWish, "a");
  EXPECT_GT(change_of(records.back()).to, MilliCpu{100});
  EXPECT_EQ(limit("a"), MilliCpu{100});
}

TEST_F(CpuEngineTest, APodIsRaisedBeforeItsContainerAndKeepsWhatThatHas) {
  const Slot pod = track("pod", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {100'000}}});
  const Slot container =
      track("pod/a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {100'000}}}, pod);
  tick();
  ASSERT_TRUE(engine_->raise(container, MilliCpu{700}, Reason::kReasserted));
  const auto records = until(Record::Kind::kGrant);
  EXPECT_EQ(change_of(records.back()).from, MilliCpu{100});
  EXPECT_EQ(change_of(records.back()).to, MilliCpu{700});
  EXPECT_EQ(limit("pod/a"), MilliCpu{700});
  EXPECT_EQ(limit("pod"), MilliCpu{700});
  ASSERT_FALSE(engine_->raise(container, MilliCpu{200'000}, Reason::kReasserted));
  EXPECT_FALSE(engine_->raise(77, MilliCpu{1}, Reason::kReasserted));
}

TEST_F(CpuEngineTest, ARaiseDoesNotLowerWhatSomebodyElseHasRaised) {
  const Slot pod = track("pod", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {100'000}}});
  const Slot container =
      track("pod/a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {100'000}}}, pod);
  tick();
  ASSERT_TRUE(engine_->raise(container, MilliCpu{200}, Reason::kReasserted));
  until(Record::Kind::kGrant);
  tree_.set("pod", "cpu.max", "400000 100000\n");
  ASSERT_TRUE(engine_->raise(container, MilliCpu{300}, Reason::kReasserted));
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("pod"), MilliCpu{4100});
  tree_.set("pod/a", "cpu.max", "400000 100000\n");
  ASSERT_TRUE(engine_->keep(container, {900}, Reason::kStarting));
  ASSERT_TRUE(engine_->raise_ahead(container, {950}, Reason::kAnnounced));
  ASSERT_TRUE(engine_->raise(container, MilliCpu{4500}, Reason::kReasserted));
  EXPECT_EQ(change_of(until(Record::Kind::kGrant).back()).from, MilliCpu{4000});
}

// What else runs in it counts, too, so that the container itself may never be throttled.
TEST_F(CpuEngineTest, APodThatRunsOutFirstHasItsContainerRaised) {
  const Slot pod = track("pod", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {2000}}},
                         std::nullopt, true);
  const Slot container =
      track("pod/a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {2000}}}, pod);
  tick();
  throttle("pod", 5, milliseconds(50), milliseconds(450));
  tick();
  auto records = until(Record::Kind::kGrant, "pod");
  EXPECT_EQ(records.back().reason, Reason::kBurst);
  EXPECT_EQ(tree_.get("pod", "cpu.max.burst").substr(0, 6), "10000\n");
  records = until(Record::Kind::kGrant, "pod");
  EXPECT_EQ(records.back().slot, container);
  EXPECT_EQ(records.back().reason, Reason::kThrottled);
  EXPECT_GT(limit("pod/a"), MilliCpu{100});
  EXPECT_GE(limit("pod"), limit("pod/a"));
}

// Without waiting for what it uses itself.
TEST_F(CpuEngineTest, APodIsLoweredWithItsContainer) {
  const Slot pod = track("pod", "30000 100000", {.bounds = {.floor = {300}, .ceiling = {2000}}},
                         std::nullopt, true);
  const Slot a =
      track("pod/a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {1000}}}, pod);
  const Slot b =
      track("pod/b", "20000 100000", {.bounds = {.floor = {200}, .ceiling = {1000}}}, pod);
  tick();
  ASSERT_TRUE(engine_->keep(a, {700}, Reason::kStarting));
  until(Record::Kind::kGrant);
  ASSERT_TRUE(engine_->keep(b, {700}, Reason::kStarting));
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("pod"), MilliCpu{1400});
  ASSERT_TRUE(engine_->keep(a, {}, Reason::kStarted));
  until(Record::Kind::kShrink);
  EXPECT_EQ(limit("pod/a"), MilliCpu{100});
  await("pod", {800});
  EXPECT_EQ(limit("pod"), MilliCpu{800}) << "the other one is starting yet";
}

TEST_F(CpuEngineTest, WhatAPodGotWithItsContainerIsNotCreditedTwice) {
  config_.policy.cpu.reserve = 0.999999;  // nothing is left
  engine_->reconfigure(config_.policy);
  const Slot pod = track("pod", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {2000}}},
                         std::nullopt, true);
  const Slot a =
      track("pod/a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {1000}}}, pod);
  const Slot b = track("b", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {1000}}});
  tick();
  ASSERT_TRUE(engine_->keep(a, {700}, Reason::kStarting));
  until(Record::Kind::kGrant);
  ASSERT_TRUE(engine_->keep(a, {}, Reason::kStarted));
  await("pod", {100});
  ASSERT_TRUE(engine_->raise_ahead(b, {900}, Reason::kAnnounced));
  ASSERT_TRUE(engine_->keep(a, {600}, Reason::kStarting));
  EXPECT_EQ(until(Record::Kind::kGrant).back().slot, a);
  EXPECT_EQ(limit("b"), MilliCpu{100});
}

// On busy CPUs nothing is given away, and one that starts shares them with the others by weight.
TEST_F(CpuEngineTest, WhatIsKeptIsRaisedOnBusyCpus) {
  SlotTable slots(bpf::kMaxSlots);
  const Wakeup reports = *Wakeup::make();
  const auto half = *CpuEngine::start(config_.policy.cpu, false, reports, slots);
  CpuPlan busy{.budget = {10'000}};
  for (const char* path : {"a", "b"}) {
    tree_.add(path);
    tree_.set(path, "cpu.max", "10000 100000\n");
    const cgroup::Group group = tree_.group(path);
    const CpuSpec spec{.bounds = {.floor = {100}, .ceiling = {1000}}};
    TrackedCgroup& tracked = slots.put(std::unique_ptr<TrackedCgroup>(
        new TrackedCgroup{.slot = *slots.free_slot(),
                          .epoch = slots.next_epoch(),
                          .id = group.id(),
                          .group = tree_.group(path),
                          .limit_file = *cgroup::LimitFile::open_max(group),
                          .reaction_file = *cgroup::LimitFile::open_max(group),
                          .usage_file = *cgroup::UsageFile::open(group),
                          .spec = {.cpu = spec}}));
    ASSERT_TRUE(half->track(tracked));
    busy.arming.push_back(
        {tracked.slot, tracked.id, {.bounds = spec.bounds, .denial = Reason::kNodeBusy}});
  }
  std::vector<Record> records;
  half->apply(busy, now_, records);
  ASSERT_TRUE(half->raise_ahead(*slots.find(0), {900}, Reason::kAnnounced));
  ASSERT_TRUE(half->keep(*slots.find(1), {900}, Reason::kStarting));
  await("b", {900});
  EXPECT_EQ(limit("b"), MilliCpu{900});
  EXPECT_EQ(limit("a"), MilliCpu{100});
}

// What was found is put back to the microsecond.
TEST_F(CpuEngineTest, TheFloorIsWrittenAsItWasFound) {
  const Slot slot = track("a", "33333 100000", {.bounds = {.floor = {333}, .ceiling = {4000}}});
  tick();
  ASSERT_TRUE(engine_->raise(slot, MilliCpu{2000}, Reason::kReasserted));
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("a"), MilliCpu{2000});
  let_go();
  until(Record::Kind::kShrink);
  EXPECT_EQ(tree_.get("a", "cpu.max").substr(0, 13), "33333 100000\n");
}

TEST_F(CpuEngineTest, WhatIsKeptStaysUntilItIsLetGo) {
  const Slot slot =
      track("a", "10000 100000",
            {.bounds = {.floor = {100}, .ceiling = {400}, .direct_ceiling = MilliCpu{1000}}});
  let_go();
  ASSERT_TRUE(engine_->keep(slot, {900}, Reason::kStarting));
  tick();
  auto records = until(Record::Kind::kGrant);
  EXPECT_EQ(records.back().reason, Reason::kStarting);
  EXPECT_EQ(limit("a"), MilliCpu{900}) << "above what a throttle would get";
  // Unused for longer than limits are held.
  for (int i = 0; i < 10; ++i) {
    tick();
    std::this_thread::sleep_for(milliseconds(30));
    for (const Record& record : engine_->collect()) {
      EXPECT_NE(record.kind, Record::Kind::kShrink);
    }
  }
  EXPECT_EQ(limit("a"), MilliCpu{900});
  ASSERT_TRUE(engine_->keep(slot, {}, Reason::kStarted));
  records = until(Record::Kind::kShrink);
  EXPECT_EQ(records.back().reason, Reason::kStarted);
  EXPECT_EQ(limit("a"), MilliCpu{100});
}

// What others were not promised may be used by one that starts, whatever they use now.
TEST_F(CpuEngineTest, WhatIsKeptDoesNotWaitForTheBudget) {
  config_.policy.cpu.reserve = 0.999999;  // nothing is left
  engine_->reconfigure(config_.policy);
  const Slot ahead = track("a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {1000}}});
  const Slot kept = track("b", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {1000}}});
  tick();
  ASSERT_TRUE(engine_->raise_ahead(ahead, {900}, Reason::kAnnounced));
  ASSERT_TRUE(engine_->keep(kept, {900}, Reason::kStarting));
  const auto records = until(Record::Kind::kGrant);
  EXPECT_EQ(records.back().slot, kept);
  EXPECT_EQ(limit("b"), MilliCpu{900});
  EXPECT_EQ(limit("a"), MilliCpu{100});
  // Nor does what it overdraws come back as room for others when it is over.
  ASSERT_TRUE(engine_->keep(kept, {}, Reason::kStarted));
  until(Record::Kind::kShrink);
  ASSERT_TRUE(engine_->raise_ahead(ahead, {900}, Reason::kAnnounced));
  ASSERT_TRUE(engine_->keep(kept, {800}, Reason::kStarting));
  EXPECT_EQ(until(Record::Kind::kGrant).back().slot, kept);
  EXPECT_EQ(limit("a"), MilliCpu{100});
}

TEST_F(CpuEngineTest, WhatIsKeptIsRaisedAgainWhenSomebodyElseLowersIt) {
  const Slot slot = track("a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {1000}}});
  ASSERT_TRUE(engine_->keep(slot, {900}, Reason::kStarting));
  tick();
  until(Record::Kind::kGrant);
  tree_.set("a", "cpu.max", "10000 100000\n");
  tick();
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("a"), MilliCpu{900});
}

TEST_F(CpuEngineTest, WhatIsRaisedAheadIsBoundedAndGivenBack) {
  const Slot slot =
      track("a", "10000 100000",
            {.bounds = {.floor = {100}, .ceiling = {1000}, .direct_ceiling = MilliCpu{600}}});
  tick();
  ASSERT_TRUE(engine_->raise_ahead(slot, {900}, Reason::kAnnounced));
  const auto records = until(Record::Kind::kWish);
  EXPECT_EQ(change_of(records.back()).to, MilliCpu{900});
  EXPECT_EQ(limit("a"), MilliCpu{600});
  let_go();
  until(Record::Kind::kShrink);
  EXPECT_EQ(limit("a"), MilliCpu{100});
}

// A quota has refused it.
TEST_F(CpuEngineTest, WhatMayNotBeWrittenAnyMoreIsTakenBack) {
  CpuSpec spec{.bounds = {.floor = {100}, .ceiling = {1000}, .direct_ceiling = MilliCpu{1000}}};
  const Slot slot = track("a", "10000 100000", spec);
  tick();
  ASSERT_TRUE(engine_->raise(slot, MilliCpu{900}, Reason::kReasserted));
  until(Record::Kind::kGrant);
  spec.bounds.direct_ceiling = MilliCpu{300};
  ASSERT_TRUE(engine_->update(
      slot, {.bounds = {.floor = {100 * kMiB}, .ceiling = {100 * kMiB}}, .cpu = spec}));
  const auto records = until(Record::Kind::kShrink);
  EXPECT_EQ(records.back().reason, Reason::kWithdrawn);
  EXPECT_EQ(limit("a"), MilliCpu{300});
}

// Of an agent before this one.
TEST_F(CpuEngineTest, ALimitThatIsFoundRaisedIsGivenBack) {
  let_go();
  track("a", "90000 100000", {.bounds = {.floor = {100}, .ceiling = {1000}}});
  tick();
  const auto records = until(Record::Kind::kShrink);
  EXPECT_EQ(change_of(records.back()).from, MilliCpu{900});
  EXPECT_EQ(limit("a"), MilliCpu{100});
}

// A container that starts does not wait for a tick.
TEST_F(CpuEngineTest, WhatIsNewIsArmedWithoutATick) {
  tick();
  const Slot slot = track("a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {1000}}});
  EXPECT_TRUE(engine_->arm(now_).empty());
  ASSERT_TRUE(engine_->raise_ahead(slot, {900}, Reason::kAnnounced));
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("a"), MilliCpu{900});
}

TEST_F(CpuEngineTest, ASlotIsFreeWhenBothHalvesHaveLetGo) {
  const Slot slot = track("a", "10000 100000", {.bounds = {.floor = {100}, .ceiling = {2000}}});
  engine_->untrack(slot);
  for (int i = 0; i < 400 && engine_->status().slots_in_use > 0; ++i) {
    tick();
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(engine_->status().slots_in_use, 0u);
  EXPECT_FALSE(engine_->raise(slot, MilliCpu{200}, Reason::kReasserted));
}

TEST_F(CpuEngineTest, WithoutTheControllerItIsNotTracked) {
  tree_.add("a");
  tree_.drop("a", "cpu.max");
  const auto slot = engine_->track(
      tree_.group("a"),
      {.bounds = {.floor = {kMiB}, .ceiling = {kMiB}}, .cpu = CpuSpec{.bounds = {.floor = {100}}}});
  ASSERT_FALSE(slot);
  EXPECT_EQ(slot.error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace plimsoll::agent::cpu_engine_test
