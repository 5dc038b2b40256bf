// SPDX-License-Identifier: Apache-2.0
//
// What the CPU files of a cgroup do, as far as the fake tree can do it too; see tree_contract.h.
#pragma once

#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>
#include <utility>

#include "cgroup/cpu_files.h"
#include "cgroup/writer.h"
#include "tests/cgroup/tree_contract.h"

namespace plimsoll::test {

using cgroup::CpuMax;
using std::chrono::microseconds;

constexpr CpuMax cpu_max(std::int64_t quota_us, std::int64_t period_us = 100'000) {
  return {microseconds(quota_us), microseconds(period_us)};
}

template <typename Tree>
class CpuContract : public TreeContract<Tree> {};
TYPED_TEST_SUITE_P(CpuContract);

TYPED_TEST_P(CpuContract, AFreshGroupHasNoLimitAndNoBurst) {
  const Group group = this->add("a");
  EXPECT_EQ(group.read_cpu_max(), CpuMax{});
  EXPECT_EQ(group.read_cpu_max_burst(), microseconds(0));
  const auto stat = group.read_cpu_stat();
  ASSERT_TRUE(stat) << stat.error().message;
  EXPECT_EQ(stat->periods, 0u);
  EXPECT_EQ(stat->throttled, 0u);
  EXPECT_EQ(stat->throttled_for, Nanoseconds{});
  EXPECT_TRUE(group.read_cpu_pressure());
}

TYPED_TEST_P(CpuContract, TheTopHasNoLimitButATime) {
  const cgroup::Root root = this->tree.root();
  EXPECT_EQ(code_of(root.top().read_cpu_max()), Code::kUnsupported);
  EXPECT_TRUE(root.top().read_cpu_stat());
  EXPECT_EQ(code_of(cgroup::CpuFiles::open(root.top())), Code::kUnsupported);
}

TYPED_TEST_P(CpuContract, LimitsAreWrittenAndReadBack) {
  const Group group = this->add("a");
  const Writer writer;
  EXPECT_EQ(writer.set_cpu_max(group, cpu_max(150'000)),
            (cgroup::CpuChange{group.id(), CpuMax{}, cpu_max(150'000)}));
  // Shorter than the text that is there, and another period.
  EXPECT_EQ(writer.set_cpu_max(group, cpu_max(5'000, 50'000)),
            (cgroup::CpuChange{group.id(), cpu_max(150'000), cpu_max(5'000, 50'000)}));
  EXPECT_EQ(writer.set_cpu_max(group, CpuMax{}),
            (cgroup::CpuChange{group.id(), cpu_max(5'000, 50'000), CpuMax{}}));
  EXPECT_EQ(group.read_cpu_max(), CpuMax{});
}

TYPED_TEST_P(CpuContract, AQuotaBelowTheBurstBringsTheBurstDown) {
  const Group group = this->add("a");
  const Writer writer;
  ASSERT_TRUE(writer.set_cpu_max(group, cpu_max(50'000)));
  ASSERT_TRUE(writer.set_cpu_burst(group, microseconds(40'000)));
  EXPECT_EQ(group.read_cpu_max_burst(), microseconds(40'000));
  ASSERT_TRUE(writer.set_cpu_max(group, cpu_max(60'000)));
  EXPECT_EQ(group.read_cpu_max_burst(), microseconds(40'000));
  const auto lowered = writer.set_cpu_max(group, cpu_max(20'000));
  ASSERT_TRUE(lowered) << lowered.error().message;
  EXPECT_EQ(group.read_cpu_max_burst(), microseconds(20'000));
}

TYPED_TEST_P(CpuContract, ARaiseGoesDownAndALoweringGoesUp) {
  const Group pod = this->add("pod");
  const Group container = this->add("pod/container");
  const Writer writer;
  const std::array first{cgroup::CpuStep{&pod, cpu_max(20'000)},
                         cgroup::CpuStep{&container, cpu_max(10'000)}};
  // From "max" that is lowering.
  const auto lowered = writer.lower_cpu_max(first);
  ASSERT_FALSE(lowered.error) << lowered.error->message;
  ASSERT_EQ(lowered.done.size(), 2u);
  EXPECT_EQ(lowered.done.front().id, container.id());
  const std::array second{cgroup::CpuStep{&pod, cpu_max(15'000)},
                          cgroup::CpuStep{&container, cpu_max(12'000)}};
  const auto raised = writer.raise_cpu_max(second);
  ASSERT_FALSE(raised.error) << raised.error->message;
  ASSERT_EQ(raised.done.size(), 2u);
  EXPECT_EQ(raised.done.front().id, pod.id());
  EXPECT_EQ(pod.read_cpu_max(), cpu_max(20'000)) << "a raise never lowers";
  EXPECT_EQ(container.read_cpu_max(), cpu_max(12'000));
  // The same share of a shorter period is no raise.
  const std::array third{cgroup::CpuStep{&container, cpu_max(6'000, 50'000)}};
  EXPECT_EQ(writer.raise_cpu_max(third).done.front().after, cpu_max(12'000));
}

TYPED_TEST_P(CpuContract, AStepThatFailsSaysWhatWasDoneBefore) {
  const Group pod = this->add("pod");
  const Group container = this->add("pod/container");
  this->tree.remove("pod/container");
  const std::array steps{cgroup::CpuStep{&pod, cpu_max(20'000)},
                         cgroup::CpuStep{&container, cpu_max(20'000)}};
  ASSERT_TRUE(Writer().set_cpu_max(pod, cpu_max(10'000)));
  const auto raised = Writer().raise_cpu_max(steps);
  ASSERT_EQ(raised.done.size(), 1u);
  EXPECT_EQ(raised.done.front().after, cpu_max(20'000));
  ASSERT_TRUE(raised.error);
  EXPECT_EQ(raised.error->code, Code::kGone);
}

TYPED_TEST_P(CpuContract, OpenFilesWriteWhatAnybodyReads) {
  const Group group = this->add("a");
  const auto files = cgroup::CpuFiles::open(group);
  ASSERT_TRUE(files) << files.error().message;
  EXPECT_EQ(files->read_max(), CpuMax{});
  EXPECT_EQ(files->write_max(cpu_max(30'000)), 0);
  EXPECT_EQ(group.read_cpu_max(), cpu_max(30'000));
  EXPECT_EQ(files->read_max(), cpu_max(30'000));
  EXPECT_EQ(files->write_burst(microseconds(30'000)), 0);
  EXPECT_EQ(group.read_cpu_max_burst(), microseconds(30'000));
  EXPECT_EQ(files->read_burst(), microseconds(30'000));
  EXPECT_EQ(files->write_burst(microseconds(0)), 0);
  EXPECT_EQ(files->write_max(CpuMax{}), 0);
  EXPECT_EQ(files->read_stat(), *group.read_cpu_stat());
  EXPECT_EQ(group.read_cpu_max(), CpuMax{});
}

REGISTER_TYPED_TEST_SUITE_P(CpuContract, AFreshGroupHasNoLimitAndNoBurst, TheTopHasNoLimitButATime,
                            LimitsAreWrittenAndReadBack, AQuotaBelowTheBurstBringsTheBurstDown,
                            ARaiseGoesDownAndALoweringGoesUp, AStepThatFailsSaysWhatWasDoneBefore,
                            OpenFilesWriteWhatAnybodyReads);

}  // namespace plimsoll::test
