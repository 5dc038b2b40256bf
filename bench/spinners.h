// SPDX-License-Identifier: Apache-2.0
//
// Spinners: one thread of normal priority per CPU, pinned to it, that never sleeps: a busy node.
// They stop when this goes.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace plimsoll::bench {

class Spinners {
 public:
  Spinners();
  ~Spinners();
  Spinners(const Spinners&) = delete;
  Spinners& operator=(const Spinners&) = delete;

 private:
  std::atomic<bool> stopping_{false};
  std::vector<std::thread> threads_;
};

}  // namespace plimsoll::bench
