// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/pod_cgroups.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "base/file.h"
#include "tests/support/cgroup_tree.h"
#include "tests/support/in_memory.h"

namespace plimsoll::agent::pod_cgroups_test {
namespace {

using test::CgroupTree;
using Paths = std::vector<std::string>;

const std::string kQos = "kubepods.slice/kubepods-burstable.slice";

std::string uid(unsigned number, char separator) {
  std::string digits = std::to_string(number);
  digits.insert(0, 12 - digits.size(), '0');
  std::string text = "0f1e2d3c_4b5a_6978_8796_" + digits;
  for (char& c : text) c = c == '_' ? separator : c;
  return text;
}
std::string pod_path(unsigned number) {
  return kQos + "/kubepods-burstable-pod" + uid(number, '_') + ".slice";
}
std::string scope(char id) { return "cri-containerd-" + std::string(64, id) + ".scope"; }

Paths paths(const std::vector<PodCgroup>& cgroups) {
  Paths all;
  for (const PodCgroup& cgroup : cgroups) all.push_back(cgroup.path);
  return all;
}

// In memory, where an inode's number is not given again, as in the kernel's tree; and where the
// queue is full soon.
class PodCgroupsTest : public test::InMemory, public testing::Test {
 protected:
  PodCgroups open() { return PodCgroups::open(root).value(); }
  // What it knows is what is there, and what it says of it is true.
  void expect_true(const PodCgroups& pods) {
    for (const auto& [path, cgroup] : pods.all()) {
      const auto group = root.open_group(path);
      ASSERT_TRUE(group) << path;
      EXPECT_EQ(group->id(), cgroup.id) << path;
      EXPECT_EQ(pods.find(cgroup.id), &cgroup);
      EXPECT_EQ(cgroup.name, parse_cgroup_name(path));
    }
  }

  CgroupTree tree{{pod_path(1) + "/" + scope('a'), {}},
                  {pod_path(1) + "/" + scope('b'), {}},
                  {"system.slice/kubelet.service", {}}};
  cgroup::Root root = tree.root();
};

TEST_F(PodCgroupsTest, FindsWhatIsThere) {
  const PodCgroups pods = open();
  EXPECT_EQ(pods.all().size(), 3U);
  EXPECT_TRUE(pods.watching());
  expect_true(pods);
  EXPECT_EQ(pods.all().at(pod_path(1) + "/" + scope('a')).name.pod_path, pod_path(1));
  EXPECT_EQ(pods.find(CgroupId{0}), nullptr);
}

TEST_F(PodCgroupsTest, AnyPlaceBothDriversAndNothingNested) {
  const std::string plain = "x/kubelet/kubepods/besteffort/pod" + uid(2, '-');
  const std::string deep = "system.slice/docker-1.scope/kubelet.slice/kubelet-kubepods.slice";
  tree.add(plain + "/" + std::string(64, 'c') + "/init.scope");
  tree.add(deep + "/kubelet-kubepods-pod" + uid(3, '_') + ".slice");
  const std::string inner = pod_path(1) + "/" + scope('a') + "/kubepods/pod" + uid(4, '-');
  tree.add(inner + "/" + std::string(64, 'd'));
  tree.add(pod_path(1) + "/crio-conmon-" + std::string(64, 'e') + ".scope");
  const PodCgroups pods = open();
  std::set<std::string> uids;
  for (const auto& [path, cgroup] : pods.all()) uids.insert(cgroup.name.pod_uid);
  EXPECT_EQ(uids, (std::set<std::string>{uid(1, '-'), uid(2, '-'), uid(3, '-')}));
  EXPECT_EQ(pods.all().size(), 6U);
}

TEST_F(PodCgroupsTest, SeesPodsAndContainersComeAndGo) {
  PodCgroups pods = open();
  EXPECT_TRUE(pods.drain().empty());
  const CgroupId old = pods.all().at(pod_path(1) + "/" + scope('a')).id;
  tree.remove(pod_path(1) + "/" + scope('a'));
  tree.add(pod_path(1) + "/" + scope('c'));
  PodCgroupChanges changes = pods.drain();
  EXPECT_EQ(paths(changes.gone), (Paths{pod_path(1) + "/" + scope('a')}));
  EXPECT_EQ(changes.gone[0].id, old);
  EXPECT_EQ(paths(changes.appeared), (Paths{pod_path(1) + "/" + scope('c')}));
  expect_true(pods);

  // A whole pod, some of it before it can be watched.
  tree.add(pod_path(2) + "/" + scope('d'));
  EXPECT_EQ(paths(pods.drain().appeared), (Paths{pod_path(2), pod_path(2) + "/" + scope('d')}));
  tree.add(pod_path(2) + "/" + scope('e'));
  EXPECT_EQ(paths(pods.drain().appeared), (Paths{pod_path(2) + "/" + scope('e')}));
  tree.remove(pod_path(2));
  changes = pods.drain();
  ASSERT_EQ(changes.gone.size(), 3U);
  EXPECT_EQ(changes.gone.back().path, pod_path(2)) << "after its containers";
  EXPECT_TRUE(changes.appeared.empty());
  EXPECT_TRUE(pods.drain().empty());
  EXPECT_EQ(pods.counters().rescans, 0U);
}

// Between two looks: a place may have changed any number of times, and only its end counts.
TEST_F(PodCgroupsTest, ComesAndGoesBetweenTwoLooks) {
  PodCgroups pods = open();
  tree.add(pod_path(2) + "/" + scope('c'));
  tree.remove(pod_path(2));
  EXPECT_TRUE(pods.drain().empty());
  // The same names, other cgroups.
  const auto before = pods.all();
  tree.remove(pod_path(1));
  tree.add(pod_path(1) + "/" + scope('a'));
  tree.add(pod_path(1) + "/" + scope('b'));
  const auto changes = pods.drain();
  expect_true(pods);
  EXPECT_EQ(paths(changes.appeared),
            (Paths{pod_path(1), pod_path(1) + "/" + scope('a'), pod_path(1) + "/" + scope('b')}));
  ASSERT_EQ(changes.gone.size(), 3U);
  for (const PodCgroup& gone : changes.gone) {
    EXPECT_EQ(gone, before.at(gone.path));
    EXPECT_NE(gone.id, pods.all().at(gone.path).id);
  }
}

TEST_F(PodCgroupsTest, AKubeletThatStartsLater) {
  CgroupTree empty{{"system.slice", {}}};
  const cgroup::Root bare = empty.root();
  PodCgroups pods = PodCgroups::open(bare).value();
  EXPECT_TRUE(pods.all().empty());
  empty.add(pod_path(1) + "/" + scope('a'));
  EXPECT_EQ(pods.drain().appeared.size(), 2U) << "below the root it is seen at once";
  empty.add(
      "system.slice/docker-1.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" +
      uid(3, '_') + ".slice");
  EXPECT_TRUE(pods.drain().empty());
  EXPECT_EQ(pods.rescan().appeared.size(), 1U) << "elsewhere by the next rescan";
  EXPECT_TRUE(pods.rescan().empty());
}

TEST_F(PodCgroupsTest, LostEventsAreMadeUpForByARescan) {
  PodCgroups pods = open();
  const auto most = std::stoul(read_file("/proc/sys/fs/inotify/max_queued_events").value());
  const std::string name = tree.path() + "/" + kQos + "/x";
  for (unsigned long i = 0; i <= most / 2; ++i) {
    ASSERT_TRUE(std::filesystem::create_directory(name));
    ASSERT_TRUE(std::filesystem::remove(name));
  }
  tree.add(pod_path(2) + "/" + scope('c'));  // of this the queue tells nothing
  tree.remove(pod_path(1) + "/" + scope('a'));
  const auto changes = pods.drain();
  EXPECT_EQ(pods.counters().overflows, 1U);
  EXPECT_EQ(pods.counters().rescans, 1U);
  EXPECT_EQ(paths(changes.appeared), (Paths{pod_path(2), pod_path(2) + "/" + scope('c')}));
  EXPECT_EQ(paths(changes.gone), (Paths{pod_path(1) + "/" + scope('a')}));
  tree.add(pod_path(2) + "/" + scope('d'));
  EXPECT_EQ(paths(pods.drain().appeared), (Paths{pod_path(2) + "/" + scope('d')})) << "watched";
}

TEST_F(PodCgroupsTest, TheBoundsSaySo) {
  for (unsigned i = 2; i < 20; ++i) tree.add(pod_path(i));
  const PodCgroups pods = PodCgroups::open(root, {.most_groups = 10, .deepest = 6}).value();
  EXPECT_LT(pods.all().size(), 20U);
  EXPECT_EQ(pods.counters().truncated, 1U);
}

TEST_F(PodCgroupsTest, WhatABoundedWalkDoesNotReachIsNotGone) {
  PodCgroups pods = PodCgroups::open(root, {.most_groups = 10, .deepest = 6}).value();
  EXPECT_EQ(pods.counters().truncated, 0U);
  for (unsigned i = 2; i < 20; ++i) tree.add(pod_path(i));
  EXPECT_EQ(pods.drain().appeared.size(), 18U);
  tree.remove(pod_path(7));
  const auto changes = pods.rescan();
  EXPECT_EQ(pods.counters().truncated, 1U);
  EXPECT_EQ(paths(changes.gone), (Paths{pod_path(7)}));
  EXPECT_TRUE(changes.appeared.empty());
  for (unsigned i = 8; i < 20; ++i) tree.add(pod_path(i) + "/" + scope('a'));
  EXPECT_EQ(pods.drain().appeared.size(), 12U) << "and still watched";
}

// Random histories, looked at now and then: what is known is always what is there.
TEST_F(PodCgroupsTest, RandomHistories) {
  std::mt19937 random(5);
  PodCgroups pods = open();
  std::set<std::string> told;
  for (const auto& [path, cgroup] : pods.all()) told.insert(path);
  for (int step = 0; step < 1000; ++step) {
    const std::string pod = pod_path(1 + static_cast<unsigned>(random() % 4));
    const std::string container = pod + "/" + scope(static_cast<char>('a' + random() % 4));
    switch (random() % 6) {
      case 0:
        tree.remove(pod);
        break;
      case 1:
        tree.remove(container);
        break;
      case 2:
      case 3:
        tree.add(container);
        break;
      case 4:
        tree.add(container + "/inner");
        break;
      default: {
        const auto changes = random() % 20 == 0 ? pods.rescan() : pods.drain();
        for (const PodCgroup& gone : changes.gone) EXPECT_EQ(told.erase(gone.path), 1U);
        for (const PodCgroup& one : changes.appeared) EXPECT_TRUE(told.insert(one.path).second);
        expect_true(pods);
        const PodCgroups fresh = open();
        EXPECT_TRUE(fresh.all() == pods.all())
            << step << ": " << fresh.all().size() << " and " << pods.all().size();
        EXPECT_EQ(told.size(), pods.all().size());
      }
    }
  }
  EXPECT_EQ(pods.counters().overflows, 0U);
}

}  // namespace
}  // namespace plimsoll::agent::pod_cgroups_test
