// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/cpu_reaction.h"

#include <pthread.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "agent/reaction/realtime.h"

namespace plimsoll::agent {
namespace {

Result<void> add_to(const Fd& epoll, int fd) {
  epoll_event event{.events = EPOLLIN, .data = {.fd = fd}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return errno_error(errno, "add to the CPU thread's epoll");
  }
  return {};
}

}  // namespace

CpuReaction::CpuReaction(const CpuPolicy& policy, bpf::CpuPrograms* programs, Wakeup commands,
                         const Wakeup& reports, Timer timer)
    : mailbox_(std::move(commands), reports),
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
  reaction->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!reaction->epoll_) return errno_error(errno, "make the CPU thread's epoll");
  auto added = add_to(reaction->epoll_, reaction->mailbox_.fd());
  if (added) added = add_to(reaction->epoll_, reaction->meter_.fd());
  if (added && programs != nullptr) added = add_to(reaction->epoll_, programs->event_fd());
  if (!added) return tl::unexpected(added.error());
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
  std::array<epoll_event, 4> ready{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int count = ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), -1);
    const bool worked =
        turn(std::any_of(ready.begin(), ready.begin() + std::max(count, 0),
                         [this](const epoll_event& each) { return each.data.fd == meter_.fd(); }));
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
