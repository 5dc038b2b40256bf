// SPDX-License-Identifier: Apache-2.0
//
// The reaction thread over a tree of ordinary files and without BPF: what each command does to the
// limit file, to the budget and to the parents, and which commands are too old to do anything.
#include "agent/reaction/memory_reaction.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/support/cgroup_tree.h"

namespace plimsoll::agent::memory_reaction_test {
namespace {

constexpr Bytes mebibytes(std::uint64_t count) { return {count * kMiB}; }
constexpr MonotonicTime at(int milliseconds) {
  return MonotonicTime(std::chrono::milliseconds(milliseconds));
}

class ReactionTest : public ::testing::Test {
 protected:
  ReactionTest() {
    auto started = MemoryReaction::start(MemoryPolicy{}, nullptr);
    if (!started) throw std::runtime_error(started.error().message);
    reaction_ = std::move(*started);
  }

  // A cgroup with `limit` in its file, tracked as `slot`.
  void track(Slot slot, const std::string& path, Bytes limit, Bytes ceiling,
             std::optional<Slot> parent = std::nullopt, std::uint32_t epoch = 1) {
    tree_.add(path, {{"memory.max", std::to_string(limit.value) + "\n"}});
    auto file = cgroup::LimitFile::open_max(tree_.group(path));
    ASSERT_TRUE(file) << file.error().message;
    files_.push_back(std::make_unique<cgroup::LimitFile>(std::move(*file)));
    ASSERT_TRUE(reaction_->send(
        memory_command::Track{.tenant = {slot, epoch},
                              .limit_file = files_.back().get(),
                              .parent = parent,
                              .armed = {.bounds = {.floor = limit, .ceiling = ceiling}}}));
  }

  // Somebody else does.
  void write(const std::string& path, Bytes limit) {
    tree_.set(path, "memory.max", std::to_string(limit.value) + "\n");
  }
  void raise(Slot slot, Bytes to, std::uint32_t epoch = 1) {
    ASSERT_TRUE(reaction_->send(memory_command::Raise{
        .tenant = {slot, epoch}, .limit = to, .at = at(1), .reason = Reason::kThrashing}));
  }

  // The next report; blocks until there is one.
  std::optional<Report> next() {
    for (int i = 0; i < 500; ++i) {
      if (auto report = reaction_->receive()) return report;
      pollfd wait{.fd = reaction_->report_wakeup().fd(), .events = POLLIN, .revents = 0};
      ::poll(&wait, 1, 20);
    }
    return std::nullopt;
  }

  // Everything sent so far has been obeyed: a slot of its own is tracked and let go again.
  std::vector<Report> settle() {
    constexpr Slot kFence = 2000;
    const std::string path = "fence-" + std::to_string(++fences_);
    track(kFence, path, mebibytes(1), mebibytes(1), std::nullopt, 1000 + fences_);
    EXPECT_TRUE(reaction_->send(memory_command::Untrack{{kFence, 1000 + fences_}}));
    std::vector<Report> reports;
    while (auto report = next()) {
      if (report->tenant.slot == kFence) return reports;
      reports.push_back(*report);
    }
    ADD_FAILURE() << "the reaction thread does not answer";
    return reports;
  }

  std::string limit_text(const std::string& path) { return tree_.get(path, "memory.max"); }
  Bytes limit_of_file(const std::string& path) { return {std::stoull(limit_text(path))}; }

  test::CgroupTree tree_;
  std::vector<std::unique_ptr<cgroup::LimitFile>> files_;
  std::unique_ptr<MemoryReaction> reaction_;
  std::uint32_t fences_ = 0;
};

TEST_F(ReactionTest, RaisesAndReports) {
  track(0, "a", mebibytes(64), mebibytes(512));
  raise(0, mebibytes(128));
  const auto report = next();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->kind, Report::Kind::kGrant);
  EXPECT_EQ(report->tenant.slot, 0u);
  EXPECT_EQ(report->tenant.epoch, 1u);
  EXPECT_EQ(report->layer, Layer::kSlowLoop);
  EXPECT_EQ(report->reason, Reason::kThrashing);
  EXPECT_EQ(report->facts.limit, mebibytes(64));
  EXPECT_EQ(report->to, mebibytes(128));
  EXPECT_EQ(report->error, 0);
  EXPECT_EQ(report->event_time, at(1));
  EXPECT_GT(report->written_time, report->event_time);
  EXPECT_EQ(limit_of_file("a"), mebibytes(128));
  EXPECT_EQ(reaction_->limits().raises(0), 1u);
  EXPECT_EQ(reaction_->limits().granted(), mebibytes(64));
}

TEST_F(ReactionTest, RaiseToLessOrTheSameDoesNothing) {
  track(0, "a", mebibytes(64), mebibytes(512));
  raise(0, mebibytes(64));
  raise(0, mebibytes(32));
  EXPECT_TRUE(settle().empty());
  EXPECT_EQ(limit_of_file("a"), mebibytes(64));
  EXPECT_EQ(reaction_->limits().raises(0), 0u);
}

TEST_F(ReactionTest, ParentsAreRaisedByTheSameAmount) {
  track(0, "pod", mebibytes(100), mebibytes(1000));
  track(1, "pod/container", mebibytes(64), mebibytes(512), Slot{0});
  raise(1, mebibytes(128));
  ASSERT_EQ(settle().size(), 1u);
  EXPECT_EQ(limit_of_file("pod"), mebibytes(164));
  EXPECT_EQ(limit_of_file("pod/container"), mebibytes(128));
  EXPECT_EQ(reaction_->limits().raises(0), 1u);
  EXPECT_EQ(reaction_->limits().raises(1), 1u);
}

TEST_F(ReactionTest, AllLevelsAreRaised) {
  track(0, "a", mebibytes(200), mebibytes(1000));
  track(1, "a/b", mebibytes(100), mebibytes(1000), Slot{0});
  track(2, "a/b/c", mebibytes(50), mebibytes(1000), Slot{1});
  raise(2, mebibytes(90));
  settle();
  EXPECT_EQ(limit_of_file("a"), mebibytes(240));
  EXPECT_EQ(limit_of_file("a/b"), mebibytes(140));
  EXPECT_EQ(limit_of_file("a/b/c"), mebibytes(90));
}

TEST_F(ReactionTest, ParentStopsAtItsCeilingAndItsChildGoesOn) {
  track(0, "pod", mebibytes(100), mebibytes(120));
  track(1, "pod/container", mebibytes(64), mebibytes(512), Slot{0});
  raise(1, mebibytes(128));
  raise(1, mebibytes(256));
  settle();
  EXPECT_EQ(limit_of_file("pod"), mebibytes(120));
  EXPECT_EQ(limit_of_file("pod/container"), mebibytes(256));
  EXPECT_EQ(reaction_->limits().raises(0), 1u);
}

TEST_F(ReactionTest, ParentWithoutALimitStaysWithoutOne) {
  track(0, "pod", {UINT64_MAX}, mebibytes(1000));
  tree_.set("pod", "memory.max", "max\n");
  track(1, "pod/container", mebibytes(64), mebibytes(512), Slot{0});
  raise(1, mebibytes(128));
  settle();
  EXPECT_EQ(limit_text("pod"), "max\n");
  EXPECT_EQ(limit_of_file("pod/container"), mebibytes(128));
}

// kubernetes/kubernetes#138760: the slice kept its limit while the container got a larger one.
TEST_F(ReactionTest, ParentThatWasLeftBehindIsRaisedToItsChild) {
  track(0, "pod", mebibytes(100), mebibytes(4096));
  track(1, "pod/container", mebibytes(1024), mebibytes(4096), Slot{0});
  raise(1, mebibytes(1100));
  settle();
  EXPECT_EQ(limit_of_file("pod"), mebibytes(1100));
  write("pod", mebibytes(100));
  raise(1, mebibytes(1100));
  EXPECT_TRUE(settle().empty()) << "the container has it already";
  EXPECT_EQ(limit_of_file("pod"), mebibytes(1100));
}

TEST_F(ReactionTest, ParentIsWrittenUpToItsDirectCeiling) {
  track(0, "pod", mebibytes(100), mebibytes(1000));
  track(1, "pod/container", mebibytes(64), mebibytes(512), Slot{0});
  ASSERT_TRUE(reaction_->send(
      memory_command::Arm{.tenant = {0, 1},
                          .armed = {.bounds = {.floor = mebibytes(100),
                                               .ceiling = mebibytes(1000),
                                               .direct_ceiling = mebibytes(110)}}}));
  raise(1, mebibytes(128));
  settle();
  EXPECT_EQ(limit_of_file("pod"), mebibytes(110));
  EXPECT_EQ(limit_of_file("pod/container"), mebibytes(128));
}

// The container's new room is never beyond its pod's.
TEST_F(ReactionTest, ParentsAreWrittenBeforeTheirChildren) {
  track(0, "a", mebibytes(200), mebibytes(1000));
  track(1, "a/b", mebibytes(100), mebibytes(1000), Slot{0});
  track(2, "a/b/c", mebibytes(50), mebibytes(1000), Slot{1});
  settle();
  const Fd watch(::inotify_init1(IN_CLOEXEC));
  ASSERT_TRUE(watch);
  std::map<int, std::string> names;
  for (const std::string path : {"a/b/c", "a/b", "a"}) {
    const std::string file = tree_.path() + "/" + path + "/memory.max";
    names[::inotify_add_watch(watch.get(), file.c_str(), IN_MODIFY)] = path;
  }
  raise(2, mebibytes(90));
  settle();
  alignas(inotify_event) std::array<char, 4096> events{};
  const ssize_t got = ::read(watch.get(), events.data(), events.size());
  std::vector<std::string> order;
  for (ssize_t at = 0; at < got;) {
    inotify_event event{};
    std::memcpy(&event, events.data() + at, sizeof(event));
    order.push_back(names[event.wd]);
    at += static_cast<ssize_t>(sizeof(event) + event.len);
  }
  EXPECT_EQ(order, (std::vector<std::string>{"a", "a/b", "a/b/c"}));
}

TEST_F(ReactionTest, ANewParentIsRaisedFromThenOn) {
  track(0, "old", mebibytes(100), mebibytes(1000));
  track(1, "new", mebibytes(100), mebibytes(1000));
  track(2, "container", mebibytes(64), mebibytes(512), Slot{0});
  ASSERT_TRUE(reaction_->send(memory_command::Parent{.tenant = {2, 1}, .parent = Slot{1}}));
  raise(2, mebibytes(128));
  settle();
  EXPECT_EQ(limit_of_file("old"), mebibytes(100));
  EXPECT_EQ(limit_of_file("new"), mebibytes(164));
}

TEST_F(ReactionTest, RaisesOfAGroupAreSummedUp) {
  track(0, "a", mebibytes(64), mebibytes(512));
  track(1, "b", mebibytes(64), mebibytes(512));
  ASSERT_TRUE(reaction_->send(memory_command::Arm{
      .tenant = {0, 1}, .armed = {.bounds = {.ceiling = mebibytes(512)}, .group = 5}}));
  raise(0, mebibytes(100));
  raise(1, mebibytes(100));
  settle();
  EXPECT_EQ(reaction_->limits().granted(5), mebibytes(36));
  EXPECT_EQ(reaction_->limits().granted(4), Bytes{});
  EXPECT_EQ(reaction_->limits().granted(), mebibytes(72));
}

// What was wished is paid for: its bridge costs only what goes beyond.
TEST_F(ReactionTest, ARaiseUpToAWishCostsNothing) {
  track(0, "a", mebibytes(64), mebibytes(512));
  ASSERT_TRUE(reaction_->send(
      memory_command::Wish{{.tenant = {0, 1}, .limit = mebibytes(100), .at = at(0)}}));
  raise(0, mebibytes(90));
  settle();
  EXPECT_EQ(reaction_->limits().granted(), Bytes{});
  raise(0, mebibytes(110));
  settle();
  EXPECT_EQ(reaction_->limits().granted(), mebibytes(10));
  ASSERT_TRUE(reaction_->send(memory_command::Raise{.tenant = {0, 1},
                                                    .limit = mebibytes(200),
                                                    .at = at(1),
                                                    .reason = Reason::kBelowChildren,
                                                    .promised = true}));
  settle();
  EXPECT_EQ(limit_of_file("a"), mebibytes(200));
  EXPECT_EQ(reaction_->limits().granted(), mebibytes(10));
}

TEST_F(ReactionTest, AWishThatIsOldOrForgottenPaysNothing) {
  track(0, "a", mebibytes(64), mebibytes(512));
  track(1, "b", mebibytes(64), mebibytes(512));
  for (const Slot slot : {0U, 1U}) {
    ASSERT_TRUE(reaction_->send(
        memory_command::Wish{{.tenant = {slot, 1}, .limit = mebibytes(100), .at = at(0)}}));
  }
  ASSERT_TRUE(reaction_->send(memory_command::Wish{{.tenant = {0, 1}}}));
  raise(0, mebibytes(90));
  ASSERT_TRUE(reaction_->send(memory_command::Raise{
      .tenant = {1, 1}, .limit = mebibytes(90), .at = MonotonicTime(kWishLife)}));
  settle();
  EXPECT_EQ(reaction_->limits().granted(), mebibytes(52));
}

TEST_F(ReactionTest, ANewPolicyHoldsForWhatComesAfter) {
  track(0, "a", mebibytes(64), mebibytes(512));
  ASSERT_TRUE(reaction_->send(memory_command::Budget{.left = mebibytes(10)}));
  settle();
  ASSERT_TRUE(reaction_->configure({.round_to = mebibytes(4)}));
  ASSERT_TRUE(reaction_->send(
      memory_command::Announce{{.tenant = {0, 1}, .limit = mebibytes(100), .at = at(1)}}));
  settle();
  EXPECT_EQ(limit_of_file("a"), mebibytes(72)) << "the budget, rounded down";
}

// The slot of a parent that is gone may belong to somebody else by now.
TEST_F(ReactionTest, FormerParentsSlotIsNotRaised) {
  track(0, "pod", mebibytes(100), mebibytes(1000));
  track(1, "pod/container", mebibytes(64), mebibytes(512), Slot{0});
  ASSERT_TRUE(reaction_->send(memory_command::Untrack{{0, 1}}));
  track(0, "stranger", mebibytes(100), mebibytes(1000), std::nullopt, 2);
  raise(1, mebibytes(128));
  settle();
  EXPECT_EQ(limit_of_file("pod/container"), mebibytes(128));
  EXPECT_EQ(limit_of_file("stranger"), mebibytes(100));
}

TEST_F(ReactionTest, CommandsOfAFormerTenantAreIgnored) {
  track(0, "a", mebibytes(64), mebibytes(512), std::nullopt, 2);
  raise(0, mebibytes(128), 1);
  ASSERT_TRUE(reaction_->send(memory_command::Untrack{{0, 1}}));
  ASSERT_TRUE(reaction_->send(memory_command::Rewrite{{0, 1}}));
  for (const Report& report : settle()) EXPECT_EQ(report.kind, Report::Kind::kUntracked);
  EXPECT_EQ(limit_of_file("a"), mebibytes(64));
  raise(0, mebibytes(200), 2);
  const auto reports = settle();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].kind, Report::Kind::kGrant);
  EXPECT_EQ(reports[0].facts.limit, mebibytes(64));
}

TEST_F(ReactionTest, AfterUntrackNothingIsWritten) {
  track(0, "a", mebibytes(64), mebibytes(512));
  ASSERT_TRUE(reaction_->send(memory_command::Untrack{{0, 1}}));
  const auto report = next();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->kind, Report::Kind::kUntracked);
  raise(0, mebibytes(128));
  EXPECT_TRUE(settle().empty());
  EXPECT_EQ(limit_of_file("a"), mebibytes(64));
}

TEST_F(ReactionTest, NeverTrackedSlotIsIgnored) {
  raise(5, mebibytes(128), 0);
  ASSERT_TRUE(reaction_->send(memory_command::Rewrite{{7, 0}}));
  EXPECT_TRUE(settle().empty());
}

// Somebody else has lowered it.
TEST_F(ReactionTest, TheLimitThatStandsIsWhereTheNextRaiseStarts) {
  track(0, "a", mebibytes(256), mebibytes(512));
  settle();
  write("a", mebibytes(64));
  raise(0, mebibytes(128));
  const auto reports = settle();
  ASSERT_EQ(reports.size(), 1u);
  EXPECT_EQ(reports[0].facts.limit, mebibytes(64));
  EXPECT_EQ(reaction_->limits().granted(), mebibytes(64));
}

TEST_F(ReactionTest, ARaiseDoesNotLowerWhatSomebodyElseHasRaised) {
  track(0, "a", mebibytes(64), mebibytes(512));
  raise(0, mebibytes(128));
  ASSERT_TRUE(next());
  write("a", mebibytes(300));
  raise(0, mebibytes(200));
  EXPECT_TRUE(settle().empty());
  EXPECT_EQ(limit_of_file("a"), mebibytes(300));
  ASSERT_TRUE(reaction_->send(memory_command::Rewrite{{0, 1}}));
  settle();
  EXPECT_EQ(limit_of_file("a"), mebibytes(300));
}

TEST_F(ReactionTest, ARaiseDoesNotLowerAParentThatSomebodyElseHasRaised) {
  track(0, "pod", mebibytes(1024), mebibytes(8192));
  track(1, "pod/container", mebibytes(1024), mebibytes(4096), Slot{0});
  settle();
  write("pod", mebibytes(3072));
  raise(1, mebibytes(1088));
  settle();
  EXPECT_EQ(limit_of_file("pod"), mebibytes(3072 + 64));
  EXPECT_EQ(limit_of_file("pod/container"), mebibytes(1088));
}

TEST_F(ReactionTest, AnnouncedWorkDoesNotLowerWhatSomebodyElseHasRaised) {
  track(0, "a", mebibytes(100), mebibytes(4096));
  ASSERT_TRUE(reaction_->send(memory_command::Budget{.left = mebibytes(8192)}));
  settle();
  write("a", mebibytes(3072));
  ASSERT_TRUE(reaction_->send(
      memory_command::Announce{{.tenant = {0, 1}, .limit = mebibytes(1024), .at = at(1)}}));
  EXPECT_TRUE(settle().empty());
  EXPECT_EQ(limit_of_file("a"), mebibytes(3072));
}

// A lowering of the slow loop ran over a raise: the raise is put back.
TEST_F(ReactionTest, RewritePutsTheLastRaiseBack) {
  track(0, "a", mebibytes(64), mebibytes(512));
  raise(0, mebibytes(128));
  ASSERT_TRUE(next());
  tree_.set("a", "memory.max", "33554432\n");
  ASSERT_TRUE(reaction_->send(memory_command::Rewrite{{0, 1}}));
  settle();
  EXPECT_EQ(limit_of_file("a"), mebibytes(128));
}

// A write to memory.max may not return before it is interrupted.
TEST_F(ReactionTest, ARaiseInterruptsTheLoweringOfThatLimitOnly) {
  sigset_t urgent, before, pending;
  ::sigemptyset(&urgent);
  ::sigaddset(&urgent, SIGURG);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &urgent, &before), 0);
  const auto interrupted = [&] {
    return ::sigpending(&pending) == 0 && ::sigismember(&pending, SIGURG) == 1;
  };
  track(0, "a", mebibytes(64), mebibytes(512));
  track(1, "b", mebibytes(64), mebibytes(512));
  std::optional<MemoryLimits::Lowering> lowering(std::in_place, reaction_->limits(), 0);
  raise(1, mebibytes(128));
  settle();
  EXPECT_FALSE(interrupted());
  EXPECT_FALSE(lowering->raised());
  raise(0, mebibytes(128));
  settle();
  EXPECT_TRUE(interrupted());
  EXPECT_TRUE(lowering->raised());
  ASSERT_EQ(::sigwaitinfo(&urgent, nullptr), SIGURG);
  lowering.reset();
  raise(0, mebibytes(256));
  settle();
  EXPECT_FALSE(interrupted());
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

TEST_F(ReactionTest, GrantedIsTheSumOfAllRaises) {
  track(0, "a", mebibytes(64), mebibytes(512));
  track(1, "b", mebibytes(64), mebibytes(512));
  raise(0, mebibytes(100));
  raise(1, mebibytes(164));
  raise(0, mebibytes(200));
  EXPECT_EQ(settle().size(), 3u);
  EXPECT_EQ(reaction_->limits().granted(), mebibytes(136 + 100));
  EXPECT_EQ(reaction_->limits().raises(0), 2u);
  EXPECT_EQ(reaction_->limits().raises(1), 1u);
}

// Nobody fetches: the commands pile up to the queue's bound, are refused then, and are obeyed
// later; the reports that find no room are counted.
TEST_F(ReactionTest, LostReportsAreCounted) {
  track(0, "a", mebibytes(1), mebibytes(1) + mebibytes(100'000));
  std::uint64_t sent = 0;
  for (std::uint64_t i = 2; i <= 2000; ++i) {
    while (!reaction_->send(memory_command::Raise{.tenant = {0, 1}, .limit = mebibytes(i)})) {
      std::this_thread::yield();
    }
    ++sent;
  }
  while (reaction_->limits().raises(0) < sent) std::this_thread::yield();
  std::uint64_t received = 0;
  while (next()) {
    if (++received + reaction_->reports_lost() == sent) break;
  }
  EXPECT_EQ(received + reaction_->reports_lost(), sent);
  EXPECT_GT(reaction_->reports_lost(), 0u);
  EXPECT_EQ(limit_of_file("a"), mebibytes(2000));
}

// A report may be lost, and a slot whose end nobody heard of would never be free again: whoever
// asks twice is answered twice.
TEST_F(ReactionTest, UntrackOfWhatIsGoneIsAnsweredAgain) {
  track(0, "a", mebibytes(64), mebibytes(512));
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(reaction_->send(memory_command::Untrack{{0, 1}}));
    const auto report = next();
    ASSERT_TRUE(report) << "time " << i;
    EXPECT_EQ(report->kind, Report::Kind::kUntracked);
    EXPECT_EQ(report->tenant.slot, 0u);
    EXPECT_EQ(report->tenant.epoch, 1u);
  }
}

TEST_F(ReactionTest, StopsAtOnce) {
  track(0, "a", mebibytes(64), mebibytes(512));
  settle();
  const auto begin = std::chrono::steady_clock::now();
  reaction_.reset();
  // A quarter of a second is the beat; it must not be waited for many times over.
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

}  // namespace
}  // namespace plimsoll::agent::memory_reaction_test
