// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/memory_reaction.h"

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/clock.h"
#include "bpf/record_time.h"

namespace plimsoll::agent {
namespace {

// A quarter of the age at which the kernel's programs stop to hold: two beats may be late.
constexpr int kBeatMs = 250;
// A tick of a thousand containers must not make an event wait.
constexpr int kCommandsInARow = 32;
// epoll's user data: a slot, or one of these.
constexpr std::uint64_t kUrgent = UINT64_MAX;
constexpr std::uint64_t kCommand = UINT64_MAX - 1;

Result<void> add_to(const Fd& epoll, int fd, std::uint32_t events, std::uint64_t data) {
  epoll_event event{.events = events, .data = {.u64 = data}};
  if (::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, fd, &event) != 0) {
    return errno_error(errno, "add to the reaction thread's epoll");
  }
  return {};
}

}  // namespace

MemoryReaction::MemoryReaction(const MemoryPolicy& policy, bpf::MemoryPrograms* programs,
                               Wakeup commands, Wakeup reports)
    : programs_(programs),
      report_wakeup_(std::move(reports)),
      mailbox_(std::move(commands), report_wakeup_),
      limits_(policy, programs, mailbox_, epoll_) {}

Result<std::unique_ptr<MemoryReaction>> MemoryReaction::start(const MemoryPolicy& policy,
                                                              bpf::MemoryPrograms* programs,
                                                              bool own_thread) {
  auto commands = Wakeup::make();
  if (!commands) return tl::unexpected(commands.error());
  auto reports = Wakeup::make();
  if (!reports) return tl::unexpected(reports.error());
  std::unique_ptr<MemoryReaction> reaction(
      new MemoryReaction(policy, programs, std::move(*commands), std::move(*reports)));
  struct sigaction interrupt {};
  interrupt.sa_handler = [](int) {};
  interrupt.sa_flags = SA_RESTART;
  if (::sigaction(MemoryLimits::Lowering::kSignal, &interrupt, nullptr) != 0) {
    return errno_error(errno, "take a signal for lowering");
  }
  reaction->epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!reaction->epoll_) return errno_error(errno, "make the reaction thread's epoll");
  if (auto added = add_to(reaction->epoll_, reaction->mailbox_.fd(), EPOLLIN, kCommand); !added) {
    return tl::unexpected(added.error());
  }
  if (programs != nullptr) {
    if (auto watched = reaction->watch_events(); !watched) return tl::unexpected(watched.error());
    programs->beat(monotonic_now());
  }
  if (!own_thread) return reaction;
  // std::thread takes no stack size; the default of 8 MiB would be locked as it is touched only,
  // so it costs address space and nothing else.
  reaction->thread_ = std::thread([self = reaction.get()] { self->run(); });
  reaction->quality_ = make_predictable(reaction->thread_, kMemoryPriority);
  if (programs == nullptr) return reaction;
  reaction->deputy_ = std::thread([self = reaction.get()] { self->run_deputy(); });
  (void)make_predictable(reaction->deputy_, kMemoryPriority);
  keep_apart(reaction->thread_, reaction->deputy_);
  return reaction;
}

Result<void> MemoryReaction::watch_events() {
  deputy_epoll_ = Fd(::epoll_create1(EPOLL_CLOEXEC));
  if (!deputy_epoll_) return errno_error(errno, "make the deputy's epoll");
  auto stop = Wakeup::make();
  if (!stop) return tl::unexpected(stop.error());
  deputy_stop_ = std::move(*stop);
  auto added = add_to(deputy_epoll_, deputy_stop_.fd(), EPOLLIN, kCommand);
  for (const int fd : {programs_->urgent_fd(), programs_->door_fd()}) {
    if (added) added = add_to(epoll_, fd, EPOLLIN, kUrgent);
    // Edges: woken once per event, also while the other thread is at it.
    if (added) added = add_to(deputy_epoll_, fd, EPOLLIN | EPOLLET, kUrgent);
  }
  return added;
}

MemoryReaction::~MemoryReaction() { stop(); }

void MemoryReaction::stop() {
  stopping_.store(true);
  mailbox_.wake();
  if (thread_.joinable()) thread_.join();
  deputy_stop_.ring();
  if (deputy_.joinable()) deputy_.join();
}

bool MemoryReaction::configure(const MemoryPolicy& policy) {
  if (!idle()) return false;
  next_policy_ = policy;
  return send(memory_command::Configure{&next_policy_});
}

void MemoryReaction::run() {
  touch_stack();
  ::pthread_setname_np(::pthread_self(), "reaction");
  std::array<epoll_event, 64> ready{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    const int count =
        ::epoll_wait(epoll_.get(), ready.data(), static_cast<int>(ready.size()), kBeatMs);
    const MonotonicTime time = monotonic_now();
    if (programs_ != nullptr) programs_->beat(time);
    beat_.store(time.time_since_epoch().count(), std::memory_order_relaxed);
    // What is readable stays so until the deputy has let go.
    if (turn_.test_and_set(std::memory_order_acquire)) {
      let_others_run();
      continue;
    }
    mailbox_.clear();
    bool worked = take_turn();
    for (int i = 0; i < count; ++i) {
      const std::uint64_t data = ready[static_cast<std::size_t>(i)].data.u64;
      if (data == kCommand || data == kUrgent) continue;
      limits_.on_sign(static_cast<Slot>(data));
      worked = true;
    }
    turn_.clear(std::memory_order_release);
    // A record that is begun, by a task that was preempted and may be waiting for this CPU.
    if (count > 0 && !worked) let_others_run();
  }
}

void MemoryReaction::run_deputy() {
  touch_stack();
  ::pthread_setname_np(::pthread_self(), "deputy");
  epoll_event ready{};
  while (!stopping_.load(std::memory_order_relaxed)) {
    ::epoll_wait(deputy_epoll_.get(), &ready, 1, -1);
    // The other thread is running, then, and sees this event before it sleeps.
    if (turn_.test_and_set(std::memory_order_acquire)) continue;
    take_turn();
    turn_.clear(std::memory_order_release);
  }
}

void MemoryReaction::obey_all() noexcept {
  beat_.store(monotonic_now().time_since_epoch().count(), std::memory_order_relaxed);
  mailbox_.clear();
  take_turn();
}

// Events go first: commands may write files. False: there was nothing.
bool MemoryReaction::take_turn() noexcept {
  bool worked = limits_.drain();
  const auto obey = [this](const MemoryCommand& command) { limits_.obey(command); };
  for (int taken = 1; mailbox_.take(obey); ++taken) {
    worked = true;
    if (taken % kCommandsInARow == 0) limits_.drain();
  }
  return limits_.drain() || worked;
}

}  // namespace plimsoll::agent
