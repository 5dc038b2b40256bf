// SPDX-License-Identifier: Apache-2.0
#include "cgroup/controllers.h"

#include <gtest/gtest.h>

#include <string>

#include "tests/cgroup/garbage.h"

namespace plimsoll::cgroup::controllers_test {
namespace {

TEST(Controllers, ReadsNames) {
  EXPECT_EQ(parse_controllers("\n"), ControllerSet{});
  EXPECT_EQ(parse_controllers(""), ControllerSet{});
  EXPECT_EQ(parse_controllers("cpu io memory perf_event\n"),
            (ControllerSet{"cpu", "io", "memory", "perf_event"}));
}

TEST(Controllers, AnythingElseIsMalformed) {
  std::string many;
  for (int i = 0; i < 100; ++i) many += "c" + std::to_string(i) + " ";
  for (const std::string& text : {std::string("+memory"), std::string("Memory"), many}) {
    const auto names = parse_controllers(text);
    ASSERT_FALSE(names) << text;
    EXPECT_EQ(names.error().code, Code::kMalformed);
  }
}

TEST(Controllers, SurvivesGarbage) {
  test::survives_garbage("cpuset cpu io memory hugetlb pids rdma\n", parse_controllers);
}

}  // namespace
}  // namespace plimsoll::cgroup::controllers_test
