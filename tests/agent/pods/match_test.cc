// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/match.h"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace plimsoll::agent::match_test {
namespace {

const std::string kUid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const std::string kOtherUid = "1f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const std::string kHash = "5d41402abc4b2a76b9719d911017c592";
const std::string kA(64, 'a');
const std::string kB(64, 'b');

class Kernel {
 public:
  Kernel& pod(const std::string& uid) { return add("kubepods/burstable/pod" + uid); }
  Kernel& container(const std::string& uid, const std::string& id) {
    return add("kubepods/burstable/pod" + uid + "/" + id);
  }
  std::map<std::string, PodCgroup> all;

 private:
  Kernel& add(const std::string& path) {
    all[path] = {CgroupId{all.size() + 1}, path, parse_cgroup_name(path)};
    return *this;
  }
};

TEST(PodCgroupsJoin, WhatBothKnow) {
  const auto kernel = Kernel().pod(kUid).container(kUid, kA).all;
  const std::vector<ApiPod> pods{{kUid, "", {{"app", "containerd://" + kA}}}};
  const auto matches = join(kernel, pods);
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].known_to, KnownTo::kBoth);
  EXPECT_EQ(matches[0].pod_uid, kUid);
  EXPECT_EQ(matches[0].pod, 0U);
  EXPECT_EQ(matches[0].container, 0U);
  ASSERT_NE(matches[0].cgroup, nullptr);
  EXPECT_EQ(matches[0].cgroup->name.container_id, kA);
  ASSERT_NE(matches[0].pod_cgroup, nullptr);
  EXPECT_EQ(matches[0].pod_cgroup->name.kind, CgroupKind::kPod);
}

// The pause container, and one that the API has not told of yet.
TEST(PodCgroupsJoin, WhatOnlyTheKernelKnows) {
  const auto kernel =
      Kernel().pod(kUid).container(kUid, kA).pod(kOtherUid).container(kOtherUid, kB).all;
  const std::vector<ApiPod> pods{{kUid, "", {{"app", ""}}}};
  const auto matches = join(kernel, pods);
  ASSERT_EQ(matches.size(), 3U);
  EXPECT_EQ(matches[0].known_to, KnownTo::kApi);
  EXPECT_EQ(matches[0].cgroup, nullptr);
  EXPECT_NE(matches[0].pod_cgroup, nullptr);
  EXPECT_EQ(matches[1].known_to, KnownTo::kKernel);
  EXPECT_EQ(matches[1].pod, 0U);
  EXPECT_EQ(matches[1].container, std::nullopt);
  EXPECT_EQ(matches[2].known_to, KnownTo::kKernel);
  EXPECT_EQ(matches[2].pod, std::nullopt);
  EXPECT_EQ(matches[2].pod_uid, kOtherUid);
}

TEST(PodCgroupsJoin, WhatOnlyTheApiKnows) {
  const std::vector<ApiPod> pods{{kUid, "", {{"app", "containerd://" + kA}}}};
  const auto matches = join({}, pods);
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].known_to, KnownTo::kApi);
  EXPECT_EQ(matches[0].pod_cgroup, nullptr);
}

TEST(PodCgroupsJoin, AMirrorPodIsFoundByItsHash) {
  const auto kernel = Kernel().pod(kHash).container(kHash, kA).all;
  const std::vector<ApiPod> pods{{kUid, kHash, {{"app", "cri-o://" + kA}}}};
  const auto matches = join(kernel, pods);
  ASSERT_EQ(matches.size(), 1U);
  EXPECT_EQ(matches[0].known_to, KnownTo::kBoth);
  EXPECT_EQ(matches[0].pod_uid, kHash);
}

// A mirror pod can be created by anybody, and names any hash: nobody can tell which it is.
TEST(PodCgroupsJoin, OfTwoPodsThatClaimOneCgroupNeitherHasIt) {
  const auto kernel = Kernel().pod(kUid).container(kUid, kA).all;
  const std::vector<ApiPod> pods{{kOtherUid, kUid, {{"app", "containerd://" + kA}}},
                                 {kUid, "", {{"app", "containerd://" + kA}}}};
  for (const Match& match : join(kernel, pods)) {
    EXPECT_NE(match.known_to, KnownTo::kBoth);
    EXPECT_FALSE(match.known_to == KnownTo::kKernel && match.pod);
  }
}

// A status can be written by others than the kubelet: it must not lead into another pod.
TEST(PodCgroupsJoin, AnIdOfAnotherPodMatchesNothing) {
  const auto kernel = Kernel().pod(kUid).pod(kOtherUid).container(kOtherUid, kA).all;
  const std::vector<ApiPod> pods{
      {kUid, "", {{"app", "containerd://" + kA}}},
      {"no uid", "", {{"app", "containerd://" + kA}}},
      {kOtherUid, "", {{"app", "containerd://" + kA}, {"twice", "containerd://" + kA}}}};
  const auto matches = join(kernel, pods);
  ASSERT_EQ(matches.size(), 4U);
  EXPECT_EQ(matches[0].known_to, KnownTo::kApi);
  EXPECT_EQ(matches[1].known_to, KnownTo::kApi);
  EXPECT_EQ(matches[1].pod_uid, "");
  EXPECT_EQ(matches[2].known_to, KnownTo::kBoth);
  EXPECT_EQ(matches[3].known_to, KnownTo::kApi);
}

// The old cgroup is still there while the new one is already told of, and the other way round.
TEST(PodCgroupsJoin, ARestartedContainer) {
  const auto kernel = Kernel().pod(kUid).container(kUid, kA).container(kUid, kB).all;
  const std::vector<ApiPod> pods{{kUid, "", {{"app", "containerd://" + kB}}}};
  const auto matches = join(kernel, pods);
  ASSERT_EQ(matches.size(), 2U);
  EXPECT_EQ(matches[0].cgroup->name.container_id, kB);
  EXPECT_EQ(matches[1].known_to, KnownTo::kKernel);
  EXPECT_EQ(matches[1].cgroup->name.container_id, kA);
}

}  // namespace
}  // namespace plimsoll::agent::match_test
