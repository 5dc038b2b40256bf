// SPDX-License-Identifier: Apache-2.0
#include "bpf/memory_records.h"
#include "bpf/record_time.h"

#include <gtest/gtest.h>

#include <array>

namespace plimsoll::bpf::memory_records_test {
namespace {

constexpr pl_memory_event kRecord{.time_ns = 5'000,
                                  .cgroup_id = 77,
                                  .usage_bytes = 1 << 20,
                                  .limit_bytes = 2 << 20,
                                  .reclaimable_bytes = 4096,
                                  .rate_bytes_per_s = 9,
                                  .slot = PL_MAX_SLOTS - 1,
                                  .epoch = 3,
                                  .kind = PL_AT_DOOR,
                                  .pid = 12};

TEST(MemoryRecord, IsTheEvent) {
  EXPECT_EQ(event_at<pl_memory_event>(&kRecord, sizeof kRecord), &kRecord);
  EXPECT_EQ(time_of(kRecord.time_ns), MonotonicTime(Nanoseconds(5'000)));
}

TEST(MemoryRecord, RefusesWhatDoesNotExist) {
  EXPECT_FALSE(event_at<pl_memory_event>(&kRecord, sizeof kRecord - 1));
  const std::array<pl_memory_event, 2> two{kRecord, kRecord};
  EXPECT_FALSE(event_at<pl_memory_event>(two.data(), sizeof two));
  EXPECT_FALSE(event_at<pl_memory_event>(nullptr, 0));
  pl_memory_event record = kRecord;
  record.slot = PL_MAX_SLOTS;
  EXPECT_FALSE(event_at<pl_memory_event>(&record, sizeof record));
  for (const pl_u32 kind : {0U, PL_AT_DOOR + 1U, ~0U}) {
    record = kRecord;
    record.kind = kind;
    EXPECT_FALSE(event_at<pl_memory_event>(&record, sizeof record)) << kind;
  }
}

}  // namespace
}  // namespace plimsoll::bpf::memory_records_test
