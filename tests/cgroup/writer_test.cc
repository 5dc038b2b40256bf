// SPDX-License-Identifier: Apache-2.0
//
// The writer's ways on kernels that the VM tests do not boot; the rest is in the contract.
#include "cgroup/writer.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <functional>
#include <string>
#include <string_view>

#include "tests/support/cgroup_tree.h"

namespace plimsoll::cgroup::writer_test {
namespace {

// Runs `work` in a process group of its own, so that a signal to "our group" ends only that.
int status_of(const std::function<bool()>& work) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::setpgid(0, 0);
    ::_exit(work() ? 0 : 1);
  }
  int status = -1;
  ::waitpid(pid, &status, 0);
  return status;
}

TEST(Writer, WithoutCgroupKillItSignalsEachProcessInAFrozenGroup) {
  const pid_t pid = ::fork();
  ASSERT_GE(pid, 0);
  if (pid == 0) {
    while (true) ::pause();
  }
  // A process outside of our pid namespace reads as 0, which as a pid is our own process group.
  test::CgroupTree tree{{"a", {}}, {"a/b", {{"cgroup.procs", "0\n" + std::to_string(pid) + "\n"}}}};
  tree.drop("a", "cgroup.kill");
  EXPECT_EQ(status_of([&tree] { return Writer().kill(tree.group("a")).has_value(); }), 0);
  // SIGTERM ends a process that was not signalled; one that was keeps its SIGKILL.
  ::kill(pid, SIGTERM);
  int status = 0;
  ASSERT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(tree.get("a", "cgroup.freeze").front(), '0') << "left frozen";
}

TEST(Writer, WithCgroupKillItWritesThatOnly) {
  const test::CgroupTree tree{{"a", {{"cgroup.procs", "1\n"}}}};
  ASSERT_TRUE(Writer().kill(tree.group("a")));
  EXPECT_EQ(tree.get("a", "cgroup.kill"), "1");
  EXPECT_EQ(tree.get("a", "cgroup.freeze"), "0\n");
}

TEST(Writer, ControllersAreWrittenAtOnce) {
  test::CgroupTree tree{{"a", {}}};
  tree.set("a", "cgroup.subtree_control", "");
  constexpr std::array<std::string_view, 2> kNames{"memory", "cpu"};
  ASSERT_TRUE(Writer().enable_controllers(tree.group("a"), kNames));
  EXPECT_EQ(tree.get("a", "cgroup.subtree_control"), "+memory +cpu");
}

TEST(Writer, ReclaimAsksInBytesAndMeasures) {
  const test::CgroupTree tree{{"a", {{"memory.current", "1000\n"}}}};
  const auto reclaimed = Writer().reclaim(tree.group("a"), Bytes{4096});
  ASSERT_TRUE(reclaimed);
  EXPECT_EQ(tree.get("a", "memory.reclaim"), "4096");
  EXPECT_TRUE(reclaimed->complete);
  EXPECT_EQ(reclaimed->asked, Bytes{4096});
  EXPECT_EQ(reclaimed->before, Bytes{1000});
  EXPECT_EQ(reclaimed->after, Bytes{1000});
}

TEST(Writer, AProcessIsMovedByItsNumber) {
  const test::CgroupTree tree{{"a", {}}};
  ASSERT_TRUE(Writer().move_process(tree.group("a"), 123));
  EXPECT_EQ(tree.get("a", "cgroup.procs"), "123");
}

}  // namespace
}  // namespace plimsoll::cgroup::writer_test
