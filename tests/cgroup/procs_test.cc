// SPDX-License-Identifier: Apache-2.0
#include "cgroup/procs.h"

#include <gtest/gtest.h>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::procs_test {
namespace {

TEST(Procs, ReadsPids) {
  EXPECT_EQ(parse_procs(""), Procs{});
  EXPECT_EQ(parse_procs("12\n7\n2147483647\n"), (Procs{{12, 7, 2147483647}, 0}));
}

TEST(Procs, ZeroIsNoPid) { EXPECT_EQ(parse_procs("0\n12\n0\n"), (Procs{{12}, 2})); }

TEST(Procs, AnythingElseIsMalformed) {
  for (const char* const text : {"-1\n", "12\n\n", "x\n", "2147483648\n", "1 2\n"}) {
    const auto procs = parse_procs(text);
    ASSERT_FALSE(procs) << text;
    EXPECT_EQ(procs.error().code, Code::kMalformed);
  }
}

TEST(Procs, SurvivesGarbage) { test::survives_garbage("1\n22\n333\n4444\n", parse_procs); }

}  // namespace
}  // namespace plimsoll::cgroup::procs_test
