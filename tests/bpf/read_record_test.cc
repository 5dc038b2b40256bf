// SPDX-License-Identifier: Apache-2.0
#include "bpf/read_record.h"

#include <gtest/gtest.h>

#include <array>

#include "bpf/memory_records.h"

namespace plimsoll::bpf {
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

TEST(ReadRecord, TakesEveryField) {
  const MemoryEvent expected{.time = MonotonicTime(Nanoseconds(5'000)),
                             .id = CgroupId{77},
                             .usage = {kMiB},
                             .limit = {2 * kMiB},
                             .reclaimable = {4096},
                             .rate_per_second = {9},
                             .slot = PL_MAX_SLOTS - 1,
                             .epoch = 3,
                             .kind = EventKind::kAtTheDoor,
                             .pid = 12};
  EXPECT_EQ(read_record(&kRecord, sizeof kRecord), expected);
}

TEST(ReadRecord, RefusesWhatDoesNotExist) {
  EXPECT_FALSE(read_record(&kRecord, sizeof kRecord - 1));
  const std::array<pl_memory_event, 2> two{kRecord, kRecord};
  EXPECT_FALSE(read_record(two.data(), sizeof two));
  EXPECT_FALSE(read_record(nullptr, 0));
  pl_memory_event record = kRecord;
  record.slot = PL_MAX_SLOTS;
  EXPECT_FALSE(read_record(&record, sizeof record));
  for (const pl_u32 kind : {0U, PL_AT_DOOR + 1U, ~0U}) {
    record = kRecord;
    record.kind = kind;
    EXPECT_FALSE(read_record(&record, sizeof record)) << kind;
  }
}

}  // namespace
}  // namespace plimsoll::bpf
