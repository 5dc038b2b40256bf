// SPDX-License-Identifier: Apache-2.0
#include "cgroup/children_watch.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

#include "base/file.h"
#include "tests/support/cgroup_tree.h"
#include "tests/support/in_memory.h"

namespace plimsoll::cgroup {
namespace {

using test::CgroupTree;
using Place = ChildrenWatch::Place;

class ChildrenWatchTest : public testing::Test {
 protected:
  ChildrenWatch::Changes drain() { return watch_.drain().value(); }

  CgroupTree tree_{{"pods", {}}, {"other", {}}};
  Group pods_ = tree_.group("pods");
  ChildrenWatch watch_ = ChildrenWatch::open().value();
};

TEST_F(ChildrenWatchTest, NamesThePlaceOnce) {
  ASSERT_TRUE(watch_.add(pods_));
  ASSERT_TRUE(watch_.add(pods_));
  EXPECT_EQ(watch_.size(), 1U);
  EXPECT_TRUE(drain().places.empty());
  tree_.add("pods/a");
  tree_.add("pods/b");
  tree_.remove("pods/a");
  tree_.add("pods/a");
  EXPECT_EQ(drain().places, (std::vector<Place>{{pods_.id(), "a"}, {pods_.id(), "b"}}));
  EXPECT_TRUE(drain().places.empty());
}

TEST_F(ChildrenWatchTest, OnlyCgroupsDirectlyBelow) {
  ASSERT_TRUE(watch_.add(pods_));
  tree_.add("other/a");
  tree_.set("pods", "a file", "");
  EXPECT_TRUE(drain().places.empty());
  tree_.add("pods/a/b");
  EXPECT_EQ(drain().places, (std::vector<Place>{{pods_.id(), "a"}}));
}

TEST_F(ChildrenWatchTest, WhatIsForgottenSaysNothingMore) {
  ASSERT_TRUE(watch_.add(pods_));
  tree_.add("pods/a");
  watch_.remove(pods_.id());
  watch_.remove(pods_.id());
  EXPECT_TRUE(drain().places.empty());
  EXPECT_EQ(watch_.size(), 0U);
  ASSERT_TRUE(watch_.add(pods_));
  tree_.add("pods/b");
  EXPECT_EQ(drain().places, (std::vector<Place>{{pods_.id(), "b"}}));
}

class FullQueueTest : public test::InMemory, public ChildrenWatchTest {};

TEST_F(FullQueueTest, SaysSo) {
  ASSERT_TRUE(watch_.add(pods_));
  const auto most = std::stoul(read_file("/proc/sys/fs/inotify/max_queued_events").value());
  const std::string name = tree_.path() + "/pods/x";
  for (unsigned long i = 0; i <= most / 2; ++i) {
    ASSERT_TRUE(std::filesystem::create_directory(name));
    ASSERT_TRUE(std::filesystem::remove(name));
  }
  const auto changes = drain();
  EXPECT_TRUE(changes.lost);
  EXPECT_EQ(changes.places, (std::vector<Place>{{pods_.id(), "x"}}));
  EXPECT_FALSE(drain().lost);
}

}  // namespace
}  // namespace plimsoll::cgroup
