/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the memory programs share: slots, counters, maps, and how they find a tracked cgroup and
 * read it. Included by memory.bpf.c only.
 */
#pragma once

#include "bpf/kernel_types.h"
#include "bpf/memory_records.h"

/* Set before load. */
const volatile u32 nr_cpus = 1;
const volatile u32 nr_nodes = 1;

/* In .bss, which user space maps: reading a slot or a counter costs it no system call. */
struct pl_slot slots[PL_MAX_SLOTS];
struct pl_control control;
struct pl_counters counters;
u8 filter[PL_FILTER_SIZE]; /* how many tracked counters have this index */
u16 hint[PL_FILTER_SIZE];  /* the slot of the last of them */
struct pl_command command;
/* Threads that are about to take the OOM killer's lock, until it is known. */
struct {
  __uint(type, BPF_MAP_TYPE_LRU_HASH);
  __uint(max_entries, 256);
  __type(key, u32);
  __type(value, u32);
} askers SEC(".maps");

/* Address of a tracked cgroup's page counter -> slot. */
struct {
  __uint(type, BPF_MAP_TYPE_HASH);
  __uint(max_entries, PL_MAX_SLOTS);
  __type(key, u64);
  __type(value, u32);
} slot_of_counter SEC(".maps");

/* Every record wakes its reader at once. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 65536);
} urgent SEC(".maps");

/* The same from inside the OOM killer's lock. A task that is preempted between the reserve and the
 * submit of a record hides all that come after it, while those that wait keep it from its CPU; in
 * the lock there is one at a time. */
struct {
  __uint(type, BPF_MAP_TYPE_RINGBUF);
  __uint(max_entries, 4096);
} door SEC(".maps");

#define count(name) __sync_fetch_and_add(&counters.name, 1)
#define offset_of(type, field) bpf_core_field_offset(((type*)0)->field)

#define HEARTBEAT_MAX_AGE_NS 1000000000ULL
#define SECOND_NS 1000000000ULL
#define RESEND_NS 5000000ULL /* an event that was not answered is sent again after this */
#define RATE_MIN_NS 200000LL /* shorter than this a rate is noise */
#define MARK_MIN_PAGES 64    /* one charge batch */
#define MARK_MAX_PAGES 4096
#define DOOR_PAGES 8 /* the kernel kills for requests of at most this many */
#define WALK_MAX 128 /* descendants whose file pages are counted */

/* Of the lower half of an address, which is a number to the verifier also where the address is a
 * pointer. Fibonacci hashing, so that the lowest bits, which are the same in all, do not matter. */
static __always_inline u32 filter_index(u32 low) { return (low * 0x9E3779B1U) >> 18; }
_Static_assert(PL_FILTER_SIZE == 1 << (32 - 18), "filter_index() yields 14 bits");

/* For a counter that passed the filter as `place`. The hint is mostly right, and then the map need
 * not be asked. */
static __always_inline struct pl_slot* slot_at(u32 place, u64 counter, u32* index) {
  u32* found;

  *index = hint[place & (PL_FILTER_SIZE - 1)] & (PL_MAX_SLOTS - 1);
  if (slots[*index].counter == counter) return &slots[*index];
  found = bpf_map_lookup_elem(&slot_of_counter, &counter);
  if (!found) return NULL;
  *index = *found & (PL_MAX_SLOTS - 1);
  return &slots[*index];
}

static __always_inline struct pl_slot* slot_of(u64 counter, u32* index) {
  u32 place = filter_index(counter) & (PL_FILTER_SIZE - 1);

  return filter[place] ? slot_at(place, counter, index) : NULL;
}

static __always_inline u64 read_u64(u64 address) {
  u64 value = 0;

  bpf_probe_read_kernel(&value, sizeof(value), (void*)address);
  return value;
}

static __always_inline u64 usage_of(u64 counter) {
  return read_u64(counter + offset_of(struct page_counter, usage));
}

static __always_inline u64 max_of(u64 counter) {
  return read_u64(counter + offset_of(struct page_counter, max));
}

static __always_inline u64 memcg_of(u64 counter) {
  return counter - offset_of(struct mem_cgroup, memory);
}

/* The page counter of `cgroup`, or 0: it has no memory controller. */
static __always_inline u64 counter_of(u64 cgroup) {
  const u64 memory = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
  u64 css = read_u64(cgroup + offset_of(struct cgroup, subsys) + memory * 8);

  return css ? css + offset_of(struct mem_cgroup, memory) : 0;
}

/* The page counter of the cgroup that the open file `file` is one of. */
static __always_inline u64 counter_of_file(u64 file) {
  const struct kernfs_node___renamed* const none = 0;
  u64 node = read_u64(file + offset_of(struct kernfs_open_file, kn));

  if (bpf_core_field_exists(none->__parent))
    node = read_u64(node + offset_of(struct kernfs_node___renamed, __parent));
  else
    node = read_u64(node + offset_of(struct kernfs_node, parent));
  return counter_of(read_u64(node + offset_of(struct kernfs_node, priv)));
}

struct walk {
  u64 root;
  u64 position;
  u64 pages;
};

/* File pages on the two-list LRU of one memcg and node. */
static __always_inline u64 listed_file_pages(u64 info) {
  const struct mem_cgroup_per_node* const none = 0;
  u64 sizes[25] = {}, pages = 0;
  u32 bytes = bpf_core_field_size(none->lru_zone_size);
  u32 i;

  if (!bpf_core_field_exists(none->lru_zone_size)) return 0;
  if (bytes > sizeof(sizes)) bytes = sizeof(sizes);
  if (bpf_probe_read_kernel(sizes, bytes,
                            (void*)(info + offset_of(struct mem_cgroup_per_node, lru_zone_size)))) {
    return 0;
  }
  for (i = 0; i < 25; i += NR_LRU_LISTS)
    pages += sizes[i + LRU_INACTIVE_FILE] + sizes[i + LRU_ACTIVE_FILE];
  return pages;
}

/* The same on the multi-generational LRU. */
static __always_inline u64 generation_file_pages(u64 info) {
  const struct mem_cgroup_per_node* const none = 0;
  u32 bytes = bpf_core_field_size(none->lruvec.lrugen.nr_pages) / MAX_NR_GENS / 2;
  u64 address = info + offset_of(struct mem_cgroup_per_node, lruvec.lrugen.nr_pages);
  u64 pages = 0;
  u32 generation, zone;

  if (!bpf_core_field_exists(none->lruvec.lrugen.nr_pages)) return 0;
  for (generation = 0; generation < MAX_NR_GENS; generation++) {
    long sizes[5] = {};

    address += bytes; /* over the anonymous pages */
    if (bpf_probe_read_kernel(sizes, bytes > sizeof(sizes) ? sizeof(sizes) : bytes,
                              (void*)address)) {
      return pages;
    }
    address += bytes;
    /* The kernel lets a zone's number be negative for a moment. */
    for (zone = 0; zone < 5; zone++)
      if (sizes[zone] > 0) pages += sizes[zone];
  }
  return pages;
}

/* File pages of one memcg itself. Which LRU is in use can change while the system runs, so both are
 * counted; the one that is not in use is empty. */
static __always_inline u64 own_file_pages(u64 memcg) {
  u64 pages = 0;
  u32 node;

  for (node = 0; node < 8 && node < nr_nodes; node++) {
    u64 info = read_u64(memcg + offset_of(struct mem_cgroup, nodeinfo) + node * 8);

    if (info) pages += listed_file_pages(info) + generation_file_pages(info);
  }
  return pages;
}

/* One step of a walk over the cgroups at and below `root`, parents first, as the kernel's
 * css_next_descendant_pre() does it. A memcg begins with its css. */
static int add_file_pages(u32 i, struct walk* walk) {
  u64 css = walk->position, next;
  const u64 children = offset_of(struct cgroup_subsys_state, children);
  const u64 sibling = offset_of(struct cgroup_subsys_state, sibling);
  const u64 parent = offset_of(struct cgroup_subsys_state, parent);
  u32 level;

  walk->pages += own_file_pages(css);
  next = read_u64(css + children);
  if (next && next != css + children) {
    walk->position = next - sibling;
    return 0;
  }
  for (level = 0; level < PL_MAX_DEPTH; level++) {
    u64 above;

    if (css == walk->root) return 1;
    above = read_u64(css + parent);
    next = read_u64(css + sibling);
    if (!above || !next) return 1;
    if (next != above + children) {
      walk->position = next - sibling;
      return 0;
    }
    css = above;
  }
  return 1;
}

/* Read without a lock: a cgroup that comes or goes meanwhile makes the sum wrong by its own pages,
 * and every read is one that cannot fault. */
static __always_inline u64 file_pages(u64 memcg) {
  struct walk walk = {.root = memcg, .position = memcg};

  bpf_loop(WALK_MAX, add_file_pages, &walk, 0);
  return walk.pages;
}
