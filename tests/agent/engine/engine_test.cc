// SPDX-License-Identifier: Apache-2.0
//
// The engine in tier C over a tree of ordinary files: what its calls do to limits, and what it says
// about them. Events come from the kernel only: tests/vm/engine_vmtest.cc.
#include "agent/engine/engine.h"

#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cgroup_tree.h"

namespace plimsoll::agent::engine_test {
namespace {

using std::chrono::seconds;

constexpr Bytes mib(std::uint64_t count) { return {count * kMiB}; }

EngineConfig tier_c() {
  EngineConfig config;
  config.tier = bpf::Tier::kC;
  config.policy.budget.reserve = Bytes{};
  return config;
}

MemoryChange change_of(const Record& record) { return std::get<MemoryChange>(record.change); }

class EngineTest : public ::testing::Test {
 protected:
  EngineTest() {
    auto started = Engine::start(tier_c());
    if (!started) throw std::runtime_error(started.error().message);
    engine_ = std::move(*started);
  }

  Slot track(const std::string& path, Bytes limit, Bytes usage, const ContainerSpec& spec) {
    tree_.add(path);
    write(path, "memory.max", limit);
    use(path, usage);
    const auto slot = engine_->track(tree_.group(path), spec);
    if (!slot) throw std::runtime_error(slot.error().message);
    return *slot;
  }
  void write(const std::string& path, const std::string& file, Bytes bytes) {
    tree_.set(path, file, std::to_string(bytes.value) + "\n");
  }
  void use(const std::string& path, Bytes usage) { write(path, "memory.current", usage); }
  Bytes limit(const std::string& path) { return {std::stoull(tree_.get(path, "memory.max"))}; }

  // A second later.
  std::vector<Record> tick() { return engine_->tick(now_ += seconds(1)); }
  // All records until one of `kind` is among them.
  std::vector<Record> until(Record::Kind kind) {
    std::vector<Record> all;
    for (int i = 0; i < 2000; ++i) {
      for (Record& record : engine_->collect()) {
        const bool found = record.kind == kind;
        all.push_back(std::move(record));
        if (found) return all;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    throw std::runtime_error("no " + std::string(to_string(kind)));
  }
  // Its usage rises so fast that the next tick must answer.
  void burst(const std::string& path, Bytes limit) {
    use(path, {limit.value / 2});
    tick();
    use(path, {limit.value - kMiB});
  }

  test::CgroupTree tree_;
  std::unique_ptr<Engine> engine_;
  MonotonicTime now_{std::chrono::time_point_cast<Nanoseconds>(std::chrono::steady_clock::now())};
};

const Record* find(const std::vector<Record>& records, Record::Kind kind) {
  for (const Record& record : records) {
    if (record.kind == kind) return &record;
  }
  return nullptr;
}

TEST_F(EngineTest, WritesWhatItMayAndWishesTheRest) {
  const Slot slot =
      track("a", mib(100), mib(10),
            {.bounds = {.floor = mib(100), .ceiling = mib(1000), .direct_ceiling = mib(120)}});
  burst("a", mib(100));
  auto records = tick();
  const Record* wish = find(records, Record::Kind::kWish);
  ASSERT_NE(wish, nullptr);
  EXPECT_EQ(wish->slot, slot);
  EXPECT_EQ(change_of(*wish).from, mib(100));
  EXPECT_GT(change_of(*wish).to, mib(120));
  EXPECT_EQ(wish->layer, Layer::kSlowLoop);
  EXPECT_EQ(wish->reason, Reason::kTimeToLimit);
  EXPECT_EQ(std::get<MemoryFacts>(wish->facts).usage, mib(99));
  const Bytes wished = change_of(*wish).to;
  const auto granted = until(Record::Kind::kGrant);
  EXPECT_EQ(change_of(granted.back()).to, mib(120));
  EXPECT_EQ(limit("a"), mib(120));

  tick();
  ASSERT_EQ(engine_->snapshot().containers.size(), 1u);
  EXPECT_EQ(engine_->snapshot().containers[0].wished, wished) << "promised until it is there";
  engine_->forget_wish(slot);
  tick();
  EXPECT_EQ(engine_->snapshot().containers[0].wished, Bytes{});
}

TEST_F(EngineTest, AWishThatIsFulfilledOrOldIsForgotten) {
  track("a", mib(100), mib(10),
        {.bounds = {.floor = mib(100), .ceiling = mib(1000), .direct_ceiling = Bytes{}}});
  burst("a", mib(100));
  ASSERT_NE(find(tick(), Record::Kind::kWish), nullptr);
  EXPECT_EQ(limit("a"), mib(100));
  tick();
  EXPECT_GT(engine_->snapshot().containers[0].wished, mib(100));
  now_ += kWishLife;
  tick();
  EXPECT_EQ(engine_->snapshot().containers[0].wished, Bytes{});

  burst("a", mib(100));
  ASSERT_NE(find(tick(), Record::Kind::kWish), nullptr);
  write("a", "memory.max", mib(900));
  tick();
  EXPECT_EQ(engine_->snapshot().containers[0].wished, Bytes{});
}

TEST_F(EngineTest, UpdateChangesWhatItMay) {
  const Slot slot =
      track("a", mib(100), mib(10), {.bounds = {.floor = mib(100), .ceiling = mib(100)}});
  tick();
  ContainerSpec wider{.bounds = {.floor = mib(50), .ceiling = mib(1000)}, .group = 3};
  ASSERT_TRUE(engine_->update(slot, wider));
  burst("a", mib(100));
  tick();
  EXPECT_EQ(limit("a"), mib(100)) << "its new group has no budget";
  engine_->set_group_limit(3, limit_of(mib(300)));
  burst("a", mib(100));
  tick();
  until(Record::Kind::kGrant);
  EXPECT_GT(limit("a"), mib(100));
  tick();
  EXPECT_EQ(engine_->plan().groups.at(3).granted, limit("a") - mib(50));
  EXPECT_EQ(engine_->update(99, wider).error().code, Code::kGone);
  wider.group = kMaxGroups;
  EXPECT_EQ(engine_->update(slot, wider).error().code, Code::kMalformed);
}

// A container that starts does not wait for a tick; nobody else is looked at or changed for it.
TEST_F(EngineTest, WhatIsNewIsArmedWithoutATick) {
  const Slot old =
      track("a", mib(100), mib(10), {.bounds = {.floor = mib(100), .ceiling = mib(200)}});
  tick();
  EXPECT_TRUE(engine_->arm(now_).empty()) << "nothing is new";
  engine_->set_group_limit(3, limit_of(mib(150)));
  const Slot fresh = track("b", mib(100), mib(10),
                           {.bounds = {.floor = mib(100), .ceiling = mib(1000)}, .group = 3});
  use("a", mib(99));
  EXPECT_TRUE(engine_->arm(now_).empty());
  ASSERT_EQ(engine_->plan().arming.size(), 2u);
  EXPECT_EQ(engine_->plan().arming[1].armed.denial, std::nullopt);
  EXPECT_EQ(engine_->snapshot().containers[0].facts.usage, mib(10)) << "of the last tick";
  ASSERT_TRUE(engine_->announce(fresh, mib(400)));
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("b"), mib(250)) << "as far as its group goes";

  ASSERT_TRUE(engine_->update(old, {.bounds = {.floor = mib(100), .ceiling = mib(300)}}));
  engine_->arm(now_);
  ASSERT_TRUE(engine_->announce(old, mib(300)));
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("a"), mib(300)) << "its wider bounds";
}

TEST_F(EngineTest, WhatIsNewAndMayNotGrowIsSaid) {
  tick();
  track("a", mib(100), mib(10), {.bounds = {.floor = mib(100), .ceiling = mib(200)}, .group = 3});
  const auto records = engine_->arm(now_);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].kind, Record::Kind::kDenial);
  EXPECT_EQ(records[0].reason, Reason::kGroupBudget);
}

TEST_F(EngineTest, RaiseBelievesTheFileAndNotWhatItWroteLast) {
  const Slot pod =
      track("pod", mib(100), mib(10),
            {.bounds = {.floor = mib(100), .ceiling = mib(1000)}, .covers_children = true});
  const Slot inner = track("pod/c", mib(100), mib(10),
                           {.bounds = {.floor = mib(100), .ceiling = mib(500)}, .parent = pod});
  tick();
  ASSERT_TRUE(engine_->raise(inner, mib(300), Reason::kReasserted));
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("pod/c"), mib(300));
  EXPECT_EQ(limit("pod"), mib(300));
  // Another actor resets both.
  write("pod", "memory.max", mib(100));
  write("pod/c", "memory.max", mib(100));
  ASSERT_TRUE(engine_->raise(inner, mib(300), Reason::kReasserted));
  const auto records = until(Record::Kind::kGrant);
  EXPECT_EQ(records.back().reason, Reason::kReasserted);
  EXPECT_EQ(change_of(records.back()).from, mib(100));
  EXPECT_EQ(limit("pod/c"), mib(300));
  EXPECT_EQ(limit("pod"), mib(300));
  EXPECT_EQ(engine_->raise(inner, mib(501), Reason::kReasserted).error().code, Code::kDenied);
  EXPECT_EQ(engine_->raise(77, mib(1), Reason::kReasserted).error().code, Code::kGone);
}

TEST_F(EngineTest, AnnouncedWorkIsGrownForAtOnceAndAgain) {
  const Slot slot =
      track("a", mib(100), mib(10), {.bounds = {.floor = mib(100), .ceiling = mib(1000)}});
  tick();
  ASSERT_TRUE(engine_->announce(slot, mib(400)));
  auto records = until(Record::Kind::kGrant);
  EXPECT_EQ(records.back().reason, Reason::kAnnounced);
  EXPECT_EQ(change_of(records.back()).from, mib(100));
  EXPECT_EQ(limit("a"), mib(400));
  // Another actor takes it back.
  write("a", "memory.max", mib(100));
  tick();
  records = until(Record::Kind::kGrant);
  EXPECT_EQ(records.back().reason, Reason::kAnnounced);
  EXPECT_EQ(limit("a"), mib(400));
  ASSERT_TRUE(engine_->announce(slot, mib(5000)));
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("a"), mib(1000));
  tick();
  EXPECT_EQ(engine_->snapshot().containers[0].announced, mib(5000));
  ASSERT_TRUE(engine_->announce(slot, std::nullopt));
  tick();
  EXPECT_EQ(engine_->snapshot().containers[0].announced, std::nullopt);
  EXPECT_EQ(engine_->announce(77, mib(1)).error().code, Code::kGone);
}

TEST_F(EngineTest, AnnouncedWorkIsDeniedWhatTheBudgetHasNot) {
  const Slot slot = track("a", mib(100), mib(10),
                          {.bounds = {.floor = mib(100), .ceiling = mib(1000)}, .group = 3});
  engine_->set_group_limit(3, limit_of(Bytes{}));
  tick();
  ASSERT_TRUE(engine_->announce(slot, mib(400)));
  const auto records = until(Record::Kind::kDenial);
  EXPECT_EQ(records.back().reason, Reason::kGroupBudget);
  EXPECT_EQ(limit("a"), mib(100));
  engine_->set_group_limit(3, limit_of(mib(200)));
  tick();
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("a"), mib(300));
}

TEST_F(EngineTest, AnnouncedWorkIsWishedBeyondWhatMayBeWritten) {
  const Slot slot =
      track("a", mib(100), mib(10),
            {.bounds = {.floor = mib(100), .ceiling = mib(1000), .direct_ceiling = Bytes{}}});
  tick();
  ASSERT_TRUE(engine_->announce(slot, mib(400)));
  const auto records = until(Record::Kind::kWish);
  EXPECT_EQ(change_of(records.back()).to, mib(400));
  EXPECT_EQ(records.back().reason, Reason::kAnnounced);
  EXPECT_EQ(limit("a"), mib(100));
}

TEST_F(EngineTest, ASliceThatWasLeftBehindIsRepaired) {
  const Slot pod =
      track("pod", mib(175), mib(10),
            {.bounds = {.floor = mib(1500), .ceiling = mib(4000)}, .covers_children = true});
  track("pod/c", mib(1500), mib(10),
        {.bounds = {.floor = mib(1500), .ceiling = mib(4000)}, .parent = pod});
  tick();
  const auto records = until(Record::Kind::kGrant);
  EXPECT_EQ(records.back().slot, pod);
  EXPECT_EQ(records.back().reason, Reason::kBelowChildren);
  EXPECT_EQ(limit("pod"), mib(1500));
}

TEST_F(EngineTest, LowerStopsAboveWhatIsInUseAndTakesTheSliceAlong) {
  const Slot pod =
      track("pod", mib(800), mib(160),
            {.bounds = {.floor = mib(100), .ceiling = mib(1000)}, .covers_children = true});
  const Slot inner = track("pod/c", mib(800), mib(20),
                           {.bounds = {.floor = mib(100), .ceiling = mib(1000)}, .parent = pod});
  tick();
  const auto lowered = engine_->lower(inner, mib(200), Reason::kWithdrawn);
  ASSERT_TRUE(lowered) << lowered.error().message;
  EXPECT_EQ(*lowered, mib(200));
  EXPECT_EQ(limit("pod/c"), mib(200));
  EXPECT_EQ(limit("pod"), mib(200));
  const auto records = engine_->collect();
  ASSERT_EQ(records.size(), 2u);
  EXPECT_EQ(records[0].kind, Record::Kind::kShrink);
  EXPECT_EQ(records[0].reason, Reason::kWithdrawn);
  EXPECT_EQ(change_of(records[0]).from, mib(800));
  EXPECT_EQ(change_of(records[0]).to, mib(200));

  use("pod/c", mib(150));
  const auto stopped = engine_->lower(inner, mib(100), Reason::kWithdrawn);
  ASSERT_TRUE(stopped);
  EXPECT_EQ(*stopped, mib(154)) << "what is in use, and some room";
  EXPECT_EQ(limit("pod/c"), mib(154));
  EXPECT_EQ(limit("pod"), mib(164)) << "its own usage is higher";
  EXPECT_EQ(*engine_->lower(inner, mib(400), Reason::kWithdrawn), mib(154)) << "no raise";
  EXPECT_EQ(engine_->lower(55, mib(1), Reason::kWithdrawn).error().code, Code::kGone);
}

TEST_F(EngineTest, ANewPolicyIsInForceForTheNextEvent) {
  EngineConfig config = tier_c();
  engine_->reconfigure(config.policy);
  config.policy.memory.step = mib(200);
  engine_->reconfigure(config.policy);

  track("a", mib(100), mib(10), {.bounds = {.floor = mib(100), .ceiling = mib(1000)}});
  burst("a", mib(100));
  tick();
  until(Record::Kind::kGrant);
  EXPECT_GE(limit("a"), mib(300)) << "the new step";
}

TEST_F(EngineTest, AllocatableBoundsWhatIsGiven) {
  engine_->set_allocatable(mib(120));
  track("a", mib(100), mib(10), {.bounds = {.floor = mib(100), .ceiling = mib(1000)}});
  burst("a", mib(100));
  tick();
  until(Record::Kind::kGrant);
  EXPECT_EQ(limit("a"), mib(121)) << "99 of 120 MiB are needed";
}

TEST_F(EngineTest, AFullTableRefusesAndCounts) {
  ASSERT_GE(bpf::kMaxSlots, 1000u);
  // Of each cgroup three files and two of the tier's signals are open: not all fit in this process.
  EXPECT_EQ(engine_->status().refused, 0u);
  EXPECT_EQ(engine_->track(tree_.group(""), {.group = kMaxGroups}).error().code, Code::kMalformed);
}

}  // namespace
}  // namespace plimsoll::agent::engine_test
