// SPDX-License-Identifier: Apache-2.0
#include "bpf/cpu_records.h"
#include "bpf/record_time.h"

#include <gtest/gtest.h>

namespace plimsoll::bpf::cpu_records_test {
namespace {

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

TEST(CpuRecord, IsTheEvent) {
  const pl_cpu_event sent = record();
  EXPECT_EQ(event_at<pl_cpu_event>(&sent, sizeof(sent)), &sent);
  EXPECT_EQ(duration_of(sent.used_ns), std::chrono::milliseconds(9));
}

TEST(CpuRecord, WhatCannotBeIsNone) {
  pl_cpu_event sent = record();
  EXPECT_FALSE(event_at<pl_cpu_event>(&sent, sizeof(sent) - 1));
  EXPECT_FALSE(event_at<pl_cpu_event>(&sent, sizeof(sent) + 8));
  sent.slot = PL_MAX_SLOTS;
  EXPECT_FALSE(event_at<pl_cpu_event>(&sent, sizeof(sent)));
  sent = record();
  sent.period_ns = 0;
  EXPECT_FALSE(event_at<pl_cpu_event>(&sent, sizeof(sent)));
  for (pl_u64 pl_cpu_event::*const member : {&pl_cpu_event::quota_ns, &pl_cpu_event::burst_ns,
                                             &pl_cpu_event::period_ns, &pl_cpu_event::used_ns}) {
    sent = record();
    sent.*member = PL_NO_QUOTA;
    EXPECT_FALSE(event_at<pl_cpu_event>(&sent, sizeof(sent)));
  }
}

}  // namespace
}  // namespace plimsoll::bpf::cpu_records_test
