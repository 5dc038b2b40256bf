/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The kernel's structures, only the fields that the programs read. Offsets are filled in at load
 * time from the running kernel's BTF (CO-RE), so order and size here mean nothing.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/types.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

typedef __u16 u16;
typedef __u32 u32;
typedef __u64 u64;
typedef __s64 s64;
typedef __u8 u8;
typedef _Bool bool;
#define true 1
#define false 0

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

typedef struct {
  int counter;
} atomic_t;

typedef struct {
  long counter;
} atomic_long_t;

struct list_head {
  struct list_head *next, *prev;
};

struct kernfs_node {
  u64 id;
  void* priv; /* of a directory: its cgroup */
  struct kernfs_node* parent;
};

/* Linux 6.15 */
struct kernfs_node___renamed {
  struct kernfs_node* __parent;
};

struct kernfs_open_file {
  struct kernfs_node* kn;
};

struct cgroup_subsys_state {
  struct cgroup* cgroup;
  struct cgroup_subsys_state* parent;
  struct list_head sibling;
  struct list_head children;
};

/* Indices into cgroup.subsys: which controllers are built in decides the number. */
enum cgroup_subsys_id { cpu_cgrp_id, memory_cgrp_id };

struct cgroup {
  struct cgroup_subsys_state self; /* of no controller */
  struct kernfs_node* kn;
  struct cgroup_subsys_state* subsys[1];
  struct list_head cset_links; /* the sets whose tasks are in it, by cset_link */
};

struct css_set {
  struct cgroup_subsys_state* subsys[1];
  struct cgroup* dfl_cgrp; /* in the v2 hierarchy */
  struct list_head tasks;  /* threads, by cg_list */
};

struct cgrp_cset_link {
  struct css_set* cset;
  struct list_head cset_link;
};

/* What the threads of a process share. */
struct signal_struct {
  atomic_t live; /* threads that have not begun to exit */
};

struct task_struct {
  int pid;        /* of the thread, and ... */
  int tgid;       /* ... of its process, both as the first PID namespace has them */
  u64 start_time; /* CLOCK_MONOTONIC */
  char comm[16];
  struct css_set* cgroups;
  struct list_head cg_list;
  struct signal_struct* signal; /* none any more: it was released */
};

/* In pages. */
struct page_counter {
  atomic_long_t usage;
  unsigned long max;
  struct page_counter* parent;
};

/* With the multi-generational LRU (Linux 6.1, if enabled): pages by [generation][anon, file][zone].
 */
struct lru_gen_folio {
  long nr_pages[40];
};

struct lruvec {
  struct lru_gen_folio lrugen;
};

/* Without it: pages by [zone][enum lru_list]. Both are of one cgroup, not of those below it. */
struct mem_cgroup_per_node {
  struct lruvec lruvec;
  unsigned long lru_zone_size[25];
};

struct mem_cgroup {
  struct cgroup_subsys_state css;
  struct page_counter memory;
  struct mem_cgroup_per_node* nodeinfo[1];
};

struct hrtimer {
  int unused;
};

/* The quota of one cgroup. */
struct cfs_bandwidth {
  s64 period;       /* nanoseconds */
  u64 quota;        /* per period; ~0: none */
  u64 runtime;      /* of it, what no CPU has taken yet */
  u64 burst;        /* what may be carried over from unused periods */
  u64 runtime_snap; /* `runtime` as it was last refilled */
  struct hrtimer period_timer;
  struct list_head throttled_cfs_rq;
  int nr_periods;
  int nr_throttled;
  u64 throttled_time; /* nanoseconds, all CPUs together; ended waits only */
};

/* The queue of one cgroup on one CPU. */
struct cfs_rq {
  unsigned int h_nr_running;  /* threads, those of the cgroups below included; up to 6.13 ... */
  unsigned int h_nr_runnable; /* ... and since then, without those that are about to leave */
  struct task_group* tg;
  struct list_head throttled_limbo_list; /* 6.18: threads that wait for quota, no longer counted */
};

struct task_group {
  struct cgroup_subsys_state css;
  struct sched_entity** se; /* gone where `cfs_rq` is a per-CPU address (7.2) */
  struct cfs_rq** cfs_rq;   /* by CPU */
  struct cfs_bandwidth cfs_bandwidth;
};

/* 0 where the kernel has none, or does not show us its addresses. Functions of the kernel (kfuncs)
 * are not among them: where one is missing, libbpf 1.1 looks for it in modules, which takes
 * CAP_SYS_ADMIN.
 */
extern const void oom_lock __ksym __weak;
extern const void preempt_dynamic_mode __ksym __weak; /* int: 0 none, 1 voluntary, 2 full, 3 lazy */

struct bpf_iter__cgroup {
  void* meta;
  struct cgroup* cgroup;
};

#pragma clang attribute pop

/* enum lru_list: two anonymous lists, two file lists, the unevictable one; unchanged since 2.6.28.
 */
#define NR_LRU_LISTS 5
#define LRU_INACTIVE_FILE 2
#define LRU_ACTIVE_FILE 3
#define MAX_NR_GENS 4
