/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What exec.bpf.c and user space share: which commands are announced in which cgroup, who runs one
 * now, and the record that says so. C and C++; fixed width, no padding, sizes checked on both
 * sides.
 */
#pragma once

#include "bpf/record_types.h"

#define PL_NAME_SIZE 16  /* of a command with its final 0, as the kernel keeps it (comm) */
#define PL_EXEC_DEPTH 16 /* levels of cgroups looked at, from that of the process upwards */
#define PL_EXEC_SETS \
  64 /* of tasks in one cgroup that are looked at: one, but for other hierarchies */
#define PL_EXEC_TASKS 65536 /* in one of those */

enum pl_exec_kind {
  PL_EXEC_START = 1,
  PL_EXEC_END = 2,
  PL_EXEC_FOUND = 3, /* it ran already when it was looked for */
};

/* Key of the map `commands`. All bytes of the name behind its end are 0. */
struct pl_exec_key {
  pl_u64 cgroup_id;
  char name[PL_NAME_SIZE];
};
PL_ASSERT_SIZE(struct pl_exec_key, 24);

/* ... and its value: both are numbers of user space's. */
struct pl_exec_command {
  pl_u32 watch;
  pl_u32 command;
};
PL_ASSERT_SIZE(struct pl_exec_command, 8);

/* One process that was started by an announced command, by its id. */
struct pl_exec_running {
  struct pl_exec_command command;
  pl_u64 task;       /* address of its first thread, which stays until all have ended ... */
  pl_u64 started_ns; /* ... and when that was made, for the address may be given away again */
  pl_u32 ended;      /* on_check has seen it */
  pl_u32 unused;
};
PL_ASSERT_SIZE(struct pl_exec_running, 32);

struct pl_exec_event {
  pl_u64 time_ns; /* CLOCK_MONOTONIC */
  struct pl_exec_command command;
  pl_u32 kind;
  pl_u32 pid; /* of the process, in the first PID namespace */
};
PL_ASSERT_SIZE(struct pl_exec_event, 24);

/* Written by user space. */
struct pl_exec_control {
  pl_u32 commands; /* in the map; 0: nothing is looked at */
  pl_u32 unused;
};
PL_ASSERT_SIZE(struct pl_exec_control, 8);

/* Counted by the kernel programs. */
struct pl_exec_counters {
  pl_u64 events;
  pl_u64 events_dropped; /* ring buffer full */
  pl_u64 forgotten;      /* starts that the table of running commands had no room for */
};
PL_ASSERT_SIZE(struct pl_exec_counters, 24);

#ifdef __cplusplus
static_assert(std::has_unique_object_representations_v<pl_exec_key>);
static_assert(std::has_unique_object_representations_v<pl_exec_running>);
static_assert(std::has_unique_object_representations_v<pl_exec_event>);
static_assert(std::has_unique_object_representations_v<pl_exec_control>);
static_assert(std::has_unique_object_representations_v<pl_exec_counters>);

inline bool pl_is_event(const pl_exec_event& event) {
  return event.kind >= PL_EXEC_START && event.kind <= PL_EXEC_FOUND;
}
#endif
