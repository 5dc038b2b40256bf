// SPDX-License-Identifier: Apache-2.0
//
// What a cgroup tree does, as far as the fake one can do it too: one suite, run on CgroupTree by
// the unit tests and on the kernel's own tree by tests/vm/cgroup_vmtest.cc. Where they disagree,
// the fake is wrong.
//
// A tree has root(), the path() of an empty group with the memory controller to work in, and
// add(name) and remove(name) for the groups below that.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "cgroup/events_watch.h"
#include "cgroup/hierarchy.h"
#include "cgroup/limit_file.h"
#include "cgroup/root.h"
#include "cgroup/walk.h"
#include "cgroup/writer.h"

namespace plimsoll::test {

using cgroup::Group;
using cgroup::Writer;

template <typename Tree>
class TreeContract : public testing::Test {
 protected:
  Group add(const std::string& name) {
    tree.add(name);
    return open(name);
  }
  Group open(const std::string& name) {
    auto group = tree.root().open_group(tree.path() + "/" + name);
    if (!group) throw std::runtime_error(group.error().message);
    return std::move(*group);
  }
  Tree tree;
};
TYPED_TEST_SUITE_P(TreeContract);

template <typename T>
Code code_of(const Result<T>& result) {
  EXPECT_FALSE(result.has_value());
  return result ? Code::kUnavailable : result.error().code;
}

constexpr Limit mebibytes(std::uint64_t count) { return {count * kMiB}; }

TYPED_TEST_P(TreeContract, AGroupIsKnownByItsInode) {
  const Group a = this->add("a");
  const Group b = this->add("b");
  EXPECT_NE(a.id(), b.id());
  EXPECT_EQ(a.id(), this->open("a").id());
  EXPECT_EQ(a.path(), this->tree.path() + "/a");
  const auto slash = this->tree.root().open_group("/" + a.path());
  ASSERT_TRUE(slash);
  EXPECT_EQ(slash->id(), a.id());
  EXPECT_EQ(slash->path(), a.path());
}

TYPED_TEST_P(TreeContract, AFreshGroupIsEmptyAndUnlimited) {
  const Group group = this->add("a");
  EXPECT_EQ(group.read_memory_max(), kNoLimit);
  EXPECT_EQ(group.read_memory_high(), kNoLimit);
  const auto current = group.read_memory_current();
  ASSERT_TRUE(current);
  EXPECT_LT(current->value, kMiB);
  const auto stat = group.read_memory_stat();
  ASSERT_TRUE(stat) << stat.error().message;
  EXPECT_EQ(stat->anon, Bytes{0});
  EXPECT_TRUE(stat->workingset_refault_file);
  EXPECT_TRUE(stat->pgscan);
  EXPECT_EQ(group.read_memory_events(), (cgroup::MemoryEvents{.oom_group_kill = 0}));
  EXPECT_EQ(group.read_memory_events_local(), (cgroup::MemoryEvents{.oom_group_kill = 0}));
  EXPECT_EQ(group.read_memory_pressure(), (cgroup::Pressure{{}, cgroup::Stall{}}));
  EXPECT_EQ(group.read_procs(), cgroup::Procs{});
  EXPECT_EQ(group.read_cgroup_events(), (cgroup::CgroupEvents{false, false}));
  const auto controllers = group.read_controllers();
  ASSERT_TRUE(controllers);
  EXPECT_TRUE(controllers->contains("memory"));
}

TYPED_TEST_P(TreeContract, TheTopHasNoLimits) {
  const cgroup::Root root = this->tree.root();
  EXPECT_EQ(root.top().path(), "");
  EXPECT_EQ(code_of(root.top().read_memory_max()), Code::kUnsupported);
  EXPECT_EQ(code_of(root.top().read_memory_current()), Code::kUnsupported);
  EXPECT_TRUE(root.top().read_memory_stat());
}

TYPED_TEST_P(TreeContract, AFileThatTheKernelLacksIsUnsupportedNotGone) {
  const Group group = this->add("a");
  EXPECT_EQ(code_of(group.open_file("memory.from_the_future", 0)), Code::kUnsupported);
}

TYPED_TEST_P(TreeContract, PathsThatLeaveTheRootAreRefused) {
  const cgroup::Root root = this->tree.root();
  for (const std::string path : {"..", "../x", "a/../..", "./a", "a//b", "a/", "//"}) {
    EXPECT_EQ(code_of(root.open_group(path)), Code::kMalformed) << path;
  }
  EXPECT_EQ(code_of(root.open_group(std::string("a\0b", 3))), Code::kMalformed);
  EXPECT_EQ(code_of(root.open_group(std::string(5000, 'a'))), Code::kMalformed);
  EXPECT_EQ(code_of(root.open_group(this->tree.path() + "/never_made")), Code::kGone);
  EXPECT_FALSE(root.open_group(this->tree.path() + "/cgroup.procs"));
}

TYPED_TEST_P(TreeContract, LimitsAreWrittenAndReadBack) {
  const Group group = this->add("a");
  const Writer writer;
  EXPECT_EQ(writer.set_memory_max(group, mebibytes(1024)),
            (cgroup::Change{group.id(), kNoLimit, mebibytes(1024)}));
  // Shorter than the text that is there.
  EXPECT_EQ(writer.set_memory_max(group, mebibytes(8)),
            (cgroup::Change{group.id(), mebibytes(1024), mebibytes(8)}));
  EXPECT_EQ(group.read_memory_max(), mebibytes(8));
  EXPECT_EQ(writer.set_memory_high(group, mebibytes(7)),
            (cgroup::Change{group.id(), kNoLimit, mebibytes(7)}));
  EXPECT_EQ(writer.set_memory_max(group, kNoLimit),
            (cgroup::Change{group.id(), mebibytes(8), kNoLimit}));
  EXPECT_EQ(group.read_memory_high(), mebibytes(7));
}

TYPED_TEST_P(TreeContract, ARaiseGoesDownAndALoweringGoesUp) {
  const Group pod = this->add("pod");
  const Group container = this->add("pod/container");
  const Writer writer;
  ASSERT_TRUE(writer.set_memory_max(pod, mebibytes(64)));
  ASSERT_TRUE(writer.set_memory_max(container, mebibytes(32)));

  const std::array<cgroup::Step, 2> up{{{&pod, mebibytes(128)}, {&container, mebibytes(96)}}};
  const cgroup::Steps raised = writer.raise_memory_max(up);
  EXPECT_FALSE(raised.error);
  ASSERT_EQ(raised.done.size(), 2U);
  EXPECT_EQ(raised.done[0], (cgroup::Change{pod.id(), mebibytes(64), mebibytes(128)}));
  EXPECT_EQ(raised.done[1], (cgroup::Change{container.id(), mebibytes(32), mebibytes(96)}));

  const std::array<cgroup::Step, 2> down{{{&pod, mebibytes(80)}, {&container, mebibytes(48)}}};
  const cgroup::Steps lowered = writer.lower_memory_max(down);
  EXPECT_FALSE(lowered.error);
  ASSERT_EQ(lowered.done.size(), 2U);
  EXPECT_EQ(lowered.done[0], (cgroup::Change{container.id(), mebibytes(96), mebibytes(48)}));
  EXPECT_EQ(lowered.done[1], (cgroup::Change{pod.id(), mebibytes(128), mebibytes(80)}));
}

TYPED_TEST_P(TreeContract, ARaiseNeverLowersAndALoweringNeverRaises) {
  const Group group = this->add("a");
  const Writer writer;
  ASSERT_TRUE(writer.set_memory_max(group, mebibytes(64)));
  const std::array<cgroup::Step, 1> less{{{&group, mebibytes(32)}}};
  EXPECT_EQ(writer.raise_memory_max(less).done,
            (std::vector{cgroup::Change{group.id(), mebibytes(64), mebibytes(64)}}));
  const std::array<cgroup::Step, 1> more{{{&group, mebibytes(128)}}};
  EXPECT_EQ(writer.lower_memory_max(more).done,
            (std::vector{cgroup::Change{group.id(), mebibytes(64), mebibytes(64)}}));
  EXPECT_EQ(group.read_memory_max(), mebibytes(64));
}

TYPED_TEST_P(TreeContract, AStepThatFailsSaysWhatWasDoneBefore) {
  const Group pod = this->add("pod");
  const Group container = this->add("pod/container");
  ASSERT_TRUE(Writer().set_memory_max(pod, mebibytes(64)));
  this->tree.remove("pod/container");
  const std::array<cgroup::Step, 2> up{{{&pod, mebibytes(128)}, {&container, mebibytes(96)}}};
  const cgroup::Steps raised = Writer().raise_memory_max(up);
  EXPECT_EQ(raised.done, (std::vector{cgroup::Change{pod.id(), mebibytes(64), mebibytes(128)}}));
  ASSERT_TRUE(raised.error);
  EXPECT_EQ(raised.error->code, Code::kGone);
  // The other way round nothing was done.
  const std::array<cgroup::Step, 2> down{{{&pod, mebibytes(32)}, {&container, mebibytes(16)}}};
  const cgroup::Steps lowered = Writer().lower_memory_max(down);
  EXPECT_TRUE(lowered.done.empty());
  EXPECT_TRUE(lowered.error);
  EXPECT_EQ(pod.read_memory_max(), mebibytes(128));
}

TYPED_TEST_P(TreeContract, AnOpenLimitFileWritesWhatAnybodyReads) {
  const Group group = this->add("a");
  const auto max = cgroup::LimitFile::open_max(group);
  const auto high = cgroup::LimitFile::open_high(group);
  const auto usage = cgroup::UsageFile::open(group);
  ASSERT_TRUE(max && high && usage);
  EXPECT_EQ(max->id(), group.id());
  EXPECT_EQ(max->read(), kNoLimit);
  EXPECT_EQ(max->write(1024 * kMiB), 0);
  EXPECT_EQ(max->write(8 * kMiB), 0);
  EXPECT_EQ(max->read(), mebibytes(8));
  EXPECT_EQ(group.read_memory_max(), mebibytes(8));
  EXPECT_EQ(high->write(4 * kMiB), 0);
  EXPECT_EQ(group.read_memory_high(), mebibytes(4));
  EXPECT_EQ(max->write(kNoLimit.bytes), 0);
  EXPECT_EQ(max->read(), kNoLimit);
  ASSERT_TRUE(usage->read());
  EXPECT_LT(usage->read()->value, kMiB);
}

TYPED_TEST_P(TreeContract, ARemovedGroupIsGoneForGood) {
  const Group group = this->add("a");
  EXPECT_TRUE(group.alive());
  this->tree.remove("a");
  EXPECT_FALSE(group.alive());
  EXPECT_EQ(code_of(group.read_memory_max()), Code::kGone);
  EXPECT_EQ(code_of(group.read_memory_stat()), Code::kGone);
  EXPECT_EQ(code_of(group.read_procs()), Code::kGone);
  EXPECT_EQ(code_of(group.open_file("memory.from_the_future", 0)), Code::kGone);
  EXPECT_EQ(code_of(Writer().set_memory_max(group, mebibytes(64))), Code::kGone);
  EXPECT_EQ(code_of(Writer().remove_group(group)), Code::kGone);
  EXPECT_EQ(code_of(cgroup::LimitFile::open_max(group)), Code::kGone);
  EXPECT_EQ(code_of(cgroup::read_levels(this->tree.root(), group)), Code::kGone);
  EXPECT_EQ(code_of(cgroup::list_descendants(group)), Code::kGone);

  const Group successor = this->add("a");
  EXPECT_NE(successor.id(), group.id());
  EXPECT_EQ(code_of(group.read_memory_max()), Code::kGone);
  EXPECT_EQ(code_of(cgroup::read_levels(this->tree.root(), group)), Code::kGone);
}

TYPED_TEST_P(TreeContract, TheWalkFindsEveryGroupByItsId) {
  const Group a = this->add("a");
  const Group b = this->add("a/b");
  const Group c = this->add("a/b/c");
  const Group d = this->add("d");
  const cgroup::Root root = this->tree.root();

  const auto walk = cgroup::list_descendants(a);
  ASSERT_TRUE(walk);
  EXPECT_TRUE(walk->complete);
  EXPECT_EQ(walk->groups, (std::vector<cgroup::Found>{{b.id(), b.path()}, {c.id(), c.path()}}));
  for (const Group* const group : {&a, &b, &c, &d}) {
    const auto found = cgroup::find_by_id(root, group->id());
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->path(), group->path());
  }
  EXPECT_EQ(cgroup::find_by_id(root, root.top().id())->path(), "");
  EXPECT_EQ(code_of(cgroup::find_by_id(root, CgroupId{~0ULL})), Code::kGone);
  this->tree.remove("d");
  EXPECT_EQ(code_of(cgroup::find_by_id(root, d.id())), Code::kGone);
}

TYPED_TEST_P(TreeContract, TheWalkStopsAtItsBounds) {
  const Group a = this->add("a");
  this->add("a/b");
  const Group c = this->add("a/b/c");
  const auto few = cgroup::list_descendants(a, {.most_groups = 1});
  ASSERT_TRUE(few);
  EXPECT_FALSE(few->complete);
  EXPECT_EQ(few->groups.size(), 1U);
  const auto shallow = cgroup::list_descendants(a, {.deepest = 1});
  ASSERT_TRUE(shallow);
  EXPECT_FALSE(shallow->complete);
  EXPECT_EQ(shallow->groups.size(), 1U);
  EXPECT_EQ(code_of(cgroup::find_by_id(this->tree.root(), c.id(), {.most_groups = 1})),
            Code::kUnavailable);
}

TYPED_TEST_P(TreeContract, TheSmallestMarginBinds) {
  const Group pod = this->add("pod");
  const Group container = this->add("pod/container");
  const cgroup::Root root = this->tree.root();
  const auto binding = [&]() -> std::string {
    const auto levels = cgroup::read_levels(root, container);
    if (!levels) return levels.error().message;
    EXPECT_EQ(levels->front().id, container.id());
    EXPECT_NE(levels->back().path, "");  // the top has no limits
    const auto index = cgroup::binding_limit(*levels);
    return index ? levels->at(*index).path : "none";
  };
  EXPECT_EQ(binding(), "none");
  ASSERT_TRUE(Writer().set_memory_max(pod, mebibytes(64)));
  EXPECT_EQ(binding(), pod.path());
  ASSERT_TRUE(Writer().set_memory_max(container, mebibytes(32)));
  EXPECT_EQ(binding(), container.path());
  ASSERT_TRUE(Writer().set_memory_max(pod, mebibytes(16)));
  EXPECT_EQ(binding(), pod.path());
}

TYPED_TEST_P(TreeContract, AnEventsWatchIsQuietWhenNothingHappens) {
  const Group a = this->add("a");
  auto watch = cgroup::EventsWatch::open();
  ASSERT_TRUE(watch);
  ASSERT_TRUE(watch->add(a));
  ASSERT_TRUE(watch->add(a));
  const auto changes = watch->drain();
  ASSERT_TRUE(changes);
  EXPECT_TRUE(changes->changed.empty());
  EXPECT_TRUE(changes->gone.empty());
  EXPECT_FALSE(changes->lost);
  watch->remove(a.id());
  watch->remove(a.id());
  this->tree.remove("a");
  EXPECT_EQ(code_of(watch->add(a)), Code::kGone);
  ASSERT_TRUE(watch->drain());
}

TYPED_TEST_P(TreeContract, CreatingTakesOneFreshName) {
  const Group a = this->add("a");
  const auto child = Writer().create_group(a, "child");
  ASSERT_TRUE(child) << child.error().message;
  EXPECT_EQ(child->path(), a.path() + "/child");
  EXPECT_EQ(this->open("a/child").id(), child->id());
  EXPECT_EQ(code_of(Writer().create_group(a, "child")), Code::kConflict);
  for (const char* const name : {"", "/", "x/y", "/x", "..", "."}) {
    EXPECT_EQ(code_of(Writer().create_group(a, name)), Code::kMalformed) << name;
  }
}

TYPED_TEST_P(TreeContract, TheRootIsNotRemoved) {
  EXPECT_EQ(code_of(Writer().remove_group(this->tree.root().top())), Code::kDenied);
}

REGISTER_TYPED_TEST_SUITE_P(TreeContract, AGroupIsKnownByItsInode, AFreshGroupIsEmptyAndUnlimited,
                            TheTopHasNoLimits, AFileThatTheKernelLacksIsUnsupportedNotGone,
                            PathsThatLeaveTheRootAreRefused, LimitsAreWrittenAndReadBack,
                            ARaiseGoesDownAndALoweringGoesUp,
                            ARaiseNeverLowersAndALoweringNeverRaises,
                            AStepThatFailsSaysWhatWasDoneBefore,
                            AnOpenLimitFileWritesWhatAnybodyReads, ARemovedGroupIsGoneForGood,
                            TheWalkFindsEveryGroupByItsId, TheWalkStopsAtItsBounds,
                            TheSmallestMarginBinds, AnEventsWatchIsQuietWhenNothingHappens,
                            CreatingTakesOneFreshName, TheRootIsNotRemoved);

}  // namespace plimsoll::test
