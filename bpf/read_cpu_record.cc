// SPDX-License-Identifier: Apache-2.0
#include "bpf/read_cpu_record.h"

#include "bpf/cpu_records.h"

namespace plimsoll::bpf {
namespace {

// A period is at most a second, and a machine has fewer CPUs than an hour has seconds.
constexpr pl_u64 kMostPerPeriod = 3'600'000'000'000;

Nanoseconds time_of(pl_u64 count) { return Nanoseconds(static_cast<std::int64_t>(count)); }

}  // namespace

std::optional<CpuEvent> read_cpu_record(const void* data, std::size_t size) noexcept {
  if (size != sizeof(pl_cpu_event)) return std::nullopt;
  const auto& record = *static_cast<const pl_cpu_event*>(data);
  if (record.slot >= PL_MAX_SLOTS || record.period_ns == 0) return std::nullopt;
  for (const pl_u64 part : {record.quota_ns, record.burst_ns, record.period_ns, record.used_ns}) {
    if (part > kMostPerPeriod) return std::nullopt;
  }
  return CpuEvent{.time = MonotonicTime(time_of(record.time_ns)),
                  .id = CgroupId{record.cgroup_id},
                  .quota = time_of(record.quota_ns),
                  .burst = time_of(record.burst_ns),
                  .period = time_of(record.period_ns),
                  .used = time_of(record.used_ns),
                  .refilled = MonotonicTime(time_of(record.refilled_ns)),
                  .used_total = time_of(record.used_total_ns),
                  .slot = record.slot,
                  .epoch = record.epoch,
                  .throttled = record.throttled,
                  .runnable = record.runnable};
}

}  // namespace plimsoll::bpf
