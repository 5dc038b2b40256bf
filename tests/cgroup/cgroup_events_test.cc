// SPDX-License-Identifier: Apache-2.0
#include "cgroup/cgroup_events.h"

#include <gtest/gtest.h>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::cgroup_events_test {
namespace {

TEST(CgroupEvents, ReadsBothFlags) {
  EXPECT_EQ(parse_cgroup_events("populated 1\nfrozen 0\n"), (CgroupEvents{true, false}));
  EXPECT_EQ(parse_cgroup_events("frozen 1\npopulated 0\nnew 7\n"), (CgroupEvents{false, true}));
  EXPECT_EQ(parse_cgroup_events("populated 1\n"), (CgroupEvents{true, std::nullopt}));
}

TEST(CgroupEvents, AnythingElseIsMalformed) {
  for (const char* const text :
       {"", "frozen 0\n", "populated 2\n", "populated\n", "populated x\n"}) {
    const auto events = parse_cgroup_events(text);
    ASSERT_FALSE(events) << text;
    EXPECT_EQ(events.error().code, Code::kMalformed);
  }
}

TEST(CgroupEvents, SurvivesGarbage) {
  test::survives_garbage("populated 1\nfrozen 0\n", parse_cgroup_events);
}

}  // namespace
}  // namespace plimsoll::cgroup::cgroup_events_test
