// SPDX-License-Identifier: Apache-2.0
#include "cgroup/node_cpu.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::node_cpu_test {
namespace {

using std::chrono::milliseconds;

const std::string kSample =
    "cpu  100 20 30 4000 500 6 7 8 90 10\ncpu0 50 10 15 2000 250 3 3 4 45 5\n"
    "cpu1 50 10 15 2000 250 3 4 4 45 5\nintr 12345 0 9\nctxt 99\nbtime 1700000000\n";

TEST(NodeCpu, TellsBusyFromIdle) {
  // 100 + 20 + 30 + 6 + 7 + 8 ticks; guest time is in user time already.
  EXPECT_EQ(parse_proc_stat(kSample),
            (NodeCpu{.cpus = 2, .busy = milliseconds(1710), .idle = milliseconds(45000)}));
}

TEST(NodeCpu, MissingOrBrokenNumbersAreMalformed) {
  for (const char* const text :
       {"", "cpu  1 2 3 4 5 6 7 8\n", "cpu0 1 2 3 4 5 6 7 8\n", "cpu  1 2 3 4\ncpu0 1 2 3 4\n",
        "cpu  1 2 3 4 5 6 7 -8\ncpu0 1\n", "cpu  1 2 3 99999999999999 5 6 7 8\ncpu0 1\n"}) {
    const auto node = parse_proc_stat(text);
    ASSERT_FALSE(node) << text;
    EXPECT_EQ(node.error().code, Code::kMalformed);
  }
}

TEST(NodeCpu, SurvivesGarbage) { test::survives_garbage(kSample, parse_proc_stat); }

TEST(NodeCpu, ThisMachineHasSome) {
  const auto node = read_node_cpu();
  ASSERT_TRUE(node) << node.error().message;
  EXPECT_GE(node->cpus, 1u);
  EXPECT_GT(node->busy, Nanoseconds{});
}

}  // namespace
}  // namespace plimsoll::cgroup::node_cpu_test
