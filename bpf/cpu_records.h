/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What cpu.bpf.c and user space share: the event record, the per-cgroup slot, the control block and
 * the counters. C and C++; fixed width, no padding, sizes checked on both sides.
 */
#pragma once

#include "bpf/record_types.h"

/* A quota of a cgroup without a limit, as the kernel has it. */
#define PL_NO_QUOTA (~0ULL)
/* CFS periods that a slot remembers, one bit each. */
#define PL_CPU_WINDOW 64

/* More periods of the window were throttled than is tolerated, and one is just now. */
struct pl_cpu_event {
  pl_u64 time_ns; /* CLOCK_MONOTONIC */
  pl_u64 cgroup_id;
  pl_u64 quota_ns; /* per period */
  pl_u64 burst_ns;
  pl_u64 period_ns;
  pl_u64 used_ns;       /* handed out to the CPUs since the quota was refilled, up to 5 ms each
                           unused */
  pl_u64 refilled_ns;   /* when the last period began; the quota may have been written since */
  pl_u64 used_total_ns; /* of all periods that have ended since it is tracked */
  pl_u32 slot;
  pl_u32 epoch;     /* of the slot, so that a late event of a former cgroup is known */
  pl_u32 throttled; /* periods of the window, this one included */
  pl_u32 runnable;  /* threads that run or could; 0: not known */
};
PL_ASSERT_SIZE(struct pl_cpu_event, 80);

/* One tracked cgroup. User space writes the first part, the kernel programs the second; each field
 * has one writer but `pending_ns`, which user space clears, and `peak_used_ns`, which it takes. */
struct pl_cpu_slot {
  /* user space */
  pl_u64 cgroup_id; /* 0: the slot is free */
  pl_u32 epoch;
  pl_u32 armed;     /* 0: no event is sent */
  pl_u32 window;    /* periods, 1 to PL_CPU_WINDOW */
  pl_u32 tolerated; /* of them, that may be throttled without an event */
  /* kernel programs */
  pl_u64 group;       /* address of the cgroup's task group, key of the map */
  pl_u64 history;     /* the last periods, the newest in bit 0; set: throttled */
  pl_u64 refilled_ns; /* end of the last period */
  pl_u64 pending_ns;  /* an event is on its way since then; 0: none */
  pl_u64 throttles;   /* queues of a CPU that ran out of quota */
  pl_u64 periods;     /* ends of a period that were seen, and those at which it was throttled */
  pl_u64 periods_throttled;
  pl_u64 used_total_ns; /* in these periods */
  pl_u64 peak_used_ns;  /* most in one of them since user space took it */
  /* of the last sweep: the kernel's own */
  pl_u64 quota_ns;
  pl_u64 burst_ns;
  pl_u64 period_ns;
  pl_u64 nr_periods;
  pl_u64 nr_throttled;
  pl_u64 throttled_ns;
};
PL_ASSERT_SIZE(struct pl_cpu_slot, 144);

/* Of all programs together, counted by the kernel programs. */
struct pl_cpu_counters {
  pl_u64 events;
  pl_u64 events_dropped; /* ring buffer full: nobody was told */
};
PL_ASSERT_SIZE(struct pl_cpu_counters, 16);

/* Argument and result of the programs that user space runs itself. */
struct pl_cpu_command {
  pl_u64 cgroup_id; /* of the cgroup that on_cpu_track saw */
  pl_u32 slot;
  pl_u32 result; /* PL_TRACK_* */
  pl_u32 slots;  /* slots in use are below this; 0: the programs do nothing */
  pl_u32 unused;
};
PL_ASSERT_SIZE(struct pl_cpu_command, 24);

#ifdef __cplusplus
static_assert(std::has_unique_object_representations_v<pl_cpu_event>);
static_assert(std::has_unique_object_representations_v<pl_cpu_slot>);
static_assert(std::has_unique_object_representations_v<pl_cpu_counters>);
static_assert(std::has_unique_object_representations_v<pl_cpu_command>);

// A period is at most a second, and a machine has fewer CPUs than an hour has seconds.
inline bool pl_is_event(const pl_cpu_event& event) {
  constexpr pl_u64 kMost = 3'600'000'000'000;
  return event.slot < PL_MAX_SLOTS && event.period_ns > 0 && event.period_ns <= kMost &&
         event.quota_ns <= kMost && event.burst_ns <= kMost && event.used_ns <= kMost;
}
#endif
