// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/mailbox.h"

#include <gtest/gtest.h>
#include <poll.h>

namespace plimsoll::agent::mailbox_test {
namespace {

bool readable(int fd) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&wait, 1, 0) == 1;
}

class MailboxTest : public ::testing::Test {
 protected:
  Wakeup reports_ = *Wakeup::make();
  Mailbox<int, int, 4, 2> mailbox_{*Wakeup::make(), reports_};
};

TEST_F(MailboxTest, ACommandWakesAndIsObeyedOnce) {
  EXPECT_TRUE(mailbox_.idle());
  EXPECT_FALSE(readable(mailbox_.fd()));
  ASSERT_TRUE(mailbox_.send(7));
  EXPECT_TRUE(readable(mailbox_.fd()));
  EXPECT_FALSE(mailbox_.idle());
  mailbox_.clear();
  EXPECT_FALSE(readable(mailbox_.fd()));
  int got = 0;
  EXPECT_TRUE(mailbox_.take([&](int command) {
    got = command;
    EXPECT_FALSE(mailbox_.idle()) << "it is not obeyed yet";
  }));
  EXPECT_EQ(got, 7);
  EXPECT_TRUE(mailbox_.idle());
  EXPECT_FALSE(mailbox_.take([](int) { FAIL(); }));
}

TEST_F(MailboxTest, AFullMailboxRefusesCommands) {
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(mailbox_.send(i));
  EXPECT_FALSE(mailbox_.send(4));
  while (mailbox_.take([](int) {})) {
  }
  EXPECT_TRUE(mailbox_.idle()) << "what was refused is not waited for";
}

TEST_F(MailboxTest, ReportsWithoutRoomAreCounted) {
  EXPECT_FALSE(mailbox_.receive());
  for (int i = 0; i < 5; ++i) mailbox_.report(i);
  EXPECT_TRUE(readable(reports_.fd()));
  EXPECT_EQ(mailbox_.reports_lost(), 3u);
  EXPECT_EQ(mailbox_.receive(), 0);
  EXPECT_EQ(mailbox_.receive(), 1);
  EXPECT_FALSE(mailbox_.receive());
}

}  // namespace
}  // namespace plimsoll::agent::mailbox_test
