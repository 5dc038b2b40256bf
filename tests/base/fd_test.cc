// SPDX-License-Identifier: Apache-2.0
#include "base/fd.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <utility>

namespace plimsoll::fd_test {
namespace {

int open_null() { return ::open("/dev/null", O_RDONLY | O_CLOEXEC); }
bool is_open(int fd) { return ::fcntl(fd, F_GETFD) >= 0; }

TEST(Fd, ClosesWhatItOwns) {
  const int number = open_null();
  {
    const Fd fd(number);
    EXPECT_TRUE(fd);
    EXPECT_TRUE(is_open(number));
  }
  EXPECT_FALSE(is_open(number));
}

TEST(Fd, MovesOwnership) {
  Fd first(open_null());
  const int number = first.get();
  Fd second(std::move(first));
  EXPECT_EQ(second.get(), number);
  EXPECT_TRUE(is_open(number));
  Fd third(open_null());
  const int closed = third.get();
  third = std::move(second);
  EXPECT_EQ(third.get(), number);
  EXPECT_TRUE(is_open(number));
  EXPECT_FALSE(is_open(closed));
  Fd& same = third;
  third = std::move(same);
  EXPECT_TRUE(is_open(number));
}

TEST(Fd, ReleaseGivesItAway) {
  int number = -1;
  {
    Fd fd(open_null());
    number = fd.release();
    EXPECT_FALSE(fd);
    EXPECT_EQ(fd.get(), -1);
  }
  EXPECT_TRUE(is_open(number));
  ::close(number);
}

// Descriptor 0 is one like any other.
TEST(Fd, OnlyNegativeIsEmpty) {
  EXPECT_FALSE(Fd());
  Fd zero(0);
  EXPECT_TRUE(zero);
  EXPECT_EQ(zero.release(), 0);
}

}  // namespace
}  // namespace plimsoll::fd_test
