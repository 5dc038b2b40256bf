// SPDX-License-Identifier: Apache-2.0
#include "bpf/cpu_programs.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <string>

#include "bpf/cpu_records.h"
#include "bpf/event_ring.h"
#include "bpf/loaded.h"
#include "bpf/memory_programs.h"

using u32 = pl_u32;
using u64 = pl_u64;
using u8 = std::uint8_t;
#include "bpf/record_time.h"
#include "cpu.skel.h"

namespace plimsoll::bpf {
namespace {

static_assert(kMaxSlots == PL_MAX_SLOTS);

// Whether the function is there and returns whether it throttled: before Linux 5.8 it did not, and
// what a program at its end would then read means nothing.
Result<void> check_throttle() {
  const std::unique_ptr<btf, void (*)(btf*)> types(btf__load_vmlinux_btf(), btf__free);
  if (!types) return errno_error(errno, "read the kernel's types (BTF)");
  const int id = btf__find_by_name_kind(types.get(), "throttle_cfs_rq", BTF_KIND_FUNC);
  if (id < 0) {
    return fail(Code::kUnsupported,
                "this kernel has no function throttle_cfs_rq (inlined, or no "
                "CONFIG_CFS_BANDWIDTH)");
  }
  const btf_type* function = btf__type_by_id(types.get(), static_cast<u32>(id));
  const btf_type* prototype = btf__type_by_id(types.get(), function->type);
  if (prototype->type == 0) {
    return fail(Code::kUnsupported, "throttle_cfs_rq of this kernel does not tell what it did");
  }
  return {};
}

}  // namespace

struct CpuPrograms::Impl {
  Loaded<cpu_bpf> skeleton;
  EventRing<pl_cpu_event> ring;

  pl_cpu_slot& slot(u32 index) const { return skeleton->bss->slots[index % PL_MAX_SLOTS]; }
};

Result<CpuPrograms> CpuPrograms::load() {
  if (auto traced = check_function_tracing(); !traced) return tl::unexpected(traced.error());
  if (auto checked = check_throttle(); !checked) return tl::unexpected(checked.error());
  const LibbpfLog log;
  auto opened = open_object<cpu_bpf>(log);
  if (!opened) return tl::unexpected(opened.error());
  auto impl = std::make_unique<Impl>();
  impl->skeleton = std::move(*opened);
  cpu_bpf& skeleton = *impl->skeleton;
  skeleton.rodata->nr_cpus = static_cast<u32>(std::max(::sysconf(_SC_NPROCESSORS_CONF), 1L));
  // on_cpu_track is an iterator and is attached for one cgroup at a time.
  auto ready =
      load_object(skeleton, log)
          .and_then(
              [&] { return attach(skeleton.progs.on_throttle, skeleton.links.on_throttle, log); })
          .and_then([&] { return attach(skeleton.progs.on_period, skeleton.links.on_period, log); })
          .and_then([&] { return impl->ring.map(bpf_map__fd(skeleton.maps.throttling)); });
  if (!ready) return tl::unexpected(ready.error());
  return CpuPrograms(std::move(impl));
}

std::string_view CpuPrograms::elf() { return elf_of<cpu_bpf>(); }

CpuPrograms::CpuPrograms(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
CpuPrograms::CpuPrograms(CpuPrograms&&) noexcept = default;
CpuPrograms& CpuPrograms::operator=(CpuPrograms&&) noexcept = default;
CpuPrograms::~CpuPrograms() = default;

Result<CgroupId> CpuPrograms::track(u32 slot, u32 epoch, int cgroup_fd,
                                    const Tolerance& tolerance) {
  if (slot >= kMaxSlots) return fail(Code::kDenied, "more cgroups than there are slots");
  cpu_bpf& skeleton = *impl_->skeleton;
  pl_cpu_slot& entry = impl_->slot(slot);
  if (entry.group != 0) return fail(Code::kConflict, "the slot is in use");
  entry = {};
  entry.epoch = epoch;
  set_tolerance(slot, tolerance);

  pl_cpu_command& command = skeleton.bss->command;
  command.slot = slot;
  auto found = look_up(skeleton.progs.on_cpu_track, cgroup_fd, command.result, "cpu");
  if (!found) return tl::unexpected(found.error());
  entry.cgroup_id = command.cgroup_id;
  if (command.slots <= slot) shared(command.slots).store(slot + 1);
  return CgroupId{entry.cgroup_id};
}

void CpuPrograms::set_tolerance(u32 slot, const Tolerance& tolerance) noexcept {
  pl_cpu_slot& entry = impl_->slot(slot);
  shared(entry.window).store(std::clamp<u32>(tolerance.window, 1, PL_CPU_WINDOW));
  shared(entry.tolerated).store(tolerance.periods);
}

void CpuPrograms::untrack(u32 slot) {
  arm(slot, false);
  pl_cpu_command& command = impl_->skeleton->bss->command;
  command.slot = slot;
  shared(command.result).store(PL_TRACK_NOT_RUN);
  (void)run(impl_->skeleton->progs.on_cpu_untrack, "forget the cgroup in the kernel");
  impl_->slot(slot).cgroup_id = 0;
}

Result<void> CpuPrograms::sweep() {
  return run(impl_->skeleton->progs.on_cpu_sweep, "read the tracked cgroups in the kernel");
}

CpuSample CpuPrograms::read_sample(u32 slot) {
  pl_cpu_slot& entry = impl_->slot(slot);
  const auto get = [](u64& field) { return shared(field).load(std::memory_order_relaxed); };
  CpuSample sample{.throttles = get(entry.throttles),
                   .periods = get(entry.periods),
                   .periods_throttled = get(entry.periods_throttled),
                   .used = duration_of(get(entry.used_total_ns)),
                   .peak = duration_of(shared(entry.peak_used_ns).exchange(0)),
                   .quota = std::nullopt,
                   .burst = duration_of(entry.burst_ns),
                   .period = duration_of(entry.period_ns),
                   .kernel_periods = entry.nr_periods,
                   .kernel_throttled = entry.nr_throttled,
                   .throttled_for = duration_of(entry.throttled_ns)};
  if (entry.quota_ns != PL_NO_QUOTA) sample.quota = duration_of(entry.quota_ns);
  return sample;
}

CpuUse CpuPrograms::use(u32 slot) const noexcept {
  pl_cpu_slot& entry = impl_->slot(slot);
  // Together they are of one period, or the use is of one later.
  const u64 at = shared(entry.refilled_ns).load(std::memory_order_acquire);
  return {.used = duration_of(shared(entry.used_total_ns).load(std::memory_order_acquire)),
          .at = time_of(at)};
}

void CpuPrograms::arm(u32 slot, bool armed) noexcept {
  shared(impl_->slot(slot).armed).store(armed ? 1 : 0);
}

int CpuPrograms::event_fd() const noexcept { return bpf_map__fd(impl_->skeleton->maps.throttling); }

std::size_t CpuPrograms::drain(void (*handle)(void*, const pl_cpu_event&), void* context) noexcept {
  return impl_->ring.drain(handle, context);
}

std::uint64_t CpuPrograms::malformed() const noexcept { return impl_->ring.malformed(); }

std::uint64_t CpuPrograms::lost() const noexcept {
  return shared(impl_->skeleton->bss->counters.events_dropped).load() + malformed();
}

void CpuPrograms::answer(u32 slot) noexcept { shared(impl_->slot(slot).pending_ns).store(0); }

CpuCounters CpuPrograms::counters() const {
  pl_cpu_counters& totals = impl_->skeleton->bss->counters;
  CpuCounters counters{.events = shared(totals.events).load(),
                       .events_dropped = shared(totals.events_dropped).load(),
                       .missed = 0};
  for (const bpf_program* program :
       {impl_->skeleton->progs.on_throttle, impl_->skeleton->progs.on_period}) {
    counters.missed += missed(program);
  }
  return counters;
}

}  // namespace plimsoll::bpf
