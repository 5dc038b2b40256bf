/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What trigger.bpf.c and user space share: the event that the next trigger sends, and where to.
 * C and C++; fixed width, no padding.
 */
#pragma once

#include "bpf/memory_records.h"

enum pl_trigger_ring {
  PL_RING_URGENT = 0, /* the agent's */
  PL_RING_BARE = 1,   /* the harness's own, for the floor */
};

/* A thread that takes this name sends one event; eight bytes with the final 0. */
#define PL_TRIGGER_NAME "pltrigr"

struct pl_trigger {
  pl_u64 limit_bytes; /* the event says: this is the limit, and all of it is in use */
  pl_u64 sent;        /* kernel: events that reached a ring buffer, and that did not */
  pl_u64 dropped;
  pl_u32 slot;
  pl_u32 epoch;
  pl_u32 ring;
  pl_u32 batch; /* events that one run of on_fill sends */
};
PL_ASSERT_SIZE(struct pl_trigger, 40);
