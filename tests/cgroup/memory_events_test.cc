// SPDX-License-Identifier: Apache-2.0
#include "cgroup/memory_events.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::memory_events_test {
namespace {

const std::string kSample = "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill 6\n";

TEST(MemoryEvents, ReadsEachCounter) {
  const auto events = parse_memory_events(kSample);
  ASSERT_TRUE(events) << events.error().message;
  EXPECT_EQ(*events, (MemoryEvents{1, 2, 3, 4, 5, 6}));
}

TEST(MemoryEvents, GroupKillIsAbsentNotZeroOnOldKernels) {
  const auto events = parse_memory_events("oom_kill 5\nlow 1\nhigh 2\nmax 3\noom 4\nnew 9\n");
  ASSERT_TRUE(events);
  EXPECT_EQ(*events, (MemoryEvents{1, 2, 3, 4, 5, std::nullopt}));
}

TEST(MemoryEvents, MissingOrBrokenCounterIsMalformed) {
  for (const char* const text :
       {"", "low 1\nhigh 2\nmax 3\noom 4\n", "low 1\nhigh 2\nmax x\noom 4\noom_kill 5\n",
        "low 1\nhigh 2\nmax 3\noom 4\noom_kill 5\noom_group_kill -6\n"}) {
    const auto events = parse_memory_events(text);
    ASSERT_FALSE(events) << text;
    EXPECT_EQ(events.error().code, Code::kMalformed);
  }
}

TEST(MemoryEvents, SurvivesGarbage) { test::survives_garbage(kSample, parse_memory_events); }

}  // namespace
}  // namespace plimsoll::cgroup::memory_events_test
