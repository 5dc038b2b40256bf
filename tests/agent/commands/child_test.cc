// SPDX-License-Identifier: Apache-2.0
#include "agent/commands/child.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <fstream>
#include <string>

#include "tests/support/cgroup_tree.h"

namespace plimsoll::agent::child_test {
namespace {

class ChildTest : public ::testing::Test {
 protected:
  ChildTest() { tree_.add("run"); }

  Result<Child> start(const std::vector<std::string>& command) {
    return Child::start(command, tree_.group("run"), cgroup::Writer{});
  }
  Result<Child> shell(const std::string& script) { return start({"sh", "-c", script}); }
  std::string file(const std::string& name) const { return tree_.path() + "/" + name; }
  static std::string text_of(const std::string& path) {
    std::ifstream file(path);
    std::string text;
    std::getline(file, text, '\0');
    return text;
  }

  test::CgroupTree tree_;
};

TEST_F(ChildTest, ExitStatusIsTheCommands) {
  for (const int code : {0, 1, 42, 125, 255}) {
    const auto child = shell("exit " + std::to_string(code));
    ASSERT_TRUE(child) << child.error().message;
    EXPECT_EQ(child->wait(), (ExitStatus{.code = code, .signal = std::nullopt}));
  }
}

TEST_F(ChildTest, SignalIs128AndItsNumber) {
  for (const int signal : {SIGTERM, SIGKILL, SIGINT}) {
    const auto child = shell("kill -" + std::to_string(signal) + " $$; sleep 60");
    ASSERT_TRUE(child) << child.error().message;
    EXPECT_EQ(child->wait(), (ExitStatus{.code = 128 + signal, .signal = signal}));
  }
}

TEST_F(ChildTest, IsMovedBeforeItsFirstInstruction) {
  const auto child = shell("cat '" + file("run/cgroup.procs") + "' >'" + file("seen") + "'");
  ASSERT_TRUE(child) << child.error().message;
  const std::string pid = std::to_string(child->pid());
  EXPECT_EQ(child->wait().code, 0);
  EXPECT_EQ(text_of(file("seen")).substr(0, pid.size()), pid);
}

TEST_F(ChildTest, NoSuchCommandIsGone) {
  for (const std::string command : {"/nowhere/command", "no-such-command-at-all"}) {
    const auto child = start({command});
    ASSERT_FALSE(child);
    EXPECT_EQ(child.error().code, Code::kGone);
    EXPECT_TRUE(child.error().message.starts_with("run " + command)) << child.error().message;
  }
}

TEST_F(ChildTest, NotExecutableIsDenied) {
  std::ofstream(file("plain")) << "text\n";
  const auto child = start({file("plain")});
  ASSERT_FALSE(child);
  EXPECT_EQ(child.error().code, Code::kDenied);
  const auto directory = start({tree_.path()});
  ASSERT_FALSE(directory);
  EXPECT_EQ(directory.error().code, Code::kDenied);
}

// The cgroup went away between its making and the start: an error, and no process is left.
TEST_F(ChildTest, CommandDoesNotRunWhenItCannotBeMoved) {
  const cgroup::Group group = tree_.group("run");
  tree_.remove("run");
  const auto child =
      Child::start({"sh", "-c", "touch '" + file("ran") + "'"}, group, cgroup::Writer{});
  ASSERT_FALSE(child);
  EXPECT_FALSE(child.error().message.starts_with("run ")) << child.error().message;
  struct stat ran {};
  EXPECT_NE(::stat(file("ran").c_str(), &ran), 0);
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a process was left";
}

TEST_F(ChildTest, ExitIsSeenOnItsDescriptor) {
  const auto child = shell("exec sleep 60");
  ASSERT_TRUE(child) << child.error().message;
  pollfd wait{.fd = child->exit_fd(), .events = POLLIN, .revents = 0};
  EXPECT_EQ(::poll(&wait, 1, 0), 0);
  child->send(SIGTERM);
  EXPECT_EQ(::poll(&wait, 1, 20'000), 1);
  EXPECT_EQ(child->wait().signal, SIGTERM);
  child->send(SIGTERM);  // it has ended already
}

// What we block for ourselves is not blocked in the command.
TEST_F(ChildTest, SignalsThatWeBlockReachTheCommand) {
  sigset_t blocked;
  sigset_t before;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGTERM);
  ASSERT_EQ(::pthread_sigmask(SIG_BLOCK, &blocked, &before), 0);
  const auto child = shell("exec sleep 60");
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ASSERT_TRUE(child) << child.error().message;
  child->send(SIGTERM);
  EXPECT_EQ(child->wait().signal, SIGTERM);
}

TEST_F(ChildTest, ArgumentsAndStandardStreamsAreOurs) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe2(ends.data(), O_CLOEXEC), 0);
  const int kept = ::dup(STDOUT_FILENO);
  ::dup2(ends[1], STDOUT_FILENO);
  const auto child = start({"sh", "-c", "printf '%s|' \"$@\"", "sh", "a b", "", "--x"});
  ::dup2(kept, STDOUT_FILENO);
  ::close(kept);
  ::close(ends[1]);
  ASSERT_TRUE(child) << child.error().message;
  child->wait();
  std::array<char, 64> text{};
  const ssize_t got = ::read(ends[0], text.data(), text.size());
  ::close(ends[0]);
  EXPECT_EQ(std::string(text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))),
            "a b||--x|");
}

// None of our descriptors is open in it.
TEST_F(ChildTest, InheritsNoDescriptor) {
  const auto child = shell("ls /proc/self/fd | grep -c . >'" + file("count") + "'");
  ASSERT_TRUE(child) << child.error().message;
  EXPECT_EQ(child->wait().code, 0);
  const auto bare = ::popen("ls /proc/self/fd | grep -c .", "r");
  ASSERT_NE(bare, nullptr);
  std::array<char, 16> text{};
  const char* const line = ::fgets(text.data(), text.size(), bare);
  ::pclose(bare);
  ASSERT_NE(line, nullptr);
  EXPECT_LE(std::stoi(text_of(file("count"))), std::stoi(text.data()));
}

}  // namespace
}  // namespace plimsoll::agent::child_test
