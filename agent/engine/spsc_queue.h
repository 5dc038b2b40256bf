// SPDX-License-Identifier: Apache-2.0
//
// A bounded queue from one thread to one other: no lock, no allocation, no waiting. A full queue
// refuses, and the caller counts that.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <optional>
#include <type_traits>

namespace plimsoll::agent {

template <typename T, std::size_t kCapacity>
class SpscQueue {
  static_assert((kCapacity & (kCapacity - 1)) == 0, "the capacity is a power of two");
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  // The producer's thread only. False: full.
  bool push(const T& item) noexcept {
    const std::size_t head = head_.load(std::memory_order_relaxed);
    if (head - tail_.load(std::memory_order_acquire) == kCapacity) return false;
    items_[head % kCapacity] = item;
    head_.store(head + 1, std::memory_order_release);
    return true;
  }

  // The consumer's thread only.
  std::optional<T> pop() noexcept {
    const std::size_t tail = tail_.load(std::memory_order_relaxed);
    if (tail == head_.load(std::memory_order_acquire)) return std::nullopt;
    const T item = items_[tail % kCapacity];
    tail_.store(tail + 1, std::memory_order_release);
    return item;
  }

 private:
  // Each on a cache line of its own, so that the two threads do not slow each other down.
  alignas(64) std::atomic<std::size_t> head_{0};
  alignas(64) std::atomic<std::size_t> tail_{0};
  std::array<T, kCapacity> items_{};
};

}  // namespace plimsoll::agent
