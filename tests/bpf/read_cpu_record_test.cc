// SPDX-License-Identifier: Apache-2.0
#include "bpf/read_cpu_record.h"

#include <gtest/gtest.h>

#include "bpf/cpu_records.h"

namespace plimsoll::bpf {
namespace {

using std::chrono::milliseconds;

pl_cpu_event record() {
  return {.time_ns = 5'000'000,
          .cgroup_id = 77,
          .quota_ns = 10'000'000,
          .burst_ns = 3'000'000,
          .period_ns = 100'000'000,
          .used_ns = 9'000'000,
          .refilled_ns = 4'000'000,
          .used_total_ns = 8'000'000'000,
          .slot = 12,
          .epoch = 13,
          .throttled = 2,
          .runnable = 4};
}

TEST(ReadCpuRecord, TakesEachMember) {
  const pl_cpu_event sent = record();
  const auto event = read_cpu_record(&sent, sizeof(sent));
  ASSERT_TRUE(event);
  EXPECT_EQ(*event, (CpuEvent{.time = MonotonicTime(milliseconds(5)),
                              .id = CgroupId{77},
                              .quota = milliseconds(10),
                              .burst = milliseconds(3),
                              .period = milliseconds(100),
                              .used = milliseconds(9),
                              .refilled = MonotonicTime(milliseconds(4)),
                              .used_total = std::chrono::seconds(8),
                              .slot = 12,
                              .epoch = 13,
                              .throttled = 2,
                              .runnable = 4}));
}

TEST(ReadCpuRecord, WhatCannotBeIsNone) {
  pl_cpu_event sent = record();
  EXPECT_FALSE(read_cpu_record(&sent, sizeof(sent) - 1));
  EXPECT_FALSE(read_cpu_record(&sent, sizeof(sent) + 8));
  sent.slot = PL_MAX_SLOTS;
  EXPECT_FALSE(read_cpu_record(&sent, sizeof(sent)));
  sent = record();
  sent.period_ns = 0;
  EXPECT_FALSE(read_cpu_record(&sent, sizeof(sent)));
  for (pl_u64 pl_cpu_event::*const member : {&pl_cpu_event::quota_ns, &pl_cpu_event::burst_ns,
                                             &pl_cpu_event::period_ns, &pl_cpu_event::used_ns}) {
    sent = record();
    sent.*member = PL_NO_QUOTA;
    EXPECT_FALSE(read_cpu_record(&sent, sizeof(sent)));
  }
}

}  // namespace
}  // namespace plimsoll::bpf
