// SPDX-License-Identifier: Apache-2.0
#include "agent/engine/file_limit.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

namespace plimsoll::agent::file_limit_test {
namespace {

TEST(FileLimit, BecomesTheHardOne) {
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit low = before;
  low.rlim_cur = before.rlim_max / 2;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  const auto raised = raise_file_limit();
  ASSERT_TRUE(raised) << raised.error().message;
  EXPECT_EQ(*raised, before.rlim_max);
  rlimit after{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &after), 0);
  EXPECT_EQ(after.rlim_cur, before.rlim_max);
  EXPECT_EQ(*raise_file_limit(), before.rlim_max) << "again";
  ::setrlimit(RLIMIT_NOFILE, &before);
}

}  // namespace
}  // namespace plimsoll::agent::file_limit_test
