// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Does an announced command begin or end in a watched cgroup or one below it? Says so through a
 * ring buffer, and remembers who runs one. See bpf/README.md for the hooks and docs/decisions for
 * why these.
 */
#include "bpf/exec_records.h"
#include "bpf/kernel_types.h"

#include <asm-generic/errno-base.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

/* In .bss, which user space maps. */
struct pl_exec_control control;
struct pl_exec_counters counters;

/* Names that are announced anywhere: what most calls of exec end at. User space's, with the number
 * of cgroups that have it. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 1024);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, char[PL_NAME_SIZE]);
  __type(value, u32);
} names SEC(".maps");

/* User space's. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 16384);
  __uint(map_flags, BPF_F_NO_PREALLOC);
  __type(key, struct pl_exec_key);
  __type(value, struct pl_exec_command);
} commands SEC(".maps");

/* By the id of the process. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, 4096);
  __type(key, u32);
  __type(value, struct pl_exec_running);
} running SEC(".maps");

/* Every record wakes its reader at once. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 65536);
} starts_and_ends SEC(".maps");

/* The kernel's own short name: since exec the last part of the path as it was given, so that of a
 * link or a script and not of what it leads to. Old bytes may stand behind the end. */
static __always_inline void read_name(struct task_struct* task, char* name) {
  bool ended = false;
  int i;

  bpf_core_read(name, PL_NAME_SIZE, &task->comm);
  for (i = 0; i < PL_NAME_SIZE; i++) {
    ended |= !name[i];
    if (ended) name[i] = 0;
  }
}

/* What `task` was started as, to the nearest watched cgroup above it. */
static __always_inline struct pl_exec_command* command_of(struct task_struct* task) {
  struct pl_exec_key key = {};
  struct pl_exec_command* found;
  struct cgroup_subsys_state* above;
  struct cgroup* cgroup;
  int level;

  read_name(task, key.name);
  if (!bpf_map_lookup_elem(&names, key.name)) return NULL;
  cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp);
  for (level = 0; level < PL_EXEC_DEPTH && cgroup; level++) {
    key.cgroup_id = BPF_CORE_READ(cgroup, kn, id);
    found = bpf_map_lookup_elem(&commands, &key);
    if (found) return found;
    above = BPF_CORE_READ(cgroup, self.parent);
    if (!above) return NULL;
    cgroup = BPF_CORE_READ(above, cgroup);
  }
  return NULL;
}

static __always_inline u32 process_of(struct task_struct* task) {
  return BPF_CORE_READ(task, tgid);
}

/* `task` may have been freed meanwhile, and its memory may be another's. */
static __always_inline bool has_ended(struct task_struct* task) {
  struct signal_struct* signal = BPF_CORE_READ(task, signal);

  return !signal || BPF_CORE_READ(signal, live.counter) == 0;
}

static __always_inline void tell(u32 kind, const struct pl_exec_command* command, u32 pid) {
  struct pl_exec_event* event = bpf_ringbuf_reserve(&starts_and_ends, sizeof(*event), 0);

  if (!event) {
    __sync_fetch_and_add(&counters.events_dropped, 1);
    return;
  }
  event->time_ns = bpf_ktime_get_ns();
  event->command = *command;
  event->kind = kind;
  event->pid = pid;
  bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
  __sync_fetch_and_add(&counters.events, 1);
}

/* `task` is the first thread of a process that runs `found`. One that both hooks see at once is
 * told by the first to enter it. What there is no room for is not told: nobody would learn of its
 * end. */
static __always_inline void begin(u32 kind, struct task_struct* task,
                                  const struct pl_exec_command* found) {
  struct pl_exec_running entry = {.command = *found, .task = (u64)task};
  u32 pid = process_of(task);
  long error;

  entry.started_ns = BPF_CORE_READ(task, start_time);
  error = bpf_map_update_elem(&running, &pid, &entry, BPF_NOEXIST);
  if (error) {
    if (error != -EEXIST) __sync_fetch_and_add(&counters.forgotten, 1);
    return;
  }
  tell(kind, found, pid);
}

/* After a successful exec, as the process that called it. One that was announced and becomes
 * something else stays what it was: `npm` becomes `node` to run. */
SEC("tp_btf/sched_process_exec")
int on_exec(u64* ctx) {
  struct task_struct* task = (void*)ctx[0];
  struct pl_exec_running* before;
  struct pl_exec_command* found;
  u32 pid;

  if (!control.commands) return 0;
  found = command_of(task);
  /* A thread that was not the first has become it. */
  if (!found && (u32)ctx[1] == (u32)BPF_CORE_READ(task, pid)) return 0;
  pid = process_of(task);
  before = bpf_map_lookup_elem(&running, &pid);
  if (before) {
    before->started_ns = BPF_CORE_READ(task, start_time);
    before->task = (u64)task;
    if (!found ||
        (before->command.watch == found->watch && before->command.command == found->command)) {
      return 0;
    }
    tell(PL_EXEC_END, &before->command, pid);
    bpf_map_delete_elem(&running, &pid);
  }
  if (found) begin(PL_EXEC_START, task, found);
  return 0;
}

/* Once per thread, after it was counted off; two that are the last together both look like it. */
SEC("tp_btf/sched_process_exit")
int on_exit(u64* ctx) {
  struct task_struct* task = (void*)ctx[0];
  struct pl_exec_command command;
  struct pl_exec_running* entry;
  u32 pid;

  if (!control.commands) return 0;
  pid = process_of(task);
  entry = bpf_map_lookup_elem(&running, &pid);
  if (!entry || !has_ended(task)) return 0;
  command = entry->command;
  if (!bpf_map_delete_elem(&running, &pid)) tell(PL_EXEC_END, &command, pid);
  return 0;
}

struct walk {
  u64 head;
  u64 position;
};

/* The next entry of a list, 0 at its end. */
static __always_inline u64 next_of(struct walk* walk) {
  u64 next = 0;

  bpf_probe_read_kernel(&next, sizeof(next), (void*)walk->position);
  walk->position = next;
  return next == walk->head ? 0 : next;
}

static int look_at_task(u32 i, struct walk* tasks) {
  u64 entry = next_of(tasks);
  struct task_struct* task;
  struct pl_exec_command* found;
  u32 pid;

  if (!entry) return 1;
  task = (void*)(entry - bpf_core_field_offset(((struct task_struct*)0)->cg_list));
  pid = process_of(task);
  /* Other threads have names of their own. */
  if ((u32)BPF_CORE_READ(task, pid) != pid || has_ended(task)) return 0;
  found = command_of(task);
  if (found) begin(PL_EXEC_FOUND, task, found);
  return 0;
}

static int look_at_set(u32 i, struct walk* sets) {
  u64 entry = next_of(sets);
  struct cgrp_cset_link* link;
  struct walk tasks;

  if (!entry) return 1;
  link = (void*)(entry - bpf_core_field_offset(((struct cgrp_cset_link*)0)->cset_link));
  tasks.head = (u64)BPF_CORE_READ(link, cset) + bpf_core_field_offset(((struct css_set*)0)->tasks);
  tasks.position = tasks.head;
  bpf_loop(PL_EXEC_TASKS, look_at_task, &tasks, 0);
  return 0;
}

/* Run by user space on a cgroup and each below it: tells of those who run an announced command
 * already. Processes come and go meanwhile and no lock is held, so every read is one that cannot
 * fault; one that is missed is not told of. */
SEC("iter/cgroup")
int on_look(struct bpf_iter__cgroup* ctx) {
  struct cgroup* cgroup = ctx->cgroup;
  struct walk sets;

  if (!cgroup) return 0;
  /* The address as a number. */
  sets.head = (u64)BPF_CORE_READ(cgroup, cset_links.next, prev);
  sets.position = sets.head;
  bpf_loop(PL_EXEC_SETS, look_at_set, &sets, 0);
  return 0;
}

static long check(void* map, const u32* pid, struct pl_exec_running* entry, void* unused) {
  struct task_struct* task = (void*)entry->task;

  if (process_of(task) != *pid || BPF_CORE_READ(task, start_time) != entry->started_ns ||
      has_ended(task))
    entry->ended = 1;
  return 0;
}

/* Run by user space: marks those that have ended and are still in the table. */
SEC("syscall")
int on_check(void* ctx) {
  bpf_for_each_map_elem(&running, check, NULL, 0);
  return 0;
}
