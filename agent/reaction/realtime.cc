// SPDX-License-Identifier: Apache-2.0
#include "agent/reaction/realtime.h"

#include <pthread.h>
#include <sched.h>
#include <sys/mman.h>
#include <time.h>

#include <array>
#include <cstddef>

#include "base/units.h"

namespace plimsoll::agent {

ReactionQuality make_predictable(std::thread& thread, int priority) {
  ReactionQuality quality;
  const sched_param parameters{.sched_priority = priority};
  const int error = ::pthread_setschedparam(thread.native_handle(), SCHED_FIFO, &parameters);
  quality.realtime = error == 0;
  quality.memory_locked = ::mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0;
  if (!quality.realtime) {
    quality.warning =
        "the reaction thread is not real-time (needs CAP_SYS_NICE): on a busy node it may be "
        "milliseconds late";
  }
  if (!quality.memory_locked) {
    quality.warning += std::string(quality.warning.empty() ? "" : "; ") +
                       "memory is not locked (needs CAP_IPC_LOCK): a page fault may delay a grant";
  }
  return quality;
}

void keep_apart(std::thread& first, std::thread& second) {
  cpu_set_t all{};
  cpu_set_t lower{};
  cpu_set_t upper{};
  if (::sched_getaffinity(0, sizeof(all), &all) != 0) return;
  const int count = CPU_COUNT(&all);
  if (count < 2) return;
  int seen = 0;
  for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &all)) continue;
    CPU_SET(cpu, seen < (count + 1) / 2 ? &lower : &upper);
    ++seen;
  }
  ::pthread_setaffinity_np(first.native_handle(), sizeof(lower), &lower);
  ::pthread_setaffinity_np(second.native_handle(), sizeof(upper), &upper);
}

void touch_stack() {
  std::array<volatile char, 128 * kKiB> room;  // NOLINT: not a value, but the pages are wanted
  for (std::size_t i = 0; i < room.size(); i += 4096) room[i] = 0;
}

void let_others_run() noexcept {
  constexpr timespec kMoment{.tv_sec = 0, .tv_nsec = 50'000};
  ::nanosleep(&kMoment, nullptr);
}

}  // namespace plimsoll::agent
