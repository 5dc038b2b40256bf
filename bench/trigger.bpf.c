// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Memory events on demand, for measurements: what the memory programs would send, at a moment that
 * the harness chooses. The hook is one that neither the agent nor the floor passes on its way, so
 * that it costs neither of them anything.
 */
#include "bpf/kernel_types.h"

#include "bench/trigger_record.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct pl_trigger trigger;

/* Replaced by the map of the memory programs before load. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 65536);
} urgent SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 65536);
} bare SEC(".maps");

static __always_inline void fill(struct pl_memory_event* event, u64 now) {
  event->time_ns = now;
  event->cgroup_id = 1;
  event->usage_bytes = trigger.limit_bytes;
  event->limit_bytes = trigger.limit_bytes;
  event->reclaimable_bytes = 0;
  event->rate_bytes_per_s = 0;
  event->slot = trigger.slot;
  event->epoch = trigger.epoch;
  event->kind = PL_AT_LIMIT;
  event->pid = bpf_get_current_pid_tgid() >> 32;
}

/* A thread changes its name, prctl(PR_SET_NAME): (task, new name). */
SEC("tp_btf/task_rename")
int on_trigger(u64* ctx) {
  struct pl_memory_event* event;
  char name[8] = {}, wanted[8] = PL_TRIGGER_NAME;
  u64 now;

  if (bpf_probe_read_kernel(name, sizeof(name), (void*)ctx[1]) ||
      __builtin_memcmp(name, wanted, sizeof(name)))
    return 0;
  /* As in the memory programs: the time is that of the look, before the record is made. */
  now = bpf_ktime_get_ns();
  event = trigger.ring == PL_RING_BARE ? bpf_ringbuf_reserve(&bare, sizeof(*event), 0)
                                       : bpf_ringbuf_reserve(&urgent, sizeof(*event), 0);
  if (!event) {
    trigger.dropped++;
    return 0;
  }
  fill(event, now);
  bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
  trigger.sent++;
  return 0;
}

static int fill_one(u32 i, void* unused) {
  struct pl_memory_event* event = bpf_ringbuf_reserve(&urgent, sizeof(*event), 0);

  if (!event) {
    trigger.dropped++;
    return 1;
  }
  fill(event, bpf_ktime_get_ns());
  bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP);
  trigger.sent++;
  return 0;
}

/* Run by user space: puts trigger.batch events into the agent's ring buffer. */
SEC("syscall")
int on_fill(void* ctx) {
  bpf_loop(trigger.batch & 1023, fill_one, NULL, 0);
  return 0;
}
