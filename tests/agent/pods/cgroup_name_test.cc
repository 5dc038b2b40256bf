// SPDX-License-Identifier: Apache-2.0
#include "agent/pods/cgroup_name.h"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace plimsoll::agent::cgroup_name_test {
namespace {

const std::string kUid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
const std::string kUid_ = "0f1e2d3c_4b5a_6978_8796_a5b4c3d2e1f0";
const std::string kHash = "5d41402abc4b2a76b9719d911017c592";  // of a static pod
const std::string kOtherUid_ = "ffffffff_4b5a_6978_8796_a5b4c3d2e1f0";
using Texts = std::vector<std::string>;

const std::string kId(64, 'a');
const std::string kOtherId(64, 'b');

const std::string kBurstable = "kubepods.slice/kubepods-burstable.slice/";
const std::string kPod = kBurstable + "kubepods-burstable-pod" + kUid_ + ".slice";
const std::string kScope = kPod + "/cri-containerd-" + kId + ".scope";

CgroupName pod(const std::string& path, CgroupDriver driver, PodQos qos,
               const std::string& uid = kUid) {
  CgroupName found;
  found.kind = CgroupKind::kPod;
  found.driver = driver;
  found.qos = qos;
  found.pod_uid = uid;
  found.pod_path = path;
  return found;
}

CgroupName container(const std::string& pod_path, const std::string& name, CgroupDriver driver,
                     ContainerRuntime runtime, PodQos qos = PodQos::kBurstable) {
  CgroupName found = pod(pod_path, driver, qos);
  found.kind = CgroupKind::kContainer;
  found.runtime = runtime;
  found.container_id = kId;
  found.container_path = pod_path + "/" + name;
  return found;
}

TEST(CgroupNames, PodsUnderSystemd) {
  const auto kSystemd = CgroupDriver::kSystemd;
  const std::string guaranteed = "kubepods.slice/kubepods-pod" + kUid_ + ".slice";
  const std::string best =
      "kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" + kUid_ + ".slice";
  EXPECT_EQ(parse_cgroup_name(kPod), pod(kPod, kSystemd, PodQos::kBurstable));
  EXPECT_EQ(parse_cgroup_name("/" + kPod), pod(kPod, kSystemd, PodQos::kBurstable));
  EXPECT_EQ(parse_cgroup_name(guaranteed), pod(guaranteed, kSystemd, PodQos::kGuaranteed));
  EXPECT_EQ(parse_cgroup_name(best), pod(best, kSystemd, PodQos::kBestEffort));
}

TEST(CgroupNames, PodsUnderCgroupfs) {
  const auto kFs = CgroupDriver::kCgroupfs;
  const std::string guaranteed = "kubepods/pod" + kUid;
  const std::string burstable = "kubepods/burstable/pod" + kUid;
  const std::string best = "kubepods/besteffort/pod" + kUid;
  EXPECT_EQ(parse_cgroup_name(guaranteed), pod(guaranteed, kFs, PodQos::kGuaranteed));
  EXPECT_EQ(parse_cgroup_name(burstable), pod(burstable, kFs, PodQos::kBurstable));
  EXPECT_EQ(parse_cgroup_name(best), pod(best, kFs, PodQos::kBestEffort));
}

// kind's --cgroup-root=/kubelet, and a node that is itself a container, seen from its host.
TEST(CgroupNames, AnyCgroupRoot) {
  for (const std::string& before :
       Texts{"kubelet.slice/", "system.slice/docker-" + kOtherId + ".scope/kubelet.slice/",
             "a/b/c/"}) {
    const std::string path = before +
                             "kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
                             "kubelet-kubepods-burstable-pod" +
                             kUid_ + ".slice";
    EXPECT_EQ(parse_cgroup_name(path), pod(path, CgroupDriver::kSystemd, PodQos::kBurstable));
    const std::string scope = "cri-containerd-" + kId + ".scope";
    EXPECT_EQ(parse_cgroup_name(path + "/" + scope),
              container(path, scope, CgroupDriver::kSystemd, ContainerRuntime::kContainerd));
    const std::string plain = before + "kubepods/burstable/pod" + kUid;
    EXPECT_EQ(parse_cgroup_name(plain), pod(plain, CgroupDriver::kCgroupfs, PodQos::kBurstable));
  }
}

TEST(CgroupNames, StaticPodsHaveAHash) {
  const std::string path =
      "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + kHash + ".slice";
  EXPECT_EQ(parse_cgroup_name(path), pod(path, CgroupDriver::kSystemd, PodQos::kBurstable, kHash));
  const std::string plain = "kubepods/burstable/pod" + kHash;
  EXPECT_EQ(parse_cgroup_name(plain),
            pod(plain, CgroupDriver::kCgroupfs, PodQos::kBurstable, kHash));
}

TEST(CgroupNames, ContainersOfEachRuntime) {
  const std::string pod_fs = "kubepods/burstable/pod" + kUid;
  struct Row {
    std::string name;
    ContainerRuntime runtime;
    bool systemd;
  };
  for (const Row& row :
       {Row{"cri-containerd-" + kId + ".scope", ContainerRuntime::kContainerd, true},
        Row{"crio-" + kId + ".scope", ContainerRuntime::kCrio, true},
        Row{"docker-" + kId + ".scope", ContainerRuntime::kDocker, true},
        Row{kId, ContainerRuntime::kUnknown, false},
        Row{"crio-" + kId, ContainerRuntime::kCrio, false}}) {
    const std::string& path = row.systemd ? kPod : pod_fs;
    const auto driver = row.systemd ? CgroupDriver::kSystemd : CgroupDriver::kCgroupfs;
    EXPECT_EQ(parse_cgroup_name(path + "/" + row.name),
              container(path, row.name, driver, row.runtime))
        << row.name;
  }
}

TEST(CgroupNames, HelpersAreNoContainers) {
  for (const std::string& name : Texts{"crio-conmon-" + kId + ".scope", "crio-conmon-" + kId}) {
    const auto found = parse_cgroup_name(kPod + "/" + name);
    EXPECT_EQ(found.kind, CgroupKind::kHelper) << name;
    EXPECT_EQ(found.pod_uid, kUid);
    EXPECT_EQ(found.container_id, kId);
    EXPECT_EQ(found.container_path, "");
  }
  for (const std::string& name :
       Texts{std::string("kata_overhead"), kId.substr(1), kId + "a", "cri-containerd-.scope",
             "cri-containerd-a/b", "docker-" + kId, "cri-containerd-" + kId, kId + ".scope",
             std::string("init.scope")}) {
    EXPECT_EQ(parse_cgroup_name(kPod + "/" + name).kind, CgroupKind::kHelper) << name;
  }
}

TEST(CgroupNames, BelowAContainerIsNested) {
  for (const std::string& inner :
       Texts{std::string("container"), std::string("exec/x"), std::string("init.scope"),
             std::string("system.slice/foo.service")}) {
    auto expected =
        container(kPod, "crio-" + kId + ".scope", CgroupDriver::kSystemd, ContainerRuntime::kCrio);
    expected.kind = CgroupKind::kNested;
    EXPECT_EQ(parse_cgroup_name(kPod + "/crio-" + kId + ".scope/" + inner), expected) << inner;
  }
}

// A cluster in a container: its pods are not ours.
TEST(CgroupNames, TheOutermostPodWins) {
  auto nested = parse_cgroup_name(kScope);
  nested.kind = CgroupKind::kNested;
  const std::string inner_pod =
      kScope + "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod" + kOtherUid_ + ".slice";
  EXPECT_EQ(parse_cgroup_name(inner_pod), nested);
  EXPECT_EQ(parse_cgroup_name(inner_pod + "/cri-containerd-" + kOtherId + ".scope"), nested);
  EXPECT_EQ(parse_cgroup_name(kScope + "/kubepods/burstable/pod" + kUid + "/" + kOtherId), nested);
  EXPECT_EQ(parse_cgroup_name(kScope + "/docker/" + kOtherId), nested);
}

TEST(CgroupNames, TheWayDownToThePods) {
  const auto kind = [](const std::string& path) { return parse_cgroup_name(path).kind; };
  EXPECT_EQ(kind("kubepods.slice"), CgroupKind::kKubepods);
  EXPECT_EQ(kind("kubelet.slice/kubelet-kubepods.slice"), CgroupKind::kKubepods);
  EXPECT_EQ(kind("kubepods"), CgroupKind::kKubepods);
  EXPECT_EQ(kind("kubepods.slice/kubepods-burstable.slice"), CgroupKind::kQos);
  EXPECT_EQ(kind("kubepods/besteffort"), CgroupKind::kQos);
  EXPECT_EQ(parse_cgroup_name("kubepods/besteffort").qos, PodQos::kBestEffort);
  EXPECT_EQ(parse_cgroup_name("kubepods.slice/kubepods-besteffort.slice").qos, PodQos::kBestEffort);
}

TEST(CgroupNames, NothingOfKubernetes) {
  for (const std::string& path :
       Texts{std::string(), std::string("/"), std::string("system.slice/kubelet.service"),
             std::string("user.slice"), "pod" + kUid, "burstable/pod" + kUid,
             "kubepods/other/pod" + kUid, "kubepods/burstable/besteffort/pod" + kUid,
             "kubepods/podman", std::string("notkubepods.slice"), "kubepods//pod" + kUid,
             "machine.slice/machine-libpod_pod_" + kId + ".slice",
             "system.slice/containerd.service/kubepods-burstable-pod" + kUid_ +
                 ".slice:cri-containerd:" + kId}) {
    const auto found = parse_cgroup_name(path);
    EXPECT_EQ(found, CgroupName{}) << path;
  }
}

TEST(CgroupNames, DamagedUids) {
  for (const std::string& uid :
       Texts{std::string(), kUid.substr(1), kUid + "0", kHash.substr(1), kHash + "0",
             std::string("0f1e2d3c-4b5a_6978-8796-a5b4c3d2e1f0"),
             std::string("0f1e2d3c.4b5a.6978.8796.a5b4c3d2e1f0"),
             std::string("0f1e2d3g-4b5a-6978-8796-a5b4c3d2e1f0"), std::string(36, '-')}) {
    EXPECT_EQ(canonical_pod_uid(uid), std::nullopt) << uid;
    EXPECT_NE(parse_cgroup_name(kBurstable + "kubepods-burstable-pod" + uid + ".slice").kind,
              CgroupKind::kPod);
  }
  EXPECT_EQ(canonical_pod_uid("0F1E2D3C-4B5A-6978-8796-A5B4C3D2E1F0"), kUid);
  EXPECT_EQ(canonical_pod_uid(kUid_), kUid);
}

TEST(CgroupNames, AnyTextIsAccepted) {
  std::mt19937 random(7);
  const std::string characters = "/-_.:podkubeslcriant0123456789abcdef\n\0\x80";
  std::size_t pods = 0;
  for (int i = 0; i < 20'000; ++i) {
    std::string path = kScope + "/container";
    for (int edits = 1 + static_cast<int>(random() % 3); edits > 0; --edits) {
      const std::size_t at = random() % path.size();
      path[at] = characters[random() % characters.size()];
    }
    path.resize(1 + random() % path.size());
    const auto found = parse_cgroup_name(path);
    if (found.kind < CgroupKind::kPod) continue;
    ++pods;
    EXPECT_EQ(path.find(found.pod_path), path[0] == '/' ? 1U : 0U) << path;
    EXPECT_TRUE(found.pod_path.ends_with(".slice"));
    EXPECT_EQ(canonical_pod_uid(found.pod_uid), found.pod_uid);
    EXPECT_EQ(found.container_path.empty(),
              found.kind == CgroupKind::kPod || found.kind == CgroupKind::kHelper);
  }
  EXPECT_GT(pods, 1000U);
}

TEST(CgroupNames, ContainerIdsOfTheApi) {
  using Id = StatusContainerId;
  EXPECT_EQ(parse_status_container_id("containerd://" + kId),
            (Id{ContainerRuntime::kContainerd, kId}));
  EXPECT_EQ(parse_status_container_id("cri-o://" + kId), (Id{ContainerRuntime::kCrio, kId}));
  EXPECT_EQ(parse_status_container_id("docker://" + kId), (Id{ContainerRuntime::kDocker, kId}));
  EXPECT_EQ(parse_status_container_id("new://" + kId), (Id{ContainerRuntime::kUnknown, kId}));
  for (const std::string& text :
       Texts{"", "containerd://", "containerd:", "://", "containerd://a/b"}) {
    EXPECT_EQ(parse_status_container_id(text), std::nullopt) << text;
  }
}

TEST(CgroupNames, Units) {
  EXPECT_EQ(unit_of_cgroup(""), "-.slice");
  EXPECT_EQ(unit_of_cgroup("/" + kPod), "kubepods-burstable-pod" + kUid_ + ".slice");
  EXPECT_EQ(unit_of_cgroup(kScope), "cri-containerd-" + kId + ".scope");
  EXPECT_EQ(unit_of_cgroup("kubepods.slice"), "kubepods.slice");
  EXPECT_EQ(unit_of_cgroup("system.slice/_cpu.service"), "cpu.service");
  EXPECT_EQ(unit_of_cgroup("system.slice/__.service"), "_.service");
  for (const std::string& path :
       Texts{kScope + "/container", kScope + "/init.scope", "kubepods/burstable/pod" + kUid,
             kPod + "/" + kId, std::string("a.slice/b.slice"), std::string("a-b.slice"),
             std::string("a.slice/ab-c.slice"), std::string("a/b.scope"), std::string(".scope"),
             std::string("a.slice//b.scope")}) {
    EXPECT_EQ(unit_of_cgroup(path), std::nullopt) << path;
  }
}

}  // namespace
}  // namespace plimsoll::agent::cgroup_name_test
