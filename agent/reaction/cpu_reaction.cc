// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/cpu_reaction.h"

#include <poll.h>
#include <pthread.h>

#include <array>
#include <utility>

#include "agent/reaction/realtime.h"

namespace plimsoll::agent {

CpuReaction::CpuReaction(const CpuPolicy& policy, bpf::CpuPrograms* programs, Wakeup commands,
                         const Wakeup& reports, Timer timer)
    : programs_(programs),
      mailbox_(std::move(commands), reports),
      meter_(programs, std::move(timer)),
      limits_(policy, programs, mailbox_, meter_) {}

Result<std::unique_ptr<CpuReaction>> CpuReaction::start(const CpuPolicy& policy,
                                                        bpf::CpuPrograms* programs,
                                                        const Wakeup& reports, bool own_thread) {
  auto commands = Wakeup::make();
  if (!commands) return tl::unexpected(commands.error());
  auto timer = Timer::make();
  if (!timer) return tl::unexpected(timer.error());
  std::unique_ptr<CpuReaction> reaction(
      new CpuReaction(policy, programs, std::move(*commands), reports, std::move(*timer)));
  if (!own_thread) return reaction;
  reaction->thread_ = std::thread([self = reaction.get()] { self->run(); });
  // Where that is not allowed, the reaction thread's warning says so.
  (void)make_predictable(reaction->thread_, kCpuPriority);
  return reaction;
}

CpuReaction::~CpuReaction() { stop(); }

void CpuReaction::stop() {
  stopping_.store(true);
  mailbox_.wake();
  if (thread_.joinable()) thread_.join();
}

bool CpuReaction::configure(const CpuPolicy& policy) {
  if (!idle()) return false;
  next_policy_ = policy;
  return send(cpu_command::Configure{&next_policy_});
}

void CpuReaction::run() {
  ::pthread_setname_np(::pthread_self(), "cpu");
  std::array<pollfd, 3> waits{
      pollfd{.fd = meter_.fd(), .events = POLLIN}, pollfd{.fd = mailbox_.fd(), .events = POLLIN},
      pollfd{.fd = programs_ == nullptr ? -1 : programs_->event_fd(), .events = POLLIN}};
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int count = ::poll(waits.data(), waits.size(), -1);
    const bool worked = turn(count > 0 && waits[0].revents != 0);
    // As MemoryReaction::run().
    if (count > 0 && !worked) let_others_run();
  }
}

bool CpuReaction::turn(bool is_time) noexcept {
  mailbox_.clear();
  bool worked = is_time;
  while (mailbox_.take([this](const CpuCommand& each) { limits_.obey(each); })) worked = true;
  worked |= limits_.drain();
  if (!is_time) return worked;
  meter_.clear();
  limits_.look();
  return worked;
}

}  // namespace plimsoll::agent
