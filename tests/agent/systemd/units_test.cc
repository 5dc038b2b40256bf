// SPDX-License-Identifier: Apache-2.0
#include "agent/systemd/units.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <thread>

#include "base/fd.h"
#include "tests/kube/scratch_directory.h"
#include "tests/support/cgroup_tree.h"
#include "tests/support/fake_systemd.h"

namespace plimsoll::agent::units_test {
namespace {

using test::CgroupTree;
using test::FakeSystemd;
using Call = FakeSystemd::Call;

constexpr Limit kLimit{512 * kMiB};
const std::string kPath = "kubepods.slice/app.scope";

class SystemdUnitsTest : public testing::Test {
 protected:
  SystemdUnitsTest() {
    config.bus = {SystemdBus::Kind::kPrivate, scratch / "private"};
    config.settle = Nanoseconds(0);
    config.timeout = std::chrono::hours(1);
    config.backoff = std::chrono::milliseconds(1);
  }

  std::unique_ptr<SystemdUnits> start() {
    auto units = SystemdUnits::start(root, config);
    EXPECT_TRUE(units);
    return std::move(*units);
  }
  static UnitLimits limits(const std::string& unit, Limit limit = kLimit) {
    return {.unit = unit, .path = kPath, .memory_max = limit, .cpu_quota_us_per_second = {}};
  }
  // Waits for the next outcomes.
  static std::vector<UnitOutcome> outcomes(SystemdUnits& units, std::size_t count) {
    std::vector<UnitOutcome> all;
    while (all.size() < count) {
      pollfd ready{units.outcome_fd(), POLLIN, 0};
      if (::poll(&ready, 1, 60'000) != 1) {
        ADD_FAILURE() << "only " << all.size() << " outcomes after a minute";
        break;
      }
      for (UnitOutcome& outcome : units.collect()) all.push_back(std::move(outcome));
    }
    return all;
  }
  template <typename Condition>
  static void until(const char* what, const Condition& condition) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!condition()) {
      ASSERT_LT(std::chrono::steady_clock::now(), deadline) << what;
      std::this_thread::yield();
    }
  }

  kube::ScratchDirectory scratch;
  CgroupTree tree{{kPath, {{"memory.max", "536870912\n"}}}};
  cgroup::Root root = tree.root();
  SystemdUnitsConfig config;
};

TEST_F(SystemdUnitsTest, TellsSystemdForTheTimeUntilTheNextBoot) {
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("app.scope")));
  const auto done = outcomes(*units, 1);
  ASSERT_EQ(done.size(), 1U);
  EXPECT_EQ(done[0].limits, limits("app.scope"));
  EXPECT_FALSE(done[0].error);
  EXPECT_EQ(systemd->calls(),
            (std::vector<Call>{{"app.scope", true, {{"MemoryMax", kLimit.bytes}}}}));
  // It has carried out what came before the ping.
  EXPECT_EQ(systemd->pings(), 1U);
  EXPECT_TRUE(units->idle());
  EXPECT_EQ(units->counters().told, 1U);
}

TEST_F(SystemdUnitsTest, CpuAndNoLimit) {
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  UnitLimits both = limits("app.scope", kNoLimit);
  both.cpu_quota_us_per_second = 1'500'000;
  ASSERT_TRUE(units->tell(both));
  outcomes(*units, 1);
  EXPECT_EQ(
      systemd->calls(),
      (std::vector<Call>{
          {"app.scope", true, {{"MemoryMax", UINT64_MAX}, {"CPUQuotaPerSecUSec", 1'500'000}}}}));
}

// One at a time, and of each unit only the newest.
TEST_F(SystemdUnitsTest, OnlyTheNewestValueIsSent) {
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  systemd->hold(true);
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("app.scope", Limit{100})));
  until("the first call", [&] { return systemd->calls().size() == 1; });
  for (const std::uint64_t bytes : {200U, 300U, 400U}) {
    ASSERT_TRUE(units->tell(limits("app.scope", Limit{bytes})));
  }
  EXPECT_EQ(systemd->calls().size(), 1U);
  systemd->hold(false);
  outcomes(*units, 2);
  const auto calls = systemd->calls();
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[1].properties.at("MemoryMax"), 400U);
  EXPECT_EQ(units->counters().superseded, 2U);
}

TEST_F(SystemdUnitsTest, AValueWaitsUntilItHasSettled) {
  config.settle = std::chrono::hours(1);
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("app.scope")));
  EXPECT_FALSE(units->idle());
  units->forget("app.scope");
  EXPECT_TRUE(units->idle());
  EXPECT_EQ(units->counters().connects, 0U);
}

TEST_F(SystemdUnitsTest, TheQueueIsBounded) {
  config.most_waiting = 2;
  config.settle = std::chrono::hours(1);
  const auto units = start();
  EXPECT_TRUE(units->tell(limits("a.scope")));
  EXPECT_TRUE(units->tell(limits("b.scope")));
  EXPECT_FALSE(units->tell(limits("c.scope")));
  EXPECT_TRUE(units->tell(limits("a.scope", Limit{1}))) << "a newer value of one that waits";
  EXPECT_EQ(units->counters().dropped, 1U);
}

TEST_F(SystemdUnitsTest, RefusalsAreFinal) {
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("missing.scope")));
  auto done = outcomes(*units, 1);
  ASSERT_TRUE(done[0].error);
  EXPECT_EQ(done[0].error->code, Code::kGone);
  EXPECT_NE(done[0].error->message.find("Unit missing.scope not found."), std::string::npos);
  ASSERT_TRUE(units->tell(limits("denied.scope")));
  done = outcomes(*units, 1);
  ASSERT_TRUE(done[0].error);
  EXPECT_EQ(done[0].error->code, Code::kDenied);
  EXPECT_TRUE(units->idle());
  EXPECT_EQ(units->counters().failed, 2U);
  EXPECT_EQ(systemd->calls().size(), 2U);
}

TEST_F(SystemdUnitsTest, AConnectionThatEndsIsMadeAgain) {
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("hangup.scope")));
  const auto done = outcomes(*units, 2);
  ASSERT_TRUE(done[0].error);
  EXPECT_EQ(done[0].error->code, Code::kUnavailable);
  EXPECT_FALSE(done[1].error);
  EXPECT_EQ(systemd->calls().size(), 2U);
  EXPECT_EQ(units->counters().connects, 2U);
  EXPECT_TRUE(units->idle());
}

TEST_F(SystemdUnitsTest, WaitsForASystemdThatIsNotThere) {
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("app.scope")));
  const auto done = outcomes(*units, 1);
  ASSERT_TRUE(done[0].error);
  EXPECT_EQ(done[0].error->code, Code::kUnavailable);
  EXPECT_FALSE(units->idle());
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  until("told", [&] { return units->counters().told == 1; });
  EXPECT_EQ(systemd->calls().size(), 1U);
}

TEST_F(SystemdUnitsTest, NoAnswerIsAFailure) {
  config.timeout = std::chrono::milliseconds(20);
  config.backoff = std::chrono::hours(1);
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("silent.scope")));
  const auto done = outcomes(*units, 1);
  ASSERT_TRUE(done[0].error);
  EXPECT_EQ(done[0].error->code, Code::kUnavailable);
  EXPECT_FALSE(units->idle()) << "it is still to be told";
}

// systemd writes what it is told to the file, a little later. Too near to the use, a raise of that
// moment would be run over.
TEST_F(SystemdUnitsTest, WaitsForHeadroom) {
  tree.set(kPath, "memory.current", std::to_string(500 * kMiB) + "\n");
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("app.scope")));
  until("looked", [&] { return units->counters().deferred > 0; });
  EXPECT_TRUE(systemd->calls().empty());
  tree.set(kPath, "memory.current", std::to_string(480 * kMiB) + "\n");
  outcomes(*units, 1);
  EXPECT_EQ(systemd->calls().size(), 1U);
}

// What reclaim can free is no reason to wait.
TEST_F(SystemdUnitsTest, CacheIsHeadroom) {
  tree.set(kPath, "memory.current", std::to_string(512 * kMiB) + "\n");
  std::string stat = tree.get(kPath, "memory.stat");
  const std::string none = "inactive_file 0";
  stat.replace(stat.find(none), none.size(), "inactive_file " + std::to_string(200 * kMiB));
  tree.set(kPath, "memory.stat", stat);
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("app.scope")));
  EXPECT_FALSE(outcomes(*units, 1)[0].error);
  EXPECT_EQ(units->counters().deferred, 0U);
}

TEST_F(SystemdUnitsTest, ACgroupThatIsGoneIsNotTold) {
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  const auto units = start();
  tree.remove(kPath);
  ASSERT_TRUE(units->tell(limits("app.scope")));
  const auto done = outcomes(*units, 1);
  ASSERT_TRUE(done[0].error);
  EXPECT_EQ(done[0].error->code, Code::kGone);
  EXPECT_TRUE(systemd->calls().empty());
}

TEST_F(SystemdUnitsTest, StopsWithACallUnderWay) {
  const auto systemd = FakeSystemd::listen(config.bus.socket);
  auto units = start();
  ASSERT_TRUE(units->tell(limits("silent.scope")));
  until("the call", [&] { return systemd->calls().size() == 1; });
  units.reset();  // with an hour to go until the timeout
}

// A bus daemon of its own, with a policy that allows everything.
class DbusDaemon {
 public:
  explicit DbusDaemon(const kube::ScratchDirectory& directory) : socket_(directory / "bus") {
    const std::string config = directory.write(
        "bus.conf",
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" "
        "\"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n"
        "<busconfig><type>system</type><listen>unix:path=" +
            socket_ +
            "</listen><policy context=\"default\"><allow user=\"*\"/><allow own=\"*\"/>"
            "<allow send_destination=\"*\"/><allow receive_sender=\"*\"/></policy></busconfig>\n");
    std::string program = "dbus-daemon";
    std::string option = "--config-file=" + config;
    std::string foreground = "--nofork";
    std::array<char*, 4> arguments{program.data(), option.data(), foreground.data(), nullptr};
    started_ =
        ::posix_spawnp(&pid_, program.c_str(), nullptr, nullptr, arguments.data(), environ) == 0;
  }
  ~DbusDaemon() {
    if (!started_) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
  }
  DbusDaemon(const DbusDaemon&) = delete;
  DbusDaemon& operator=(const DbusDaemon&) = delete;

  bool started() const { return started_; }
  const std::string& socket() const { return socket_; }

 private:
  std::string socket_;
  pid_t pid_ = -1;
  bool started_ = false;
};

// A socket has its name before anybody listens.
bool accepts(const std::string& path) {
  const Fd client(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  path.copy(static_cast<char*>(address.sun_path), sizeof(address.sun_path) - 1);
  const auto* const to = reinterpret_cast<const sockaddr*>(&address);
  return ::connect(client.get(), to, sizeof(address)) == 0;
}

TEST_F(SystemdUnitsTest, ThroughAMessageBus) {
  const DbusDaemon daemon(scratch);
  if (!daemon.started()) GTEST_SKIP() << "dbus-daemon is not installed (package dbus-daemon)";
  until("the daemon listens", [&] { return accepts(daemon.socket()); });
  config.bus = {SystemdBus::Kind::kMessageBus, daemon.socket()};
  const auto units = start();
  ASSERT_TRUE(units->tell(limits("app.scope")));
  const auto nobody = outcomes(*units, 1);
  ASSERT_TRUE(nobody[0].error);
  EXPECT_EQ(nobody[0].error->code, Code::kUnavailable) << "a bus without systemd";
  const auto systemd = FakeSystemd::on_bus(daemon.socket());
  until("told", [&] { return units->counters().told == 1; });
  EXPECT_EQ(systemd->calls(),
            (std::vector<Call>{{"app.scope", true, {{"MemoryMax", kLimit.bytes}}}}));
}

}  // namespace
}  // namespace plimsoll::agent::units_test
