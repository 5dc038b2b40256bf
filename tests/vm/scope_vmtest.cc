// SPDX-License-Identifier: Apache-2.0
// Where `plimsoll run` goes on a machine without systemd: root below the root, somebody else in the
// part of the tree that is theirs. Each test is a child process, since it moves between cgroups.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <functional>
#include <optional>
#include <string>

#include "agent/commands/scope.h"
#include "agent/commands/scope_enter.h"
#include "base/fd.h"
#include "base/file.h"
#include "cgroup/mounts.h"
#include "cgroup/walk.h"

namespace plimsoll::agent {
namespace {

constexpr uid_t kNobody = 65534;
const std::string kTop = "/sys/fs/cgroup";

// What failed in a child is its exit status: the line.
#define PLIMSOLL_NEED(condition)                                           \
  do {                                                                     \
    if (!(condition)) {                                                    \
      std::fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      ::_exit(1);                                                          \
    }                                                                      \
  } while (false)

int status_of(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    body();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

bool shell(const std::string& command) { return std::system(command.c_str()) == 0; }

void put(const std::string& path, const std::string& text) {
  const Fd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  PLIMSOLL_NEED(fd && write_all(fd, text, path).has_value());
}

std::string own() { return cgroup::own_cgroup().value_or("?"); }

void become_nobody() {
  PLIMSOLL_NEED(::setresgid(kNobody, kNobody, kNobody) == 0);
  PLIMSOLL_NEED(::setresuid(kNobody, kNobody, kNobody) == 0);
}

// Goes into /mine, or a child of it, and is nobody from then on.
void be_nobody_in(const std::string& path) {
  put(kTop + path + "/cgroup.procs", "0");
  become_nobody();
}

// A child with a limit, a process in it, and both gone again.
void use(const Scope& scope) {
  const cgroup::Writer writer;
  const auto group = writer.create_group(scope.parent(), "limited");
  PLIMSOLL_NEED(group.has_value());
  PLIMSOLL_NEED(writer.set_memory_max(*group, limit_of({16 * kMiB})).has_value());
  const pid_t inside = ::fork();
  if (inside == 0) {
    ::pause();
    ::_exit(0);
  }
  PLIMSOLL_NEED(writer.move_process(*group, inside).has_value());
  ::kill(inside, SIGKILL);
  ::waitpid(inside, nullptr, 0);
  PLIMSOLL_NEED(writer.remove_group(*group).has_value());
}

std::size_t children_of(const std::string& path) {
  const auto root = cgroup::Root::open();
  const auto group = root->open_group(path);
  return group ? cgroup::list_descendants(*group)->groups.size() : 999;
}

class ScopeVm : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(shell("mkdir -p " + kTop + "/mine && chown -R nobody " + kTop + "/mine"));
  }
  void TearDown() override {
    EXPECT_TRUE(shell("rmdir " + kTop + "/mine/* 2>/dev/null; rmdir " + kTop + "/mine"));
  }
};

TEST_F(ScopeVm, RootWorksBelowTheRoot) {
  EXPECT_EQ(status_of([] {
              const auto scope = Scope::enter({"run"});
              PLIMSOLL_NEED(scope.has_value());
              PLIMSOLL_NEED(scope->parent().path().empty());
              PLIMSOLL_NEED(own() == "/");
              use(*scope);
            }),
            0);
}

TEST_F(ScopeVm, SomebodyElseWorksInWhatIsTheirsAndLeavesItAsItWas) {
  EXPECT_EQ(status_of([] {
              be_nobody_in("/mine");
              {
                const auto scope = Scope::enter({"run"});
                PLIMSOLL_NEED(scope.has_value());
                PLIMSOLL_NEED(scope->parent().path() == "mine");
                PLIMSOLL_NEED(own() == "/mine/plimsoll-self-" + std::to_string(::getpid()));
                use(*scope);
              }
              PLIMSOLL_NEED(own() == "/mine");
              PLIMSOLL_NEED(children_of("mine") == 0);
              PLIMSOLL_NEED(read_file(kTop + "/mine/cgroup.subtree_control").value() == "\n" ||
                            read_file(kTop + "/mine/cgroup.subtree_control").value().empty());
            }),
            0);
}

TEST_F(ScopeVm, WhatAKilledOneLeftIsRemovedByTheNext) {
  EXPECT_EQ(status_of([] {
              be_nobody_in("/mine");
              const auto scope = Scope::enter({"run"});
              PLIMSOLL_NEED(scope.has_value());
              ::raise(SIGKILL);
            }),
            128 + SIGKILL);
  EXPECT_EQ(children_of("mine"), 1U);
  // Now /mine hands memory on, so nobody can live in it; beside the leftover somebody can.
  ASSERT_TRUE(shell("mkdir " + kTop + "/mine/shell && chown -R nobody " + kTop + "/mine/shell"));
  EXPECT_EQ(status_of([] {
              put(kTop + "/mine/shell/cgroup.procs", "0");
              const auto root = cgroup::Root::open();
              const auto scope = Scope::enter({"run", "as root"});
              PLIMSOLL_NEED(scope.has_value());
            }),
            0);
  EXPECT_EQ(status_of([] {
              be_nobody_in("/mine/shell");
              const auto scope = Scope::enter({"run"});
              PLIMSOLL_NEED(scope.has_value());
              use(*scope);
            }),
            0);
}

TEST_F(ScopeVm, OthersInTheWayAreNamedWithTheCure) {
  const pid_t other = ::fork();
  if (other == 0) {
    ::pause();
    ::_exit(0);
  }
  ASSERT_TRUE(shell("echo " + std::to_string(other) + " >" + kTop + "/mine/cgroup.procs"));
  EXPECT_EQ(status_of([] {
              be_nobody_in("/mine");
              const auto scope = Scope::enter({"run"});
              PLIMSOLL_NEED(!scope.has_value());
              PLIMSOLL_NEED(scope.error().code == Code::kConflict);
              PLIMSOLL_NEED(scope.error().message.find("mkdir /sys/fs/cgroup/mine/rest") !=
                            std::string::npos);
            }),
            0);
  ::kill(other, SIGKILL);
  ::waitpid(other, nullptr, 0);
}

TEST_F(ScopeVm, SomebodyElseWithNothingIsToldWhatToType) {
  EXPECT_EQ(status_of([] {
              become_nobody();
              const auto scope = Scope::enter({"run"});
              PLIMSOLL_NEED(!scope.has_value());
              PLIMSOLL_NEED(scope.error().code == Code::kDenied);
              PLIMSOLL_NEED(scope.error().message.find("sudo plimsoll run") != std::string::npos);
            }),
            0);
}

// What the error message tells to type is what makes it work.
TEST_F(ScopeVm, TheCureForNothingCures) {
  EXPECT_EQ(status_of([] {
              put(kTop + "/mine/cgroup.procs", "0");
              become_nobody();
              PLIMSOLL_NEED(Scope::enter({"run"}).has_value());
            }),
            0);
}

}  // namespace
}  // namespace plimsoll::agent
