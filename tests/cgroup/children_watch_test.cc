// SPDX-License-Identifier: Apache-2.0
#include "cgroup/children_watch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "tests/support/cgroup_tree.h"
#include "tests/support/in_memory.h"

namespace plimsoll::cgroup::children_watch_test {
namespace {

using test::CgroupTree;
using Place = ChildrenWatch::Place;

class ChildrenWatchTest : public testing::Test {
 protected:
  ChildrenWatch::Changes drain() { return watch.drain().value(); }

  CgroupTree tree{{"pods", {}}, {"other", {}}};
  Group pods = tree.group("pods");
  ChildrenWatch watch = ChildrenWatch::open().value();
};

TEST_F(ChildrenWatchTest, NamesThePlaceOnce) {
  ASSERT_TRUE(watch.add(pods));
  ASSERT_TRUE(watch.add(pods));
  EXPECT_EQ(watch.size(), 1U);
  EXPECT_TRUE(drain().places.empty());
  tree.add("pods/a");
  tree.add("pods/b");
  tree.remove("pods/a");
  tree.add("pods/a");
  EXPECT_EQ(drain().places, (std::vector<Place>{{pods.id(), "a"}, {pods.id(), "b"}}));
  EXPECT_TRUE(drain().places.empty());
}

TEST_F(ChildrenWatchTest, OnlyCgroupsDirectlyBelow) {
  ASSERT_TRUE(watch.add(pods));
  tree.add("other/a");
  tree.set("pods", "a file", "");
  EXPECT_TRUE(drain().places.empty());
  tree.add("pods/a/b");
  EXPECT_EQ(drain().places, (std::vector<Place>{{pods.id(), "a"}}));
}

TEST_F(ChildrenWatchTest, WhatIsForgottenSaysNothingMore) {
  ASSERT_TRUE(watch.add(pods));
  tree.add("pods/a");
  watch.remove(pods.id());
  watch.remove(pods.id());
  EXPECT_TRUE(drain().places.empty());
  EXPECT_EQ(watch.size(), 0U);
  ASSERT_TRUE(watch.add(pods));
  tree.add("pods/b");
  EXPECT_EQ(drain().places, (std::vector<Place>{{pods.id(), "b"}}));
}

class FullQueueTest : public test::InMemory, public ChildrenWatchTest {};

TEST_F(FullQueueTest, SaysSo) {
  ASSERT_TRUE(watch.add(pods));
  const auto most = std::stoul(read_file("/proc/sys/fs/inotify/max_queued_events").value());
  const std::string name = tree.path() + "/pods/x";
  for (unsigned long i = 0; i <= most / 2; ++i) {
    ASSERT_TRUE(std::filesystem::create_directory(name));
    ASSERT_TRUE(std::filesystem::remove(name));
  }
  const auto changes = drain();
  EXPECT_TRUE(changes.lost);
  EXPECT_EQ(changes.places, (std::vector<Place>{{pods.id(), "x"}}));
  EXPECT_FALSE(drain().lost);
}

}  // namespace
}  // namespace plimsoll::cgroup::children_watch_test
