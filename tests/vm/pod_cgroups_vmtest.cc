// SPDX-License-Identifier: Apache-2.0
// The picture of the node's pods on the kernel's own cgroup tree, with trees as the kubelet makes
// them, and limits that are put back with memory really in use.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <optional>
#include <string>

#include "agent/pods/pod_cgroups.h"
#include "agent/restore/cgroups.h"
#include "base/file.h"
#include "cgroup/walk.h"

namespace plimsoll::agent {
namespace {

namespace fs = std::filesystem;

const std::string kTop = "/sys/fs/cgroup";
const std::string kBurstable = "kubepods.slice/kubepods-burstable.slice";

std::string uid(unsigned number, const char* separator) {
  std::string digits = std::to_string(number);
  digits.insert(0, 12 - digits.size(), '0');
  const std::string s = separator;
  return "0f1e2d3c" + s + "4b5a" + s + "6978" + s + "8796" + s + digits;
}
std::string pod(unsigned number) {
  return kBurstable + "/kubepods-burstable-pod" + uid(number, "_") + ".slice";
}
std::string pod_of_cgroupfs(unsigned number) { return "kubepods/burstable/pod" + uid(number, "-"); }
std::string scope(unsigned number) {
  std::string id = std::to_string(number);
  id.insert(0, 64 - id.size(), 'a');
  return "/cri-containerd-" + id + ".scope";
}

class PodCgroupsVm : public testing::Test {
 protected:
  void TearDown() override {
    for (const char* tree : {"kubepods.slice", "kubepods"}) {
      const auto group = root.open_group(tree);
      if (!group) continue;
      EXPECT_TRUE(cgroup::Writer().remove_group(*group));
    }
  }
  static void make(const std::string& path) { fs::create_directories(kTop + "/" + path); }
  void remove(const std::string& path) {
    const auto removed = cgroup::Writer().remove_group(root.open_group(path).value());
    ASSERT_TRUE(removed) << removed.error().message;
  }
  PodCgroups open() { return PodCgroups::open(root).value(); }
  // inotify watches of this process, as the kernel counts them.
  static std::size_t watches() {
    std::size_t count = 0;
    for (const auto& fd : fs::directory_iterator("/proc/self/fdinfo")) {
      std::ifstream info(fd.path());
      for (std::string line; std::getline(info, line);)
        count += line.starts_with("inotify") ? 1U : 0U;
    }
    return count;
  }

  cgroup::Root root = cgroup::Root::open(kTop).value();
};

TEST_F(PodCgroupsVm, BothDrivers) {
  make(pod(1) + scope(1));
  make(pod_of_cgroupfs(2) + "/" + std::string(64, 'b') + "/inner");
  PodCgroups pods = open();
  EXPECT_EQ(pods.all().size(), 4U);
  for (const auto& [path, cgroup] : pods.all()) {
    EXPECT_EQ(root.open_group(path)->id(), cgroup.id) << path;
  }
  EXPECT_TRUE(pods.watching());
}

// What 6.1 and 6.12 do not tell about the files of a removed cgroup they do tell about directories.
TEST_F(PodCgroupsVm, ComeAndGo) {
  make(pod(1) + scope(1));
  PodCgroups pods = open();
  const std::size_t before = watches();
  make(pod(2) + scope(2));
  make(pod(1) + scope(3));
  remove(pod(1) + scope(1));
  auto changes = pods.drain();
  EXPECT_EQ(changes.appeared.size(), 3U);
  ASSERT_EQ(changes.gone.size(), 1U);
  EXPECT_EQ(changes.gone[0].path, pod(1) + scope(1));
  EXPECT_EQ(watches(), before + 1) << "one for the new pod";
  remove(pod(2));
  changes = pods.drain();
  EXPECT_EQ(changes.gone.size(), 2U);
  EXPECT_EQ(watches(), before) << "nothing holds the removed pod";
  EXPECT_TRUE(pods.drain().empty());

  // The same names again, unseen in between: other cgroups.
  const CgroupId old = pods.all().at(pod(1)).id;
  remove(pod(1));
  make(pod(1) + scope(3));
  changes = pods.drain();
  EXPECT_EQ(changes.gone.size(), 2U);
  EXPECT_EQ(changes.appeared.size(), 2U);
  EXPECT_NE(pods.all().at(pod(1)).id, old);
  EXPECT_EQ(pods.find(old), nullptr);
  make(pod(1) + scope(4));
  EXPECT_EQ(pods.drain().appeared.size(), 1U) << "the new one is watched";
  EXPECT_EQ(pods.counters().rescans, 0U);
}

TEST_F(PodCgroupsVm, AWholeNode) {
  constexpr unsigned kPods = 250;
  for (unsigned i = 0; i < kPods; ++i) {
    for (unsigned container = 0; container < 3; ++container)
      make(pod(i) + scope(3 * i + container));
  }
  const auto start = std::chrono::steady_clock::now();
  PodCgroups pods = open();
  const auto took = std::chrono::steady_clock::now() - start;
  std::printf("walk of %u pods with 3 containers each: %s\n", kPods,
              plimsoll::to_string(Nanoseconds(took)).c_str());
  EXPECT_EQ(pods.all().size(), 4U * kPods);
  // A node that is drained at once.
  for (unsigned i = 0; i < kPods; ++i) remove(pod(i));
  const auto changes = pods.drain();
  EXPECT_EQ(changes.gone.size(), 4U * kPods);
  EXPECT_TRUE(pods.all().empty());
  EXPECT_EQ(pods.counters().overflows, 0U);
}

TEST_F(PodCgroupsVm, LostEvents) {
  std::ofstream("/proc/sys/fs/inotify/max_queued_events") << 16;
  make(pod(1) + scope(1));
  PodCgroups pods = open();
  std::ofstream("/proc/sys/fs/inotify/max_queued_events") << 16384;
  for (unsigned i = 2; i < 60; ++i) make(pod(i) + scope(i));
  EXPECT_EQ(pods.drain().appeared.size(), 2U * 58);
  EXPECT_EQ(pods.counters().overflows, 1U);
  make(pod(59) + scope(1000));
  EXPECT_EQ(pods.drain().appeared.size(), 1U);
}

// A container of a pod with real memory in it.
class RestoreVm : public PodCgroupsVm {
 protected:
  static constexpr Limit kFloor{64 * kMiB};
  static constexpr Limit kRaised{512 * kMiB};

  void SetUp() override {
    make(pod(1) + scope(1));
    std::string above;
    for (const std::string& part :
         {std::string(), std::string("kubepods.slice"), kBurstable, pod(1)}) {
      constexpr std::string_view kMemory[] = {"memory"};
      ASSERT_TRUE(cgroup::Writer().enable_controllers(root.open_group(part).value(), kMemory));
    }
    for (const std::string& path : {pod(1), pod(1) + scope(1)}) {
      ASSERT_TRUE(cgroup::Writer().set_memory_max(root.open_group(path).value(), kRaised));
    }
  }
  void TearDown() override {
    if (child > 0) {
      ::kill(child, SIGKILL);
      ::waitpid(child, nullptr, 0);
      // It leaves the cgroup a moment later.
      const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
      while (root.open_group(pod(1))->read_cgroup_events()->populated &&
             std::chrono::steady_clock::now() < deadline) {
      }
    }
    PodCgroupsVm::TearDown();
  }
  // Runs `use` in the container and waits until it is done; it then stays.
  void run(const std::function<bool()>& use) {
    int ready[2] = {-1, -1};
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    child = ::fork();
    if (child == 0) {
      const Fd procs(::open((kTop + "/" + pod(1) + scope(1) + "/cgroup.procs").c_str(), O_WRONLY));
      const bool well = procs && write_all(procs, "0", "cgroup.procs") && use();
      const char answer = well ? 'y' : 'n';
      if (::write(ready[1], &answer, 1) != 1) ::_exit(1);
      while (true) ::pause();
    }
    char answer = 'n';
    ASSERT_EQ(::read(ready[0], &answer, 1), 1);
    ASSERT_EQ(answer, 'y');
    ::close(ready[0]);
    ::close(ready[1]);
  }
  static bool touch(std::size_t bytes) {
    auto* const memory = static_cast<char*>(
        ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (memory == MAP_FAILED) return false;
    for (std::size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
    return true;
  }
  LimitState limit(const std::string& path) {
    return {.id = root.open_group(path)->id(),
            .path = path,
            .first_seen = kFloor,
            .confirmed = {},
            .direct_ceiling = kRaised,
            .written = {}};
  }
  RestoreReport restore() {
    ContainerState app{.container_id = "a",
                       .name = "app",
                       .limit = limit(pod(1) + scope(1)),
                       .backing = Backing::kLease,
                       .lease_end = {},
                       .who = ""};
    PodState one{
        .uid = "u", .name_space = "n", .name = "p", .slice = limit(pod(1)), .containers = {app}};
    RestorePolicy policy;
    policy.patience = std::chrono::seconds(1);
    const cgroup::Writer writer;
    return restore_limits({.boot_id = "", .generation = 0, .pods = {one}}, root, &writer, policy);
  }
  Limit max_of(const std::string& path) { return root.open_group(path)->read_memory_max().value(); }
  std::uint64_t kills() { return root.open_group(pod(1))->read_memory_events()->oom_kill; }
  bool lives() const { return ::waitpid(child, nullptr, WNOHANG) == 0; }

  pid_t child = -1;
};

TEST_F(RestoreVm, WhatFitsGoesBack) {
  run([] { return touch(24 * kMiB); });
  const RestoreReport report = restore();
  EXPECT_TRUE(report.complete());
  EXPECT_EQ(max_of(pod(1) + scope(1)), kFloor);
  EXPECT_EQ(max_of(pod(1)), kFloor);
  EXPECT_EQ(kills(), 0U);
  EXPECT_TRUE(lives());
}

TEST_F(RestoreVm, WhatDoesNotFitStaysAndNobodyIsKilled) {
  run([] { return touch(96 * kMiB); });
  const RestoreReport report = restore();
  EXPECT_FALSE(report.complete());
  ASSERT_EQ(report.items.size(), 2U);
  EXPECT_EQ(report.items[0].outcome, RestoreItem::Outcome::kInUse) << report.items[0].why;
  EXPECT_EQ(report.items[1].outcome, RestoreItem::Outcome::kHeldUp);
  EXPECT_EQ(max_of(pod(1) + scope(1)), kRaised);
  EXPECT_EQ(max_of(pod(1)), kRaised);
  EXPECT_EQ(kills(), 0U);
  EXPECT_TRUE(lives());
}

}  // namespace
}  // namespace plimsoll::agent
