/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What memory.bpf.c and user space share: the event record, the per-cgroup slot, the control block
 * and the counters. C and C++; fixed width, no padding, sizes checked on both sides.
 */
#pragma once

#include "bpf/record_types.h"

/* Levels of page counters looked at above the one that is charged. */
#define PL_MAX_DEPTH 10
/* Bytes in the filter before the hash map; a power of two. At 1,000 cgroups 6 % of the untracked
 * counters pass it and pay for a map lookup. */
#define PL_FILTER_SIZE 16384

/* All amounts in pages are of this size, in the kernel's counters too; see check_page_size(). */
#define PL_PAGE_SHIFT 12

enum pl_event_kind {
  PL_PREDICTED = 1, /* on its way to the limit */
  PL_AT_LIMIT = 2,  /* reclaim at the limit frees nothing, or what is left is needed */
  PL_AT_DOOR = 3,   /* the OOM killer was called */
};

struct pl_memory_event {
  pl_u64 time_ns; /* CLOCK_MONOTONIC */
  pl_u64 cgroup_id;
  pl_u64 usage_bytes;
  pl_u64 limit_bytes;
  pl_u64 reclaimable_bytes; /* file pages on the LRU lists of the cgroup and below */
  pl_u64 rate_bytes_per_s;  /* growth of usage - reclaimable */
  pl_u32 slot;
  pl_u32 epoch; /* of the slot, so that a late event of a former cgroup is known */
  pl_u32 kind;
  pl_u32 pid; /* of the task that charged */
};
PL_ASSERT_SIZE(struct pl_memory_event, 64);

#define PL_NEVER 0xffffffffu /* instead of a watermark: nothing is predicted */

/* One tracked cgroup. User space writes the first part, the kernel programs the second; each field
 * has one writer but `pending_ns` and `mark_pages`, which the reaction thread clears. */
struct pl_slot {
  /* user space */
  pl_u64 cgroup_id;          /* 0: the slot is free */
  pl_u64 horizon_ns;         /* predicted: the limit is nearer in time than this */
  pl_u32 watermark_per_1024; /* predicted: share of the limit that is needed; or PL_NEVER */
  pl_u32 epoch;
  pl_u32 armed_pages;  /* while the limit is below this, events are sent and tasks held; 0: never */
  pl_u32 pending_kind; /* of the event that is on its way; kernel */
  /* kernel programs */
  pl_u64 counter;    /* address of the cgroup's page counter, key of the map */
  pl_u64 mark_pages; /* usage at which the next look is taken */
  pl_u64 last_ns;    /* the last look: when, and what was needed */
  pl_u64 last_needed_pages;
  pl_u64 rate_bytes_per_s;
  pl_u64 pending_ns;  /* an event is on its way since then; 0: none */
  pl_u64 usage_pages; /* of the last sweep */
  pl_u64 reclaimable_pages;
  pl_u64 peak_needed_pages; /* highest since the last sweep was read */
  pl_u64 hold_window_ns;    /* start of the second that hold_used_ns counts */
  pl_u64 hold_used_ns;      /* or taken by those that are held now */
  pl_u64 reclaims;          /* ends of reclaim at the limit, and those that freed nothing */
  pl_u64 reclaims_failed;
  pl_u64 doors; /* calls of the OOM killer, and what came of the holds */
  pl_u64 held;
  pl_u64 saved;
  pl_u64 expired;
  pl_u64 kills; /* of the OOM killer, and of the last one when, and what usage and limit were */
  pl_u64 killed_ns;
  pl_u64 killed_usage_pages;
  pl_u64 killed_max_pages;
  pl_u64 writer_ns; /* somebody else was last seen writing memory.max then; 0: he has ended */
  pl_u32 writer;    /* his thread */
  pl_u32 unused;
};
PL_ASSERT_SIZE(struct pl_slot, 216);
/* One whose end was missed is forgotten after this. */
#define PL_WRITER_MAX_AGE_NS 10000000000ULL

/* Written by user space while the programs run. */
struct pl_control {
  pl_u64 heartbeat_ns;   /* the reaction thread was alive then; older than max age: no hold */
  pl_u64 slice_ns;       /* longest hold after a reclaim that freed nothing */
  pl_u64 door_ns;        /* longest hold at the OOM killer's door */
  pl_u64 hold_budget_ns; /* longest time held per cgroup and second, all tasks together */
  pl_u32 slots;          /* slots in use are below this */
  pl_u32 spinners;       /* tasks held now; kernel */
  pl_u32 agent;          /* process that tracks, in the first PID namespace; kernel */
  pl_u32 holds_in_lock;  /* on_oom_locked is attached: who is at the door waits there */
  pl_u64 lock;           /* the OOM killer's, once its address is known; kernel */
};
PL_ASSERT_SIZE(struct pl_control, 56);

/* Of all programs together, counted by the kernel programs. */
struct pl_counters {
  pl_u64 events;
  pl_u64 events_dropped;    /* ring buffer full: nobody was told, so nothing is held */
  pl_u64 held;              /* waits begun: slices and door */
  pl_u64 saved;             /* ended by a raised limit */
  pl_u64 expired;           /* ended by their time */
  pl_u64 refused_heartbeat; /* not begun: the agent is not alive */
  pl_u64 refused_budget;    /* not begun: the time of this second is spent */
  pl_u64 held_ns;
};
PL_ASSERT_SIZE(struct pl_counters, 64);

/* Argument and result of the programs that user space runs itself. */
struct pl_command {
  pl_u64 cgroup_id; /* of the cgroup that on_track saw */
  pl_u32 slot;
  pl_u32 result; /* PL_TRACK_* */
};
PL_ASSERT_SIZE(struct pl_command, 16);

#ifdef __cplusplus
static_assert(std::has_unique_object_representations_v<pl_memory_event>);
static_assert(std::has_unique_object_representations_v<pl_slot>);
static_assert(std::has_unique_object_representations_v<pl_control>);
static_assert(std::has_unique_object_representations_v<pl_counters>);
static_assert(std::has_unique_object_representations_v<pl_command>);

inline bool pl_is_event(const pl_memory_event& event) {
  return event.slot < PL_MAX_SLOTS && event.kind >= PL_PREDICTED && event.kind <= PL_AT_DOOR;
}
#endif
