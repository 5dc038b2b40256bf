// SPDX-License-Identifier: Apache-2.0
#include "bpf/memory_programs.h"

#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <string>

#include "base/file.h"
#include "bpf/event_ring.h"
#include "bpf/loaded.h"
#include "bpf/memory_records.h"

using u32 = pl_u32;
using u64 = pl_u64;
using u8 = std::uint8_t;
using u16 = std::uint16_t;
#include "bpf/record_time.h"
#include "memory.skel.h"

namespace plimsoll::bpf {
namespace {

static_assert(kMaxSlots == PL_MAX_SLOTS);

u64 count_of(Nanoseconds duration) {
  return static_cast<u64>(std::max<std::int64_t>(duration.count(), 0));
}

constexpr u64 kPage = u64{1} << PL_PAGE_SHIFT;

Bytes pages(u64 count) { return {count * kPage}; }

// NUMA nodes are numbered from 0; this is one more than the highest, at most the 8 that the
// programs look at.
u32 node_count() {
  const Result<std::string> online = read_file("/sys/devices/system/node/online");
  if (!online) return 1;
  u32 last = 0;
  u32 number = 0;
  for (const char c : *online) {
    if (c >= '0' && c <= '9') {
      number = number * 10 + static_cast<u32>(c - '0');
      last = std::max(last, number);
    } else {
      number = 0;
    }
  }
  return std::min<u32>(last + 1, 8);
}

}  // namespace

struct MemoryPrograms::Impl {
  Loaded<memory_bpf> skeleton;
  EventRing<pl_memory_event> urgent;

  struct Hook {
    bpf_program* program;
    bpf_link** link;
  };
  std::array<Hook, 7> hooks() const {
    auto& programs = skeleton->progs;
    auto& links = skeleton->links;
    return {{{programs.on_charge, &links.on_charge},
             {programs.on_reclaim_end, &links.on_reclaim_end},
             {programs.on_oom, &links.on_oom},
             {programs.on_oom_end, &links.on_oom_end},
             {programs.on_max_write, &links.on_max_write},
             {programs.on_max_written, &links.on_max_written},
             {programs.on_oom_locked, &links.on_oom_locked}}};
  }
  pl_slot& slot(u32 index) const { return skeleton->bss->slots[index % PL_MAX_SLOTS]; }
};

std::string_view to_string(Tier tier) {
  switch (tier) {
    case Tier::kA:
      return "A";
    case Tier::kC:
      return "C";
  }
  return "unknown";
}

Result<MemoryPrograms> MemoryPrograms::load(const HoldBounds& bounds, bool attached) {
  const auto page_size = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  if (auto right = check_page_size(page_size); !right) return tl::unexpected(right.error());
  if (attached) {
    if (auto traced = check_function_tracing(); !traced) return tl::unexpected(traced.error());
  }
  const LibbpfLog log;
  auto opened = open_object<memory_bpf>(log);
  if (!opened) return tl::unexpected(opened.error());
  auto impl = std::make_unique<Impl>();
  impl->skeleton = std::move(*opened);
  memory_bpf& skeleton = *impl->skeleton;

  for (const Impl::Hook& hook : impl->hooks()) bpf_program__set_autoload(hook.program, attached);
  if (libbpf_find_vmlinux_btf_id("mutex_lock_killable", BPF_TRACE_FEXIT) < 0) {
    bpf_program__set_autoload(skeleton.progs.on_oom_locked, false);
  }
  skeleton.rodata->nr_cpus = static_cast<u32>(std::max(::sysconf(_SC_NPROCESSORS_ONLN), 1L));
  skeleton.rodata->nr_nodes = node_count();
  skeleton.bss->control.slice_ns = count_of(bounds.slice);
  skeleton.bss->control.door_ns = count_of(bounds.door);
  skeleton.bss->control.hold_budget_ns = count_of(bounds.budget_per_second);

  if (auto loaded = load_object(skeleton, log); !loaded) return tl::unexpected(loaded.error());
  // on_track is an iterator and is attached for one cgroup at a time; the others of no hook are
  // run.
  for (const Impl::Hook& hook : impl->hooks()) {
    if (!bpf_program__autoload(hook.program)) continue;
    auto done = attach(hook.program, *hook.link, log);
    // Without it who is at the door waits before the lock.
    if (!done && hook.program != skeleton.progs.on_oom_locked) {
      return tl::unexpected(done.error());
    }
  }
  skeleton.bss->control.holds_in_lock = skeleton.links.on_oom_locked != nullptr;
  for (const bpf_map* ring : {skeleton.maps.urgent, skeleton.maps.door}) {
    if (auto mapped = impl->urgent.map(bpf_map__fd(ring)); !mapped) {
      return tl::unexpected(mapped.error());
    }
  }
  return MemoryPrograms(std::move(impl));
}

std::string_view MemoryPrograms::elf() { return elf_of<memory_bpf>(); }

MemoryPrograms::MemoryPrograms(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
MemoryPrograms::MemoryPrograms(MemoryPrograms&&) noexcept = default;
MemoryPrograms& MemoryPrograms::operator=(MemoryPrograms&&) noexcept = default;
MemoryPrograms::~MemoryPrograms() = default;

Result<CgroupId> MemoryPrograms::track(u32 slot, u32 epoch, int cgroup_fd,
                                       const Thresholds& thresholds) {
  if (slot >= kMaxSlots) return fail(Code::kDenied, "more cgroups than there are slots");
  memory_bpf& skeleton = *impl_->skeleton;
  pl_slot& entry = impl_->slot(slot);
  if (entry.counter != 0) return fail(Code::kConflict, "the slot is in use");
  entry = {};
  entry.epoch = epoch;
  set_thresholds(slot, thresholds);
  // The first look only finds out where it stands.
  entry.mark_pages = 0;

  skeleton.bss->command = {.cgroup_id = 0, .slot = slot, .result = PL_TRACK_NOT_RUN};
  auto found = look_up(skeleton.progs.on_track, cgroup_fd, skeleton.bss->command.result, "memory");
  if (!found) return tl::unexpected(found.error());
  entry.cgroup_id = skeleton.bss->command.cgroup_id;
  u32& slots = skeleton.bss->control.slots;
  if (slots <= slot) shared(slots).store(slot + 1);
  return CgroupId{entry.cgroup_id};
}

void MemoryPrograms::set_thresholds(u32 slot, const Thresholds& thresholds) noexcept {
  pl_slot& entry = impl_->slot(slot);
  shared(entry.horizon_ns).store(count_of(thresholds.horizon));
  shared(entry.watermark_per_1024)
      .store(thresholds.predict
                 ? static_cast<u32>(std::clamp(thresholds.watermark, 0.0, 1.0) * 1024)
                 : PL_NEVER);
}

void MemoryPrograms::untrack(u32 slot) {
  arm(slot, {});
  impl_->skeleton->bss->command = {.cgroup_id = 0, .slot = slot, .result = PL_TRACK_NOT_RUN};
  (void)run(impl_->skeleton->progs.on_untrack, "forget the cgroup in the kernel");
  impl_->slot(slot).cgroup_id = 0;
}

Result<void> MemoryPrograms::sweep() {
  return run(impl_->skeleton->progs.on_sweep, "read the tracked cgroups in the kernel");
}

MemorySample MemoryPrograms::read_sample(u32 slot) {
  pl_slot& entry = impl_->slot(slot);
  const u64 needed = entry.usage_pages - std::min(entry.usage_pages, entry.reclaimable_pages);
  const u64 peak = shared(entry.peak_needed_pages).exchange(needed);
  return {.usage = pages(entry.usage_pages),
          .reclaimable = pages(entry.reclaimable_pages),
          .peak = pages(std::max(peak, needed)),
          .rate_per_second = {shared(entry.rate_bytes_per_s).load()},
          .reclaims = shared(entry.reclaims).load(),
          .reclaims_failed = shared(entry.reclaims_failed).load(),
          .doors = shared(entry.doors).load(),
          .held = shared(entry.held).load(),
          .saved = shared(entry.saved).load(),
          .expired = shared(entry.expired).load()};
}

Kills MemoryPrograms::kills(u32 slot) const noexcept {
  pl_slot& entry = impl_->slot(slot);
  return {.total = shared(entry.kills).load(),
          .last = time_of(shared(entry.killed_ns).load()),
          .usage = pages(shared(entry.killed_usage_pages).load()),
          .limit = pages(shared(entry.killed_max_pages).load())};
}

void MemoryPrograms::arm(u32 slot, Bytes below) noexcept {
  constexpr u64 kMost = std::numeric_limits<u32>::max();
  shared(impl_->slot(slot).armed_pages)
      .store(static_cast<u32>(std::min(below.value / kPage, kMost)));
}

bool MemoryPrograms::is_being_written(u32 slot, MonotonicTime now) const noexcept {
  const u64 writer = shared(impl_->slot(slot).writer_ns).load();
  // He may have been seen after `now` was.
  return writer != 0 && count_of(now.time_since_epoch()) < writer + PL_WRITER_MAX_AGE_NS;
}

int MemoryPrograms::urgent_fd() const noexcept { return bpf_map__fd(impl_->skeleton->maps.urgent); }

int MemoryPrograms::door_fd() const noexcept { return bpf_map__fd(impl_->skeleton->maps.door); }

std::size_t MemoryPrograms::drain_urgent(void (*handle)(void*, const pl_memory_event&),
                                         void* context) noexcept {
  return impl_->urgent.drain(handle, context);
}

std::uint64_t MemoryPrograms::malformed() const noexcept { return impl_->urgent.malformed(); }

std::uint64_t MemoryPrograms::lost() const noexcept {
  return shared(impl_->skeleton->bss->counters.events_dropped).load() + malformed();
}

void MemoryPrograms::answer(u32 slot, bool granted) noexcept {
  pl_slot& entry = impl_->slot(slot);
  if (granted) shared(entry.mark_pages).store(0);
  shared(entry.pending_ns).store(0);
}

void MemoryPrograms::beat(MonotonicTime now) noexcept {
  shared(impl_->skeleton->bss->control.heartbeat_ns).store(count_of(now.time_since_epoch()));
}

bool MemoryPrograms::holds_in_lock() const noexcept {
  return impl_->skeleton->bss->control.holds_in_lock != 0;
}

Counters MemoryPrograms::counters() const {
  pl_counters& totals = impl_->skeleton->bss->counters;
  Counters counters{.events_urgent = shared(totals.events).load(),
                    .events_dropped = shared(totals.events_dropped).load(),
                    .held = shared(totals.held).load(),
                    .saved = shared(totals.saved).load(),
                    .expired = shared(totals.expired).load(),
                    .missed = 0,
                    .refused_heartbeat = shared(totals.refused_heartbeat).load(),
                    .refused_budget = shared(totals.refused_budget).load(),
                    .held_for = duration_of(shared(totals.held_ns).load())};
  for (const Impl::Hook& hook : impl_->hooks()) {
    if (*hook.link != nullptr) counters.missed += missed(hook.program);
  }
  return counters;
}

}  // namespace plimsoll::bpf
