// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Is a tracked cgroup on its way to its memory limit, at it, or at the OOM killer's door? Says so
 * through a ring buffer and, at the limit and at the door, waits a bounded time for the limit to be
 * raised. See bpf/README.md for the hooks and docs/decisions for why these.
 */
#include "bpf/memory_state.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";

struct sight {
  u64 now;
  u64 usage_pages;
  u64 max_pages;
  u64 file_pages;
};

/* The limit itself decides, not what user space believes it to be: somebody else may have lowered
 * it a moment ago. Who is still at that is left alone, see on_max_write. */
static __always_inline bool is_armed(const struct pl_slot* slot, const struct sight* sight) {
  u64 writer = slot->writer_ns;

  if (writer && (s64)(sight->now - writer) < (s64)PL_WRITER_MAX_AGE_NS) return false;
  return sight->max_pages < slot->armed_pages;
}

static __always_inline u64 needed_of(const struct sight* sight) {
  return sight->usage_pages > sight->file_pages ? sight->usage_pages - sight->file_pages : 0;
}

/* 0 where nobody will be told: the buffer is full. Apart, so that the verifier of 6.1 sees that
 * what is reserved is submitted, whatever the compiler makes of the callers. */
static __noinline int put(void* ring, struct pl_slot* slot, u32 index, u32 kind,
                          const struct sight* sight) {
  struct pl_memory_event* event = bpf_ringbuf_reserve(ring, sizeof(*event), 0);

  if (!event) {
    count(events_dropped);
    return 0;
  }
  slot->pending_kind = kind;
  slot->pending_ns = sight->now;
  event->time_ns = sight->now;
  event->cgroup_id = slot->cgroup_id;
  event->usage_bytes = sight->usage_pages << PL_PAGE_SHIFT;
  event->limit_bytes = sight->max_pages << PL_PAGE_SHIFT;
  event->reclaimable_bytes = sight->file_pages << PL_PAGE_SHIFT;
  event->rate_bytes_per_s = slot->rate_bytes_per_s;
  event->slot = index;
  event->epoch = slot->epoch;
  event->kind = kind;
  event->pid = bpf_get_current_pid_tgid() >> 32;
  bpf_ringbuf_submit(event, BPF_RB_FORCE_WAKEUP);
  count(events);
  return 1;
}

static __always_inline int send(struct pl_slot* slot, u32 index, u32 kind,
                                const struct sight* sight) {
  u64 pending = slot->pending_ns;

  if (pending && sight->now - pending < RESEND_NS && slot->pending_kind >= kind) return 1;
  return put(&urgent, slot, index, kind, sight);
}

/* Brings the growth rate up to date. The rate of a fall is 0, and a rise counts at once for three
 * quarters, since a burst is what this is for. */
static __always_inline void measure(struct pl_slot* slot, const struct sight* sight) {
  u64 needed = needed_of(sight), elapsed = sight->now - slot->last_ns, rate = 0;

  /* Another CPU may have looked later already: then it is negative. */
  if ((s64)elapsed < RATE_MIN_NS) return;
  if (needed > slot->last_needed_pages)
    rate = ((needed - slot->last_needed_pages) << PL_PAGE_SHIFT) * 1000000 / (elapsed / 1000);
  slot->rate_bytes_per_s = (slot->rate_bytes_per_s + 3 * rate) / 4;
  slot->last_needed_pages = needed;
  slot->last_ns = sight->now;
  if (needed > slot->peak_needed_pages) slot->peak_needed_pages = needed;
}

/* Would it be at its limit within the horizon, or is most of the limit needed? */
static __always_inline bool is_near_limit(const struct pl_slot* slot, const struct sight* sight) {
  u64 needed = needed_of(sight), headroom, rate = slot->rate_bytes_per_s;

  if (!rate || slot->watermark_per_1024 == PL_NEVER) return false;
  if (needed >= sight->max_pages) return true;
  headroom = (sight->max_pages - needed) << PL_PAGE_SHIFT;
  if (needed * 1024 >= sight->max_pages * slot->watermark_per_1024) return true;
  /* headroom / rate < horizon, in milliseconds so that 64 bits suffice to 16 PiB */
  return headroom * 1000 < rate * (slot->horizon_ns / 1000000);
}

/* As the policy's only_cache: at most 60 % of the limit is needed, and over a quarter is cache. */
static __always_inline bool is_mostly_cache(const struct sight* sight) {
  return needed_of(sight) * 5 <= sight->max_pages * 3 && sight->file_pages * 4 > sight->max_pages;
}

static __always_inline u64 mark_after(const struct sight* sight) {
  u64 step =
      sight->max_pages > sight->usage_pages ? (sight->max_pages - sight->usage_pages) / 8 : 0;

  if (step < MARK_MIN_PAGES) step = MARK_MIN_PAGES;
  if (step > MARK_MAX_PAGES) step = MARK_MAX_PAGES;
  return sight->usage_pages + step;
}

/* A tracked counter has risen over its mark. One task looks, the others go on. */
static __noinline int look(u64 counter, u32 index, u64 usage) {
  struct pl_slot* slot = &slots[index & (PL_MAX_SLOTS - 1)];
  struct sight sight = {.now = bpf_ktime_get_ns(), .usage_pages = usage};
  u64 mark = slot->mark_pages;

  sight.max_pages = max_of(counter);

  if (usage < mark ||
      __sync_val_compare_and_swap(&slot->mark_pages, mark, mark_after(&sight)) != mark)
    return 0;
  sight.file_pages = file_pages(memcg_of(counter));
  measure(slot, &sight);
  if (is_armed(slot, &sight) && is_near_limit(slot, &sight))
    send(slot, index, PL_PREDICTED, &sight);
  return 0;
}

/* The difference of two pointers is a number to the verifier, while a pointer is not: with one
 * address known as a number, every other follows. Assembly, since the compiler may not turn it
 * into pointer arithmetic. */
static __always_inline u64 address_of(const void* pointer, const void* known, u64 known_address) {
  u64 difference = (u64)pointer;

  asm volatile("%0 -= %1" : "+r"(difference) : "r"(known));
  return known_address + difference;
}

/* `counter`, or another of the same `place`, is tracked. */
static __noinline int on_known_charge(u64* ctx, struct page_counter* counter, u32 place) {
  u64 first, address, usage;
  struct pl_slot* slot;
  u32 index = 0;

  if (bpf_get_func_arg(ctx, 0, &first)) return 0;
  address = address_of(counter, (void*)ctx[0], first);
  slot = slot_at(place, address, &index);
  if (!slot) return 0;
  usage = counter->usage.counter + ctx[1];
  if (usage >= slot->mark_pages) look(address, index, usage);
  return 0;
}

/* Once per charge batch (64 pages), and for every page counter of the kernel: this is the hot path.
 * The charge goes to all ancestors inside the hooked function, so they are walked here; not the
 * root, which has no limit. */
SEC("fentry/page_counter_try_charge")
int on_charge(u64* ctx) {
  struct page_counter* counter = (void*)ctx[0];
  u32 level;

#pragma unroll
  for (level = 0; level < PL_MAX_DEPTH; level++) {
    struct page_counter* parent = counter->parent;
    u32 low = (u64)counter, place;

    if (!parent) break;
    /* Keeps the compiler from calculating with the pointer itself. */
    asm volatile("" : "+w"(low));
    place = filter_index(low);
    if (filter[place & (PL_FILTER_SIZE - 1)]) on_known_charge(ctx, counter, place);
    counter = parent;
  }
  return 0;
}

struct hold {
  u64 counter;
  u64 deadline_ns;
  u64 margin_pages; /* enough, to go on */
  u64 first_max;    /* a limit above this is enough, too */
  u32 raised;
  u32 slot;
};

static int wait_for_raise(u32 i, struct hold* hold) {
  u64 max = max_of(hold->counter), usage = usage_of(hold->counter);

  if (max > hold->first_max || (max > usage && max - usage >= hold->margin_pages)) {
    hold->raised = 1;
    return 1;
  }
  /* Denied meanwhile: nothing will come. */
  if (!slots[hold->slot & (PL_MAX_SLOTS - 1)].armed_pages) return 1;
  return bpf_ktime_get_ns() >= hold->deadline_ns;
}

/* Can the agent take the CPU of a task that waits? Unknown is no. */
static __always_inline bool is_preemptible(void) {
  u32 mode = 0;

  if (&preempt_dynamic_mode) bpf_probe_read_kernel(&mode, sizeof(mode), &preempt_dynamic_mode);
  return mode == 2 || mode == 3;
}

/* May this task wait, and how long? The time of all tasks of a cgroup together is bounded in each
 * second; it is taken from the budget before the wait, so that those who wait at the same time
 * share it. While every CPU but one is held the wait is a slice, after which the kernel has a
 * reschedule point at which the agent can run; who waits in the OOM killer's lock is the only one.
 */
static __always_inline u64 take_hold_time(struct pl_slot* slot, u64 now, u64 longest) {
  s64 left;

  if (!slot->armed_pages || !longest) return 0;
  /* The heartbeat is written by another CPU and may be a little ahead of `now`. */
  if (now > control.heartbeat_ns && now - control.heartbeat_ns > HEARTBEAT_MAX_AGE_NS) {
    count(refused_heartbeat);
    return 0;
  }
  if (now - slot->hold_window_ns > SECOND_NS) {
    slot->hold_window_ns = now;
    slot->hold_used_ns = 0;
  }
  if (longest > control.slice_ns && control.spinners + 1 >= nr_cpus &&
      !(control.holds_in_lock && (nr_cpus > 1 || is_preemptible())))
    longest = control.slice_ns;
  /* Signed: what is given back may be of the second before. */
  left = control.hold_budget_ns - __sync_fetch_and_add(&slot->hold_used_ns, longest);
  if (left <= 0) {
    __sync_fetch_and_sub(&slot->hold_used_ns, longest);
    count(refused_budget);
    return 0;
  }
  if (longest <= (u64)left) return longest;
  __sync_fetch_and_sub(&slot->hold_used_ns, longest - left);
  return left;
}

/* Waits in the kernel until the limit was raised or the time is up. True: it was raised. */
static __always_inline bool hold(struct pl_slot* slot, u32 index, u64 counter, u64 now, u64 longest,
                                 u64 margin_pages) {
  struct hold hold = {.counter = counter, .margin_pages = margin_pages, .slot = index};
  u64 held_ns, time = take_hold_time(slot, now, longest);

  if (!time) return false;
  hold.first_max = max_of(counter);
  hold.deadline_ns = now + time;
  count(held);
  __sync_fetch_and_add(&slot->held, 1);
  __sync_fetch_and_add(&control.spinners, 1);
  bpf_loop(1 << 23, wait_for_raise, &hold, 0);
  __sync_fetch_and_sub(&control.spinners, 1);
  held_ns = bpf_ktime_get_ns() - now;
  __sync_fetch_and_add(&slot->hold_used_ns, held_ns - time);
  __sync_fetch_and_add(&counters.held_ns, held_ns);
  if (hold.raised) {
    count(saved);
    __sync_fetch_and_add(&slot->saved, 1);
  } else {
    count(expired);
    __sync_fetch_and_add(&slot->expired, 1);
  }
  return hold.raised;
}

/* A write of memory.max reclaims and kills until usage fits the number that it was given, whatever
 * the limit is by then: raised meanwhile, it would neither kill nor end for as long as the memory
 * is needed, and PID 1 takes no signal that would end it. So while somebody else writes a limit it
 * is not raised, and nobody is held. We ourselves are ended by a signal (MemoryReaction::Lowering).
 */
SEC("fentry/memory_max_write")
int on_max_write(u64* ctx) {
  u64 file = 0, id = bpf_get_current_pid_tgid();
  struct pl_slot* slot;
  u32 index = 0;

  if (id >> 32 == control.agent || bpf_get_func_arg(ctx, 0, &file)) return 0;
  slot = slot_of(counter_of_file(file), &index);
  if (!slot) return 0;
  slot->writer = id;
  slot->writer_ns = bpf_ktime_get_ns();
  return 0;
}

SEC("fexit/memory_max_write")
int on_max_written(u64* ctx) {
  u64 file = 0;
  struct pl_slot* slot;
  u32 index = 0;

  if (bpf_get_func_arg(ctx, 0, &file)) return 0;
  slot = slot_of(counter_of_file(file), &index);
  if (!slot) return 0;
  /* It is of the limit that was. */
  slot->mark_pages = 0;
  if (slot->writer == (u32)bpf_get_current_pid_tgid()) slot->writer_ns = 0;
  return 0;
}

/* He is at it still. */
static __always_inline void note_writer(struct pl_slot* slot, u64 now) {
  if (slot->writer_ns && slot->writer == (u32)bpf_get_current_pid_tgid()) slot->writer_ns = now;
}

/* Reclaim on behalf of `counter`'s cgroup ended with `freed` pages. Returns true where the task may
 * be held: at the limit, nothing freed, and the event is on its way. */
static __always_inline bool at_limit(struct pl_slot* slot, u32 index, u64 counter, u64 freed,
                                     struct sight* sight) {
  sight->now = bpf_ktime_get_ns();
  note_writer(slot, sight->now);
  sight->usage_pages = usage_of(counter);
  sight->max_pages = max_of(counter);
  /* memory.high, memory.reclaim and a lowered limit reclaim through here as well: only a
   * cgroup without room for the next charge batch is at its limit. */
  if (sight->usage_pages + MARK_MIN_PAGES < sight->max_pages) return false;
  __sync_fetch_and_add(&slot->reclaims, 1);
  if (!freed) __sync_fetch_and_add(&slot->reclaims_failed, 1);
  if (!is_armed(slot, sight)) return false;
  sight->file_pages = file_pages(memcg_of(counter));
  measure(slot, sight);
  /* Freed something, and most of the limit is cache: that is page cache at work. Freed nothing, and
   * it is cache all the same: that is written back just now, and a task that waits here would keep
   * the CPU from doing it. The policy refuses both (only_cache). */
  if (freed ? needed_of(sight) * 1024 < sight->max_pages * slot->watermark_per_1024
            : is_mostly_cache(sight)) {
    return false;
  }
  return send(slot, index, PL_AT_LIMIT, sight) && !freed;
}

SEC("fexit/try_to_free_mem_cgroup_pages")
int on_reclaim_end(u64* ctx) {
  struct sight sight = {};
  struct pl_slot* slot;
  u64 memcg, freed = 0;
  u32 index = 0;

  /* The number of arguments differs between kernels; the first is the memcg in all of them. */
  if (!control.slots || bpf_get_func_arg(ctx, 0, &memcg) || bpf_get_func_ret(ctx, &freed)) return 0;
  memcg += offset_of(struct mem_cgroup, memory);
  slot = slot_of(memcg, &index);
  if (slot && at_limit(slot, index, memcg, freed, &sight))
    hold(slot, index, memcg, sight.now, control.slice_ns, MARK_MIN_PAGES);
  return 0;
}

/* The OOM killer was called. It looks at the margin once more, under its lock, before it kills. */
SEC("fentry/mem_cgroup_out_of_memory")
int on_oom(u64* ctx) {
  struct sight sight = {.now = bpf_ktime_get_ns()};
  u64 counter, order = (u32)ctx[2];
  struct pl_slot* slot;
  u32 index = 0;

  if (bpf_get_func_arg(ctx, 0, &counter)) return 0;
  if (!control.lock) {
    u32 thread = bpf_get_current_pid_tgid();

    bpf_map_update_elem(&askers, &thread, &thread, BPF_ANY);
  }
  counter += offset_of(struct mem_cgroup, memory);
  slot = slot_of(counter, &index);
  if (!slot) return 0;
  __sync_fetch_and_add(&slot->doors, 1);
  note_writer(slot, sight.now);
  sight.usage_pages = usage_of(counter);
  sight.max_pages = max_of(counter);
  if (!is_armed(slot, &sight)) return 0;
  /* Room for what is asked: nobody will be killed. */
  if (sight.max_pages > sight.usage_pages &&
      sight.max_pages - sight.usage_pages >= 1ULL << (order & 15))
    return 0;
  sight.file_pages = file_pages(memcg_of(counter));
  measure(slot, &sight);
  if (send(slot, index, PL_AT_DOOR, &sight) && !control.holds_in_lock)
    hold(slot, index, counter, sight.now, control.door_ns, 1ULL << (order & 15));
  return 0;
}

/* The lock is that of the OOM killer: `oom_lock`, or, where its address is not shown to us, the
 * first that is taken by a task that on_oom has just seen. Until then it may be any: a task that
 * on_oom has not seen, since another was preempted there, would pass. */
static __always_inline bool may_be_oom_lock(u64 lock) {
  u32 thread = bpf_get_current_pid_tgid();

  if (!control.lock) {
    if (&oom_lock)
      control.lock = (u64)&oom_lock;
    else if (bpf_map_lookup_elem(&askers, &thread))
      control.lock = lock;
  }
  return !control.lock || lock == control.lock;
}

/* The cgroup of the current task. */
static __always_inline u64 own_counter(void) {
  const u64 memory = bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id);
  u64 set = read_u64(bpf_get_current_task() + offset_of(struct task_struct, cgroups));
  u64 css = set ? read_u64(set + offset_of(struct css_set, subsys) + memory * 8) : 0;

  return css ? css + offset_of(struct mem_cgroup, memory) : 0;
}

enum { NOT_HELD, HELD_AND_RAISED, HELD_IN_VAIN };

/* Whoever is in the OOM killer's lock waits while there is no room for him in this cgroup. */
static __noinline int hold_in_lock(struct pl_slot* slot, u32 index, u64 counter) {
  struct sight sight = {.now = bpf_ktime_get_ns(), .usage_pages = usage_of(counter)};

  sight.max_pages = max_of(counter);
  if (sight.max_pages >= sight.usage_pages + DOOR_PAGES || !is_armed(slot, &sight)) return NOT_HELD;
  sight.file_pages = file_pages(memcg_of(counter));
  /* Whatever was sent before: who sent it may have been preempted half way. */
  return put(&door, slot, index, PL_AT_DOOR, &sight) &&
                 hold(slot, index, counter, sight.now, control.door_ns, DOOR_PAGES)
             ? HELD_AND_RAISED
             : HELD_IN_VAIN;
}

/* The OOM killer takes its lock and then looks at the margin. Whoever waits here is alone: all
 * others at the door sleep in the lock. So nobody passes because this program is running on his CPU
 * already, as on_oom is skipped when the task that it holds is preempted. Only members of the
 * cgroup wait. */
SEC("fexit/mutex_lock_killable")
int on_oom_locked(u64* ctx) {
  u64 lock, failed = 0, counter;
  u32 level;

  if (!control.slots || bpf_get_func_arg(ctx, 0, &lock) || !may_be_oom_lock(lock) ||
      bpf_get_func_ret(ctx, &failed) || failed)
    return 0;
  counter = own_counter();
  for (level = 0; level < PL_MAX_DEPTH && counter; level++) {
    u32 index = 0, again;
    struct pl_slot* slot = slot_of(counter, &index);

    /* Others may have used all of a raise before the one who waited had his CPU again. */
    for (again = 0; slot && again < 4; again++) {
      int held = hold_in_lock(slot, index, counter);

      if (held == HELD_IN_VAIN) return 0;
      if (held == NOT_HELD) break;
    }
    counter = read_u64(counter + offset_of(struct page_counter, parent));
  }
  return 0;
}

/* True: somebody was killed, or the task that asked is dying already, or there was room again. */
SEC("fexit/mem_cgroup_out_of_memory")
int on_oom_end(u64* ctx) {
  struct pl_slot* slot;
  u64 counter, usage, max, killed = 0;
  u32 index = 0;

  if (bpf_get_func_arg(ctx, 0, &counter) || bpf_get_func_ret(ctx, &killed) || !(killed & 1))
    return 0;
  counter += offset_of(struct mem_cgroup, memory);
  slot = slot_of(counter, &index);
  if (!slot) return 0;
  usage = usage_of(counter);
  max = max_of(counter);
  if (max > usage && max - usage >= 1ULL << (ctx[2] & 15)) return 0;
  slot->killed_ns = bpf_ktime_get_ns();
  slot->killed_usage_pages = usage;
  slot->killed_max_pages = max;
  __sync_fetch_and_add(&slot->kills, 1);
  return 0;
}

/* Run by user space on one cgroup (a read of the iterator): enters it under command.slot. */
SEC("iter/cgroup")
int on_track(struct bpf_iter__cgroup* ctx) {
  struct cgroup* cgroup = ctx->cgroup;
  u32 index = command.slot & (PL_MAX_SLOTS - 1), place;
  struct pl_slot* slot = &slots[index];
  u64 counter;

  if (!cgroup || command.result != PL_TRACK_NOT_RUN) return 0;
  control.agent = bpf_get_current_pid_tgid() >> 32;
  command.cgroup_id = cgroup->kn->id;
  counter = counter_of((u64)cgroup);
  if (!counter) {
    command.result = PL_TRACK_NO_CONTROLLER;
    return 0;
  }
  if (bpf_map_update_elem(&slot_of_counter, &counter, &index, BPF_ANY)) {
    command.result = PL_TRACK_MAP_FULL;
    return 0;
  }
  slot->counter = counter;
  place = filter_index(counter) & (PL_FILTER_SIZE - 1);
  hint[place] = index;
  if (filter[place] != 255) filter[place]++;
  command.result = PL_TRACK_OK;
  return 0;
}

/* Run by user space: forgets what command.slot names. A filter byte that once was full stays. */
SEC("syscall")
int on_untrack(void* ctx) {
  struct pl_slot* slot = &slots[command.slot & (PL_MAX_SLOTS - 1)];
  u64 counter = slot->counter;
  u32 place = filter_index(counter) & (PL_FILTER_SIZE - 1), *index;

  if (!counter) return 0;
  /* The kernel gives the address of a freed cgroup to the next one, which may be tracked as
   * another slot by now. */
  index = bpf_map_lookup_elem(&slot_of_counter, &counter);
  if (index && *index == (command.slot & (PL_MAX_SLOTS - 1)))
    bpf_map_delete_elem(&slot_of_counter, &counter);
  if (filter[place] && filter[place] != 255) filter[place]--;
  slot->counter = 0;
  command.result = PL_TRACK_OK;
  return 0;
}

static int sweep_slot(u32 index, void* unused) {
  struct pl_slot* slot = &slots[index & (PL_MAX_SLOTS - 1)];
  struct sight sight = {};

  if (!slot->counter) return 0;
  sight.now = bpf_ktime_get_ns();
  sight.usage_pages = usage_of(slot->counter);
  sight.max_pages = max_of(slot->counter);
  sight.file_pages = file_pages(memcg_of(slot->counter));
  measure(slot, &sight);
  slot->usage_pages = sight.usage_pages;
  slot->reclaimable_pages = sight.file_pages;
  slot->mark_pages = mark_after(&sight);
  return 0;
}

/* Run by user space at every tick: reads all tracked cgroups at once and sets their marks from
 * where they stand, so that a rise after a fall is seen. */
SEC("syscall")
int on_sweep(void* ctx) {
  bpf_loop(control.slots & (PL_MAX_SLOTS * 2 - 1), sweep_slot, NULL, 0);
  return 0;
}
