// SPDX-License-Identifier: Apache-2.0
#include "agent/history.h"

#include <algorithm>

namespace plimsoll::agent {

void PeakWindow::add(MonotonicTime now, Bytes value, Nanoseconds window) {
  const Nanoseconds width = window / static_cast<std::int64_t>(kParts);
  if (count_ == 0 || now - buckets_[newest_].begin >= width) {
    newest_ = (newest_ + 1) % buckets_.size();
    count_ = std::min(count_ + 1, buckets_.size());
    buckets_[newest_] = {now, value};
    return;
  }
  buckets_[newest_].peak = std::max(buckets_[newest_].peak, value);
}

std::size_t PeakWindow::within(MonotonicTime now, Nanoseconds window) const {
  std::size_t age = 0;
  while (age < count_ && (age == 0 || now - bucket(age).begin < window)) ++age;
  return age;
}

Bytes PeakWindow::peak(MonotonicTime now, Nanoseconds window) const {
  Bytes peak;
  for (std::size_t age = within(now, window); age-- > 0;) peak = std::max(peak, bucket(age).peak);
  return peak;
}

Bytes PeakWindow::lowest(MonotonicTime now, Nanoseconds window) const {
  Bytes lowest = earliest(now, window);
  for (std::size_t age = within(now, window); age-- > 0;) {
    lowest = std::min(lowest, bucket(age).peak);
  }
  return lowest;
}

Bytes PeakWindow::earliest(MonotonicTime now, Nanoseconds window) const {
  const std::size_t count = within(now, window);
  return count == 0 ? Bytes{} : bucket(count - 1).peak;
}

}  // namespace plimsoll::agent
