// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Programs that do next to nothing, loaded to find out what this kernel lets us do. Those that can
 * be run count their runs, since a program that is attached need not be called.
 */
#include "bpf/kernel_types.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

u64 function_entry_runs;
u64 function_exit_runs;
u64 tracepoint_runs;
u64 iterator_runs;
u64 loop_runs;
u64 ring_buffer_runs;
u64 read_runs;

struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} records SEC(".maps");

/* Called by a test run of any fentry or fexit program: bpf_fentry_test1(1), which returns 2. */
SEC("fentry/bpf_fentry_test1")
int on_function_entry(u64* ctx) {
  u64 argument = 0;

  if (!bpf_get_func_arg(ctx, 0, &argument) && (u32)argument == 1)
    __sync_fetch_and_add(&function_entry_runs, 1);
  return 0;
}

SEC("fexit/bpf_fentry_test1")
int on_function_exit(u64* ctx) {
  u64 value = 0;

  if (!bpf_get_func_ret(ctx, &value) && (u32)value == 2)
    __sync_fetch_and_add(&function_exit_runs, 1);
  return 0;
}

/* Called by a test run of on_packet. */
SEC("tp_btf/bpf_test_finish")
int on_tracepoint(u64* ctx) {
  __sync_fetch_and_add(&tracepoint_runs, 1);
  return 0;
}

SEC("socket")
int on_packet(void* ctx) { return 0; }

/* Attached for a moment to the hooks of memory.bpf.c. */
SEC("fentry/page_counter_try_charge")
int on_charge_hook(u64* ctx) { return 0; }

SEC("fexit/try_to_free_mem_cgroup_pages")
int on_reclaim_hook(u64* ctx) { return 0; }

SEC("fentry/mem_cgroup_out_of_memory")
int on_oom_hook(u64* ctx) { return 0; }

SEC("fexit/mem_cgroup_out_of_memory")
int on_oom_end_hook(u64* ctx) { return 0; }

SEC("tp_btf/mm_vmscan_memcg_reclaim_end")
int on_tracepoint_hook(u64* ctx) { return 0; }

SEC("iter/cgroup")
int on_cgroup(struct bpf_iter__cgroup* ctx) {
  if (ctx->cgroup) __sync_fetch_and_add(&iterator_runs, 1);
  return 0;
}

static int add_run(u32 i, void* unused) {
  __sync_fetch_and_add(&loop_runs, 1);
  return 0;
}

SEC("syscall")
int on_loop(void* ctx) {
  bpf_loop(1, add_run, NULL, 0);
  return 0;
}

SEC("syscall")
int on_ring_buffer(void* ctx) {
  void* record = bpf_ringbuf_reserve(&records, 8, 0);

  if (!record) return 0;
  bpf_ringbuf_discard(record, 0);
  __sync_fetch_and_add(&ring_buffer_runs, 1);
  return 0;
}

SEC("syscall")
int on_read(void* ctx) {
  u64 value = 0;

  /* Its own map is kernel memory, too. */
  if (!bpf_probe_read_kernel(&value, sizeof(value), &read_runs))
    __sync_fetch_and_add(&read_runs, 1);
  return 0;
}
