// SPDX-License-Identifier: Apache-2.0
//
// Ring buffers of the kernel's programs, read as the records that they put there.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "bpf/record_types.h"

struct ring_buffer;

namespace plimsoll::bpf {

// libbpf's reader of ring buffers, their maps and what it allocates.
class RingReader {
 public:
  using OnRecord = int (*)(void* context, void* data, std::size_t size);

  // One more, from the second call on.
  Result<void> map(int map_fd, OnRecord on_record, void* context);
  // Calls `on_record` with all that is there; does not wait.
  void consume() noexcept;

 private:
  struct Deleter {
    void operator()(ring_buffer* ring) const;
  };
  std::unique_ptr<ring_buffer, Deleter> ring_;
};

// Stays where it is. One thread drains at a time; malformed() may be asked by any.
template <typename Event>
class EventRing {
 public:
  EventRing() = default;
  EventRing(const EventRing&) = delete;
  EventRing& operator=(const EventRing&) = delete;
  ~EventRing() = default;

  Result<void> map(int map_fd) { return ring_.map(map_fd, on_record, this); }

  // The number of events that were handled.
  std::size_t drain(void (*handle)(void*, const Event&), void* context) noexcept {
    handle_ = handle;
    context_ = context;
    handled_ = 0;
    ring_.consume();
    return handled_;
  }
  std::uint64_t malformed() const noexcept { return malformed_.load(std::memory_order_relaxed); }

 private:
  static int on_record(void* context, void* data, std::size_t size) {
    auto& ring = *static_cast<EventRing*>(context);
    if (const Event* event = event_at<Event>(data, size)) {
      ring.handle_(ring.context_, *event);
      ++ring.handled_;
    } else {
      ring.malformed_.fetch_add(1, std::memory_order_relaxed);
    }
    return 0;
  }

  void (*handle_)(void*, const Event&) = nullptr;
  void* context_ = nullptr;
  std::size_t handled_ = 0;
  std::atomic<std::uint64_t> malformed_ = 0;
  RingReader ring_;
};

}  // namespace plimsoll::bpf
