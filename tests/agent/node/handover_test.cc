// SPDX-License-Identifier: Apache-2.0
#include "agent/node/handover.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>

#include <filesystem>
#include <future>

#include "agent/state/state_store.h"
#include "agent/telemetry/unix_socket.h"
#include "base/clock.h"
#include "tests/kube/scratch_directory.h"

namespace plimsoll::agent::handover_test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

class HandoverTest : public testing::Test {
 protected:
  static bool readable(int fd) {
    pollfd waits{.fd = fd, .events = POLLIN, .revents = 0};
    return ::poll(&waits, 1, 5000) == 1;
  }
  Result<StateStore> open_state() const {
    return StateStore::open(directory_ / "state", directory_ / "floors");
  }

  kube::ScratchDirectory directory_;
  std::string path_ = handover_path(directory_ / "state");
};

TEST_F(HandoverTest, TheNextOneHasTheLocksWhenItIsTold) {
  auto had = open_state();
  ASSERT_TRUE(had) << had.error().message;
  auto handover = Handover::open(path_);
  ASSERT_TRUE(handover) << handover.error().message;
  const auto refused = open_state();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Code::kConflict);

  auto next = std::async(std::launch::async, [&] { return ask_for_node(path_, seconds(5)); });
  ASSERT_TRUE(readable(handover->poll_fd()));
  const auto asker = handover->asked();
  ASSERT_TRUE(asker);
  const MonotonicTime stopped = monotonic_now();
  had->flush(NodeState{.pods = {{.uid = "last"}}}, {}, stopped);
  had->release();
  ASSERT_TRUE(say_free(*asker, stopped));

  auto given = next.get();
  ASSERT_TRUE(given) << given.error().message;
  EXPECT_EQ(given->stopped, stopped);
  auto has = open_state();
  ASSERT_TRUE(has) << has.error().message;
  ASSERT_EQ(has->found().pods.size(), 1U);
  EXPECT_EQ(has->found().pods[0].uid, "last");
  // Who gave it writes no more, whatever it is told.
  const auto late = had->save(NodeState{.pods = {{.uid = "late"}}}, {}, stopped + seconds(9));
  ASSERT_TRUE(late);
  EXPECT_EQ(late->code, Code::kConflict);
  had->flush(NodeState{.pods = {{.uid = "late"}}}, {}, stopped + seconds(9));
  EXPECT_FALSE(std::filesystem::exists(directory_ / "state.new"));
  EXPECT_EQ(read_state(directory_ / "state", has->found().boot_id).state.pods, has->found().pods);

  // At work.
  EXPECT_FALSE(wait_until_closed(*asker, milliseconds(1)));
  given->connection = Fd();
  EXPECT_TRUE(wait_until_closed(*asker, seconds(5)));
}

// Killed between the word and the lock: it is free, and whoever waits for it has it.
TEST_F(HandoverTest, OneThatDiesInTheMiddleLeavesTheNodeFree) {
  auto had = open_state();
  ASSERT_TRUE(had);
  had->release();
  auto died = open_state();
  ASSERT_TRUE(died);
  EXPECT_FALSE(open_state());
  died = fail(Code::kGone, "killed");
  EXPECT_TRUE(open_state());
}

TEST_F(HandoverTest, NobodyThere) {
  const auto given = ask_for_node(path_, seconds(1));
  ASSERT_FALSE(given);
  EXPECT_EQ(given.error().code, Code::kGone);
}

TEST_F(HandoverTest, WhoSaysNothingOrSomethingElseGetsNothing) {
  auto handover = Handover::open(path_);
  ASSERT_TRUE(handover);
  const auto came = connect_to(path_, seconds(1));
  ASSERT_TRUE(came);
  ASSERT_TRUE(readable(handover->poll_fd()));
  EXPECT_FALSE(handover->asked());  // after a fifth of a second
  const auto other = connect_to(path_, seconds(1));
  ASSERT_TRUE(other);
  ASSERT_EQ(::send(other->get(), "explain\n", 8, MSG_NOSIGNAL), 8);
  EXPECT_FALSE(handover->asked());
  EXPECT_FALSE(handover->asked());  // nobody is there
}

TEST_F(HandoverTest, AnAnswerThatDoesNotComeIsNone) {
  auto handover = Handover::open(path_);
  ASSERT_TRUE(handover);
  const auto given = ask_for_node(path_, milliseconds(100));
  ASSERT_FALSE(given);
  EXPECT_EQ(given.error().code, Code::kUnavailable);
}

TEST_F(HandoverTest, TheSocketGoesWithIt) {
  {
    auto handover = Handover::open(path_);
    ASSERT_TRUE(handover);
    EXPECT_EQ(std::filesystem::status(path_).permissions(), std::filesystem::perms(0600));
    EXPECT_FALSE(Handover::open(path_));
    const Handover moved = std::move(*handover);
    EXPECT_TRUE(std::filesystem::exists(path_));
  }
  EXPECT_FALSE(std::filesystem::exists(path_));
}

}  // namespace
}  // namespace plimsoll::agent::handover_test
