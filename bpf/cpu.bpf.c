// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Is a tracked cgroup kept from its CPUs by its quota, more often than is tolerated? Counts the
 * throttled periods of each, and says so through a ring buffer at the moment of the throttle. See
 * bpf/README.md for the hooks and docs/decisions for why these.
 */
#include "bpf/cpu_records.h"
#include "bpf/kernel_types.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* Set before load. */
const volatile u32 nr_cpus = 1;

/* In .bss, which user space maps. */
struct pl_cpu_slot slots[PL_MAX_SLOTS];
struct pl_cpu_counters counters;
struct pl_cpu_command command;

/* Address of a tracked cgroup's task group -> slot. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, PL_MAX_SLOTS);
  __type(key, u64);
  __type(value, u32);
} slot_of_group SEC(".maps");

/* Every record wakes its reader at once. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 65536);
} throttling SEC(".maps");

/* Where per-CPU addresses lead to on each CPU. Not in each kernel's symbols for us to see. */
extern const void __per_cpu_offset __ksym __weak;

#define offset_of(type, field) bpf_core_field_offset(((type*)0)->field)
#define RESEND_NS 5000000ULL /* an event that was not answered is sent again after this */
#define MOST_CPUS 1024       /* whose runnable threads are counted */

static __always_inline u64 read_u64(u64 address) {
  u64 value = 0;

  bpf_probe_read_kernel(&value, sizeof(value), (void*)address);
  return value;
}

static __always_inline u32 read_u32(u64 address) {
  u32 value = 0;

  bpf_probe_read_kernel(&value, sizeof(value), (void*)address);
  return value;
}

static __always_inline struct pl_cpu_slot* slot_of(u64 group, u32* index) {
  u32* found = bpf_map_lookup_elem(&slot_of_group, &group);

  if (!found) return NULL;
  *index = *found & (PL_MAX_SLOTS - 1);
  return &slots[*index];
}

static __always_inline u64 bandwidth_of(u64 group) {
  return group + offset_of(struct task_group, cfs_bandwidth);
}

/* What the CPUs have taken since the quota was refilled; some of it may not be used yet. */
static __always_inline u64 used_since_refill(u64 bandwidth) {
  u64 full = read_u64(bandwidth + offset_of(struct cfs_bandwidth, runtime_snap));
  u64 left = read_u64(bandwidth + offset_of(struct cfs_bandwidth, runtime));

  return full > left ? full - left : 0;
}

static __always_inline bool is_listed(u64 list) {
  u64 next = read_u64(list);

  return next && next != list;
}

/* Bits of `history` that are in the window. */
static __always_inline u32 throttled_in(u64 history, u32 window) {
  if (window < PL_CPU_WINDOW) history &= (1ULL << window) - 1;
  /* No instruction for it, and no library call in BPF. */
  history -= (history >> 1) & 0x5555555555555555ULL;
  history = (history & 0x3333333333333333ULL) + ((history >> 2) & 0x3333333333333333ULL);
  history = (history + (history >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
  return (history * 0x0101010101010101ULL) >> 56;
}

struct tally {
  u64 queues; /* task_group.cfs_rq */
  u32 runnable;
  u32 unused;
};

static int add_runnable(u32 cpu, struct tally* tally) {
  const struct cfs_rq* const none = 0;
  const struct task_group* const no_group = 0;
  u64 queue;

  if (bpf_core_field_exists(no_group->se)) {
    queue = read_u64(tally->queues + cpu * 8);
  } else {
    if (!&__per_cpu_offset) return 1;
    queue = tally->queues + read_u64((u64)&__per_cpu_offset + cpu * 8);
  }
  if (!queue) return 0;
  if (bpf_core_field_exists(none->h_nr_runnable)) {
    tally->runnable += read_u32(queue + offset_of(struct cfs_rq, h_nr_runnable));
  } else {
    tally->runnable += read_u32(queue + offset_of(struct cfs_rq, h_nr_running));
  }
  /* At least one: they are not counted. */
  if (bpf_core_field_exists(none->throttled_limbo_list) &&
      is_listed(queue + offset_of(struct cfs_rq, throttled_limbo_list)))
    tally->runnable++;
  return 0;
}

static __always_inline u32 count_runnable(u64 group) {
  struct tally tally = {.queues = read_u64(group + offset_of(struct task_group, cfs_rq))};

  bpf_loop(nr_cpus < MOST_CPUS ? nr_cpus : MOST_CPUS, add_runnable, &tally, 0);
  return tally.runnable;
}

/* `throttled` periods of the window were. */
static __always_inline int tell(struct pl_cpu_slot* slot, u32 index, u64 group, u32 throttled) {
  u64 now, pending, bandwidth = bandwidth_of(group);
  struct pl_cpu_event* event;

  if (!slot || !slot->armed || throttled <= slot->tolerated) return 0;
  now = bpf_ktime_get_ns();
  pending = slot->pending_ns;
  if (pending && now - pending < RESEND_NS) return 0;
  event = bpf_ringbuf_reserve(&throttling, sizeof(*event), 0);
  if (!event) {
    __sync_fetch_and_add(&counters.events_dropped, 1);
    return 0;
  }
  slot->pending_ns = now;
  event->time_ns = now;
  event->cgroup_id = slot->cgroup_id;
  event->quota_ns = read_u64(bandwidth + offset_of(struct cfs_bandwidth, quota));
  event->burst_ns = read_u64(bandwidth + offset_of(struct cfs_bandwidth, burst));
  event->period_ns = read_u64(bandwidth + offset_of(struct cfs_bandwidth, period));
  event->used_ns = used_since_refill(bandwidth);
  event->refilled_ns = slot->refilled_ns;
  event->used_total_ns = slot->used_total_ns;
  event->slot = index;
  event->epoch = slot->epoch;
  event->throttled = throttled;
  event->runnable = count_runnable(group);
  bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
  __sync_fetch_and_add(&counters.events, 1);
  return 0;
}

/* One CPU's queue of a cgroup was to be throttled, and true: it was. Rare: at most a few times per
 * CPU and period. Under the lock of the CPU's run queue. */
SEC("fexit/throttle_cfs_rq")
int on_throttle(u64* ctx) {
  u64 queue, group, was_throttled = 0;
  struct pl_cpu_slot* slot;
  u32 index = 0;

  if (!command.slots || bpf_get_func_arg(ctx, 0, &queue) || bpf_get_func_ret(ctx, &was_throttled) ||
      !(was_throttled & 1))
    return 0;
  group = read_u64(queue + offset_of(struct cfs_rq, tg));
  slot = slot_of(group, &index);
  if (!slot) return 0;
  __sync_fetch_and_add(&slot->throttles, 1);
  /* This period is one of the window. */
  tell(slot, index, group, throttled_in(slot->history, slot->window - 1) + 1);
  return 0;
}

/* The end of a CFS period of one cgroup, before the quota is refilled. One with nothing to run has
 * none. */
SEC("fentry/sched_cfs_period_timer")
int on_period(u64* ctx) {
  u64 bandwidth, group, used;
  struct pl_cpu_slot* slot;
  u32 index = 0;
  bool throttled;

  if (!command.slots || bpf_get_func_arg(ctx, 0, &bandwidth)) return 0;
  bandwidth -= offset_of(struct cfs_bandwidth, period_timer);
  group = bandwidth - offset_of(struct task_group, cfs_bandwidth);
  slot = slot_of(group, &index);
  if (!slot) return 0;
  used = used_since_refill(bandwidth);
  slot->used_total_ns += used;
  /* The last one after the limit was taken off is none that the kernel counts. */
  if (read_u64(bandwidth + offset_of(struct cfs_bandwidth, quota)) == ~0ULL) return 0;
  throttled = is_listed(bandwidth + offset_of(struct cfs_bandwidth, throttled_cfs_rq));
  slot->history = slot->history << 1 | throttled;
  slot->periods++;
  if (throttled) slot->periods_throttled++;
  if (used > slot->peak_used_ns) slot->peak_used_ns = used;
  /* Still throttled: it owes more than the refill gives, or the event was lost. */
  if (throttled) tell(slot, index, group, throttled_in(slot->history, slot->window));
  slot->refilled_ns = bpf_ktime_get_ns();
  return 0;
}

/* Run by user space on one cgroup (a read of the iterator): enters it under command.slot. */
SEC("iter/cgroup")
int on_cpu_track(struct bpf_iter__cgroup* ctx) {
  const u64 cpu = bpf_core_enum_value(enum cgroup_subsys_id, cpu_cgrp_id);
  struct cgroup* cgroup = ctx->cgroup;
  u32 index = command.slot & (PL_MAX_SLOTS - 1);
  struct pl_cpu_slot* slot = &slots[index];
  u64 group = 0;

  if (!cgroup || command.result != PL_TRACK_NOT_RUN) return 0;
  command.cgroup_id = cgroup->kn->id;
  bpf_probe_read_kernel(&group, sizeof(group),
                        (void*)cgroup + offset_of(struct cgroup, subsys) + cpu * 8);
  if (!group) {
    command.result = PL_TRACK_NO_CONTROLLER;
    return 0;
  }
  group -= offset_of(struct task_group, css);
  if (bpf_map_update_elem(&slot_of_group, &group, &index, BPF_ANY)) {
    command.result = PL_TRACK_MAP_FULL;
    return 0;
  }
  slot->group = group;
  command.result = PL_TRACK_OK;
  return 0;
}

/* Run by user space: forgets what command.slot names. */
SEC("syscall")
int on_cpu_untrack(void* ctx) {
  struct pl_cpu_slot* slot = &slots[command.slot & (PL_MAX_SLOTS - 1)];
  u64 group = slot->group;
  u32* index;

  if (!group) return 0;
  /* The kernel gives the address of a freed cgroup to the next one, which may be tracked as
   * another slot by now. */
  index = bpf_map_lookup_elem(&slot_of_group, &group);
  if (index && *index == (command.slot & (PL_MAX_SLOTS - 1)))
    bpf_map_delete_elem(&slot_of_group, &group);
  slot->group = 0;
  command.result = PL_TRACK_OK;
  return 0;
}

static int sweep_slot(u32 index, void* unused) {
  struct pl_cpu_slot* slot = &slots[index & (PL_MAX_SLOTS - 1)];
  u64 bandwidth;

  if (!slot->group) return 0;
  bandwidth = bandwidth_of(slot->group);
  slot->quota_ns = read_u64(bandwidth + offset_of(struct cfs_bandwidth, quota));
  slot->burst_ns = read_u64(bandwidth + offset_of(struct cfs_bandwidth, burst));
  slot->period_ns = read_u64(bandwidth + offset_of(struct cfs_bandwidth, period));
  slot->nr_periods = read_u32(bandwidth + offset_of(struct cfs_bandwidth, nr_periods));
  slot->nr_throttled = read_u32(bandwidth + offset_of(struct cfs_bandwidth, nr_throttled));
  slot->throttled_ns = read_u64(bandwidth + offset_of(struct cfs_bandwidth, throttled_time));
  return 0;
}

/* Run by user space at every tick: what the kernel says of all tracked cgroups, at once. */
SEC("syscall")
int on_cpu_sweep(void* ctx) {
  bpf_loop(command.slots & (PL_MAX_SLOTS * 2 - 1), sweep_slot, NULL, 0);
  return 0;
}
