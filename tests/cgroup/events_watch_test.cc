// SPDX-License-Identifier: Apache-2.0
#include "cgroup/events_watch.h"

#include <gtest/gtest.h>
#include <poll.h>

#include <string>
#include <vector>

#include "tests/support/cgroup_tree.h"

namespace plimsoll::cgroup::events_watch_test {
namespace {

TEST(EventsWatch, ManyChangesOfOneGroupAreOne) {
  test::CgroupTree tree{{"a", {}}, {"b", {}}, {"c", {}}};
  auto watch = EventsWatch::open();
  ASSERT_TRUE(watch);
  for (const char* const name : {"a", "b", "c"}) ASSERT_TRUE(watch->add(tree.group(name)));
  for (int i = 0; i < 300; ++i) {
    tree.set("b", "memory.events", std::to_string(i));
    tree.set("a", "memory.events", std::to_string(i));
  }
  pollfd waiting{watch->fd().get(), POLLIN, 0};
  ASSERT_EQ(::poll(&waiting, 1, 0), 1);
  const auto changes = watch->drain();
  ASSERT_TRUE(changes);
  EXPECT_EQ(changes->changed, (std::vector<CgroupId>{tree.group("b").id(), tree.group("a").id()}));
  EXPECT_FALSE(changes->lost);
  EXPECT_EQ(::poll(&waiting, 1, 0), 0);
}

TEST(EventsWatch, ARemovedWatchIsQuietAlsoForWhatWasQueued) {
  test::CgroupTree tree{{"a", {}}};
  const CgroupId id = tree.group("a").id();
  auto watch = EventsWatch::open();
  ASSERT_TRUE(watch);
  ASSERT_TRUE(watch->add(tree.group("a")));
  tree.set("a", "memory.events", "x");
  watch->remove(id);
  tree.set("a", "memory.events", "y");
  const auto changes = watch->drain();
  ASSERT_TRUE(changes);
  EXPECT_TRUE(changes->changed.empty());
  EXPECT_TRUE(changes->gone.empty());
}

TEST(EventsWatch, AVanishedFileIsToldOnceAndForgotten) {
  test::CgroupTree tree{{"a", {}}};
  const CgroupId id = tree.group("a").id();
  auto watch = EventsWatch::open();
  ASSERT_TRUE(watch);
  ASSERT_TRUE(watch->add(tree.group("a")));
  tree.remove("a");
  auto changes = watch->drain();
  ASSERT_TRUE(changes);
  EXPECT_EQ(changes->gone, std::vector<CgroupId>{id});
  changes = watch->drain();
  ASSERT_TRUE(changes);
  EXPECT_TRUE(changes->gone.empty());
}

}  // namespace
}  // namespace plimsoll::cgroup::events_watch_test
