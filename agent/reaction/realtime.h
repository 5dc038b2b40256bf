// SPDX-License-Identifier: Apache-2.0
//
// What makes the time of a thread predictable: a real-time priority, memory that stays, CPUs of its
// own. Each only where it is allowed.
#pragma once

#include <string>
#include <thread>

namespace plimsoll::agent {

// Above every normal task and below the kernel's own threads (watchdog, migration at 99); memory
// comes before CPU.
inline constexpr int kMemoryPriority = 10;
inline constexpr int kCpuPriority = 9;

// Whether the thread got what makes its time predictable; `warning` says what is missing and how to
// get it.
struct ReactionQuality {
  bool realtime = false;
  bool memory_locked = false;
  std::string warning;
};

// SCHED_FIFO for the thread. Locks what is in the process's memory and what comes to be, page by
// page as it is used: the process stays as small as it is.
ReactionQuality make_predictable(std::thread& thread, int priority);

// One half of the CPUs that this process may use for each thread, so that no CPU is both threads'
// own. With a single CPU there is nothing to divide.
void keep_apart(std::thread& first, std::thread& second);

// By the thread itself, so that no page of its stack is missing later.
void touch_stack();

// By a real-time thread that was woken for nothing: sleeps for some 50 us, so that whoever it waits
// for is not kept from this CPU.
void let_others_run() noexcept;

}  // namespace plimsoll::agent
