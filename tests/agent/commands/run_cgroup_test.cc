// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/run_cgroup.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <initializer_list>
#include <iterator>
#include <sstream>
#include <string>

#include "tests/support/cgroup_tree.h"

namespace plimsoll::agent::run_cgroup_test {
namespace {

// The name that a process would give its cgroup: field 22 of its stat is when it started.
std::string name_of(pid_t pid, const std::string& name = "") {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  std::istringstream rest(text.substr(text.rfind(')') + 1));
  std::string word;
  for (int field = 2; field < 22; ++field) rest >> word;
  return run_cgroup_name(pid, std::stoull(word), name);
}

// A number that no process has: one that was just waited for.
pid_t dead_pid() {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  ::waitpid(pid, nullptr, 0);
  return pid;
}

TEST(RunCgroupName, SaysWhoMadeIt) {
  EXPECT_EQ(run_cgroup_name(123, 4567, ""), "plimsoll-run-123-4567");
  EXPECT_EQ(run_cgroup_name(123, 4567, "build"), "plimsoll-run-123-4567-build");
}

TEST(IsStaleRunCgroup, NotWhileItsMakerLives) {
  EXPECT_FALSE(is_stale_run_cgroup(name_of(::getpid())));
  EXPECT_FALSE(is_stale_run_cgroup(name_of(::getpid(), "build")));
  EXPECT_FALSE(is_stale_run_cgroup(name_of(1)));
}

TEST(IsStaleRunCgroup, WhenItsMakerIsDead) {
  EXPECT_TRUE(is_stale_run_cgroup(run_cgroup_name(dead_pid(), 1, "")));
  EXPECT_TRUE(is_stale_run_cgroup(run_cgroup_name(dead_pid(), 1, "a-b")));
}

TEST(IsStaleRunCgroup, WhenAnotherProcessHasTheNumberByNow) {
  EXPECT_TRUE(is_stale_run_cgroup(run_cgroup_name(::getpid(), 1, "")));
}

TEST(IsStaleRunCgroup, NeverWhatIsNotOurs) {
  const std::string dead = std::to_string(dead_pid());
  for (const std::string& name : std::initializer_list<std::string>{
           "", "system.slice", "plimsoll", "plimsoll-run-", "plimsoll-run-" + dead,
           "plimsoll-run-" + dead + "-", "plimsoll-run-" + dead + "-x",
           "plimsoll-run-" + dead + "-1x", "plimsoll-run-x-1", "plimsoll-run--1-1",
           "plimsoll-run-99999999999999999999999-1", "xplimsoll-run-" + dead + "-1",
           "plimsoll-run- " + dead + "-1"}) {
    EXPECT_FALSE(is_stale_run_cgroup(name)) << name;
  }
}

// That an empty one of a dead run goes is for a kernel to show: here files would be in its way.
TEST(RemoveStaleRunCgroups, LeavesWhatIsPopulatedOursOrForeign) {
  const std::string live = name_of(::getpid());
  const std::string busy = run_cgroup_name(dead_pid(), 1, "busy");
  test::CgroupTree tree;
  tree.add("slice");
  tree.add("slice/" + live, {{"cgroup.events", "populated 0\nfrozen 0\n"}});
  tree.add("slice/" + busy, {{"cgroup.events", "populated 1\nfrozen 0\n"}});
  tree.add("slice/other", {{"cgroup.events", "populated 0\nfrozen 0\n"}});
  const cgroup::Root root = tree.root();
  EXPECT_EQ(remove_stale_run_cgroups(root, tree.group("slice"), cgroup::Writer{}), 0u);
  for (const std::string& name : {live, busy, std::string("other")}) {
    EXPECT_TRUE(std::filesystem::exists(tree.path() + "/slice/" + name)) << name;
  }
}

}  // namespace
}  // namespace plimsoll::agent::run_cgroup_test
