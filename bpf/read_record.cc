// SPDX-License-Identifier: Apache-2.0
#include "bpf/read_record.h"

#include "bpf/memory_records.h"

namespace plimsoll::bpf {

std::optional<MemoryEvent> read_record(const void* data, std::size_t size) noexcept {
  if (size != sizeof(pl_memory_event)) return std::nullopt;
  const auto& record = *static_cast<const pl_memory_event*>(data);
  if (record.slot >= PL_MAX_SLOTS || record.kind < PL_PREDICTED || record.kind > PL_AT_DOOR) {
    return std::nullopt;
  }
  return MemoryEvent{.time = MonotonicTime(Nanoseconds(static_cast<std::int64_t>(record.time_ns))),
                     .id = CgroupId{record.cgroup_id},
                     .usage = {record.usage_bytes},
                     .limit = {record.limit_bytes},
                     .reclaimable = {record.reclaimable_bytes},
                     .rate_per_second = {record.rate_bytes_per_s},
                     .slot = record.slot,
                     .epoch = record.epoch,
                     .kind = static_cast<EventKind>(record.kind),
                     .pid = record.pid};
}

}  // namespace plimsoll::bpf
