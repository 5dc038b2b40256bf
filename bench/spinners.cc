// SPDX-License-Identifier: Apache-2.0
#include "bench/spinners.h"

#include <pthread.h>
#include <sched.h>

namespace plimsoll::bench {

std::vector<unsigned> allowed_cpus() {
  cpu_set_t allowed;
  CPU_ZERO(&allowed);
  ::sched_getaffinity(0, sizeof(allowed), &allowed);
  std::vector<unsigned> cpus;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  return cpus;
}

Spinners::Spinners(const std::vector<unsigned>& cpus) {
  for (const unsigned cpu : cpus) {
    threads_.emplace_back([this] {
      while (!stopping_.load(std::memory_order_relaxed)) {
      }
    });
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::pthread_setaffinity_np(threads_.back().native_handle(), sizeof(one), &one);
  }
}

Spinners::~Spinners() {
  stopping_.store(true);
  for (std::thread& thread : threads_) thread.join();
}

}  // namespace plimsoll::bench
