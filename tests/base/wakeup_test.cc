// SPDX-License-Identifier: Apache-2.0
#include "base/wakeup.h"

#include <gtest/gtest.h>
#include <poll.h>

namespace plimsoll::wakeup_test {
namespace {

bool readable(int fd) {
  pollfd wait{.fd = fd, .events = POLLIN, .revents = 0};
  return ::poll(&wait, 1, 0) == 1;
}

TEST(Wakeup, IsReadableFromARingUntilItIsCleared) {
  const auto wakeup = Wakeup::make();
  ASSERT_TRUE(wakeup) << wakeup.error().message;
  EXPECT_FALSE(readable(wakeup->fd()));
  wakeup->ring();
  wakeup->ring();
  EXPECT_TRUE(readable(wakeup->fd()));
  wakeup->clear();
  EXPECT_FALSE(readable(wakeup->fd()));
  wakeup->clear();  // does not wait for a ring
}

}  // namespace
}  // namespace plimsoll::wakeup_test
