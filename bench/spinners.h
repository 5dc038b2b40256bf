// SPDX-License-Identifier: Apache-2.0
//
// Spinners: one thread of normal priority on each CPU, pinned to it, that never sleeps: a busy
// node. They stop when this goes.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace plimsoll::bench {

// The CPUs that this thread may run on.
std::vector<unsigned> allowed_cpus();

class Spinners {
 public:
  explicit Spinners(const std::vector<unsigned>& cpus);
  ~Spinners();
  Spinners(const Spinners&) = delete;
  Spinners& operator=(const Spinners&) = delete;

 private:
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace plimsoll::bench
