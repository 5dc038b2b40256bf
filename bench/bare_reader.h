// SPDX-License-Identifier: Apache-2.0
//
// BareReader: the least that any program must do between a kernel event and a written limit, as the
// floor that the agent's reaction is compared with. A real-time thread of the same priority waits
// in epoll_wait, consumes the ring buffer and makes one pwrite of text that was ready before.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "base/units.h"

struct ring_buffer;

namespace plimsoll::bench {

class BareReader {
 public:
  // Reads the ring buffer map `ring_fd`, writes to `file`. `delay` is slept between the event and
  // the write: a harness that does not show it measures something else.
  static Result<std::unique_ptr<BareReader>> start(int ring_fd, Fd file, std::size_t most_events,
                                                   Nanoseconds delay);
  ~BareReader();
  BareReader(const BareReader&) = delete;
  BareReader& operator=(const BareReader&) = delete;

  bool realtime() const { return realtime_; }
  // Events answered so far; their latencies in nanoseconds may be read up to this number.
  std::size_t answered() const { return answered_.load(std::memory_order_acquire); }
  double latency_ns(std::size_t index) const { return latencies_[index]; }
  bool failed() const { return failed_.load(); }

 private:
  BareReader() = default;
  void run();
  int on_record(const void* data);

  Fd file_;
  Fd epoll_;
  Fd stop_;
  ring_buffer* ring_ = nullptr;
  Nanoseconds delay_{};
  bool realtime_ = false;
  std::vector<double> latencies_;
  std::atomic<std::size_t> answered_{0};
  std::atomic<bool> failed_{false};
  std::atomic<bool> stopping_{false};
  std::thread thread_;
};

}  // namespace plimsoll::bench
