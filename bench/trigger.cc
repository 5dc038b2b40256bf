// SPDX-License-Identifier: Apache-2.0
#include "bench/trigger.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <sys/prctl.h>

#include <atomic>
#include <cerrno>

#include "bench/trigger_record.h"
#include "trigger.skel.h"

namespace plimsoll::bench {

struct Trigger::Impl {
  struct Deleter {
    void operator()(trigger_bpf* object) const { trigger_bpf::destroy(object); }
  };
  std::unique_ptr<trigger_bpf, Deleter> skeleton;
  pl_trigger& record() const { return skeleton->bss->trigger; }
};

Result<Trigger> Trigger::load(int urgent_fd) {
  auto impl = std::make_unique<Impl>();
  impl->skeleton.reset(trigger_bpf::open());
  if (!impl->skeleton) return errno_error(errno, "open the trigger's BPF object");
  if (const int error = bpf_map__reuse_fd(impl->skeleton->maps.urgent, urgent_fd); error != 0) {
    return errno_error(-error, "share the urgent ring buffer");
  }
  if (const int error = trigger_bpf::load(impl->skeleton.get()); error != 0) {
    return errno_error(-error, "load the trigger");
  }
  impl->skeleton->links.on_trigger = bpf_program__attach(impl->skeleton->progs.on_trigger);
  if (impl->skeleton->links.on_trigger == nullptr) return errno_error(errno, "attach the trigger");
  return Trigger(std::move(impl));
}

Trigger::Trigger(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Trigger::Trigger(Trigger&&) noexcept = default;
Trigger& Trigger::operator=(Trigger&&) noexcept = default;
Trigger::~Trigger() = default;

void Trigger::aim(std::uint32_t slot, std::uint32_t epoch) {
  impl_->record().slot = slot;
  impl_->record().epoch = epoch;
}

void Trigger::fire(Ring ring, Bytes limit) {
  impl_->record().limit_bytes = limit.value;
  impl_->record().ring = ring == Ring::kBare ? PL_RING_BARE : PL_RING_URGENT;
  // The program runs in this call, on this thread: it sees what was written before.
  ::prctl(PR_SET_NAME, PL_TRIGGER_NAME);
}

Result<void> Trigger::fill(std::uint32_t count, Bytes limit) {
  impl_->record().limit_bytes = limit.value;
  impl_->record().batch = count;
  LIBBPF_OPTS(bpf_test_run_opts, options);
  const int program = bpf_program__fd(impl_->skeleton->progs.on_fill);
  if (bpf_prog_test_run_opts(program, &options) != 0) {
    return errno_error(errno, "fill the urgent ring buffer");
  }
  return {};
}

std::uint64_t Trigger::sent() const { return std::atomic_ref(impl_->record().sent).load(); }
std::uint64_t Trigger::dropped() const { return std::atomic_ref(impl_->record().dropped).load(); }

int Trigger::bare_fd() const { return bpf_map__fd(impl_->skeleton->maps.bare); }

}  // namespace plimsoll::bench
